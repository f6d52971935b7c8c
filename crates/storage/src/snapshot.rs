//! Reading: everything a shard knows of an account, as of one moment.

use std::sync::Arc;

use async_trait::async_trait;
use types::{
    AccountId, BlobId, BodyId, Bucket, MailboxId, MessageId, ModSeq, QueueId, ThreadId, Timestamp, UploadId,
};

use crate::{
    AccountState, Annotation, Changes, Content, Edition, Fence, Grant, Listing, Mailbox, Message, Packed,
    PageRequest, Paged, Placement, QueueEntry, QueueFilter, QueueLengths, Result, Totals, Upload, replica,
};

/// A consistent view of one shard.
#[async_trait]
pub trait Snapshot: Send {
    /// The account's own row; `None` before [`crate::Transaction::provision`].
    async fn account(&mut self, account: AccountId) -> Result<Option<AccountState>>;

    /// All mailboxes, roles first in their order, then by name.
    async fn mailboxes(&mut self, account: AccountId) -> Result<Vec<Mailbox>>;

    async fn mailbox(&mut self, account: AccountId, id: MailboxId) -> Result<Option<Mailbox>>;

    /// All annotations of the account and its mailboxes, by mailbox and name.
    async fn annotations(&mut self, account: AccountId) -> Result<Vec<Annotation>>;

    /// What others may do with mailboxes of the account, or one of them; by grantee and mailbox.
    async fn grants(&mut self, account: AccountId, grantee: Option<AccountId>) -> Result<Vec<Grant>>;

    /// One page by index, newest first; the cost depends on the page's length, not on the mailbox's.
    async fn page(&mut self, account: AccountId, request: &PageRequest) -> Result<Vec<Message>>;

    /// The same of the mailbox that the request names, or only that it is still as it was `known`; one query. `None` if
    /// there is no such mailbox.
    async fn page_if_new(
        &mut self,
        account: AccountId,
        request: &PageRequest,
        known: Option<Edition>,
    ) -> Result<Option<Paged>>;

    /// Those of these messages that exist, in no order; one query.
    async fn messages(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Message>>;

    /// Where those of these messages are that exist, in order of their ids; one query, of narrow columns.
    async fn placements(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Placement>>;

    /// The mailbox with all its messages if `since` is 0, otherwise with those that came or changed after it, and with
    /// what left it then; a fixed number of queries. `None` if there is no such mailbox. Ask a snapshot of one moment
    /// ([`crate::Shards::snapshot`]).
    async fn listing(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Option<Listing>>;

    /// Mailboxes to which so much was added that their listings should be kept anew
    /// ([`crate::Transaction::keep_listing`]); one query.
    async fn outgrown(&mut self, account: AccountId) -> Result<Vec<MailboxId>>;

    /// The encoded MIME structures of those of these messages that exist, in no order; one query.
    async fn structures(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Vec<u8>)>>;

    /// The signatures of those of these messages that exist and have one, by their ids; a few queries.
    async fn signatures(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Arc<[u8]>)>>;

    /// A message's encoded MIME structure.
    async fn structure(&mut self, account: AccountId, id: MessageId) -> Result<Option<Vec<u8>>>;

    /// The structure and body of each of these messages that exists, in no order; one query.
    async fn contents(&mut self, account: AccountId, ids: &[MessageId]) -> Result<Vec<Content>>;

    /// The messages of a conversation, oldest first, at most `limit` of the newest.
    async fn thread(&mut self, account: AccountId, thread: ThreadId, limit: u32) -> Result<Vec<Message>>;

    async fn body(&mut self, account: AccountId, id: BodyId) -> Result<Option<Packed>>;

    /// What changed after `since`, at most about `limit` messages at once (never part of a modseq).
    async fn changes(&mut self, account: AccountId, since: ModSeq, limit: u32) -> Result<Changes>;

    async fn upload(&mut self, account: AccountId, id: UploadId) -> Result<Option<Upload>>;

    async fn queue_entry(&mut self, account: AccountId, id: QueueId) -> Result<Option<QueueEntry>>;

    /// Entries of the shard's queue, by account and id.
    async fn queue(&mut self, filter: &QueueFilter) -> Result<Vec<QueueEntry>>;

    /// How many entries of accounts that live here the shard's queue has; every one of them is read.
    async fn queue_lengths(&mut self, now: Timestamp) -> Result<QueueLengths>;

    /// When the next entry that is not held falls due, leased ones at the end of their lease.
    async fn next_due(&mut self) -> Result<Option<Timestamp>>;

    /// Accounts after this one whose search index is behind, in order, at most `limit`.
    async fn unindexed(&mut self, after: Option<AccountId>, limit: u32) -> Result<Vec<AccountId>>;

    /// Which of these blobs are named by a body or an upload.
    async fn blobs_in_use(&mut self, blobs: &[BlobId]) -> Result<Vec<BlobId>>;

    /// A page of a round of copying the account; see [`crate::replica`].
    async fn export(&mut self, account: AccountId, cursor: replica::Cursor) -> Result<replica::Page>;

    /// How many rows the account has.
    async fn counts(&mut self, account: AccountId) -> Result<replica::Counts>;

    /// Sums over the accounts that live here; every one of them is read.
    async fn totals(&mut self) -> Result<Totals>;

    /// The bucket's fence, if there is one. In a [`crate::Transaction`] it stays as it is until the commit.
    async fn fenced(&mut self, bucket: Bucket) -> Result<Option<Fence>>;

    /// The fences that are not closed, in order of their buckets, each with its mover.
    async fn open_fences(&mut self) -> Result<Vec<(Bucket, String)>>;

    /// The bucket's accounts that are set up here, in order.
    async fn bucket(&mut self, bucket: Bucket) -> Result<Vec<AccountState>>;

    /// The bucket's accounts of which something is here, also those that are not set up: of a copy that was not brought
    /// to its end, say. In order.
    async fn placed(&mut self, bucket: Bucket) -> Result<Vec<AccountId>>;

    /// The buckets from the first to the last of these in which something of an account is here, in order.
    async fn populated(&mut self, first: Bucket, last: Bucket) -> Result<Vec<Bucket>>;

    /// The bucket's accounts that have uploads or queue entries, which take no modseq, in order, each with a checksum of
    /// them: where it is the same, they are.
    async fn loose(&mut self, bucket: Bucket) -> Result<Vec<(AccountId, u128)>>;

    /// Accounts of the shard after this one, in order, at most `limit`.
    async fn accounts(&mut self, after: Option<AccountId>, limit: u32) -> Result<Vec<AccountState>>;
}
