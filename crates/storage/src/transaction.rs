//! Writing: what a unit of work can do to a shard. What it reads through [`Snapshot`] includes its own writes.

use async_trait::async_trait;
use types::{
    AccountId, Bucket, MailboxId, MessageId, ModSeq, QueueId, Sequence, ThreadId, Timestamp, UploadId,
    api::Delivery,
};

use crate::{
    Appended, Copy, FlagChange, Grant, Keep, Lease, Listed, Mailbox, Message, NewMailbox, NewMessage,
    NewQueueEntry, Placement, QueueEntry, RecipientUpdate, RefHash, Result, Snapshot, Upload, replica,
};

/// A transaction on one shard.
///
/// Changes of messages and mailboxes take the account's next modseq; messages that are already as wished keep theirs.
#[async_trait]
pub trait Transaction: Snapshot {
    /// Makes the account's row and the mailboxes of all roles. Nothing happens if they are there.
    async fn provision(&mut self, account: AccountId, now: Timestamp) -> Result<()>;

    /// Removes everything of the account. Its blobs are left to the collector.
    async fn purge(&mut self, account: AccountId) -> Result<()>;

    /// Takes in records of a copy of the account; see [`crate::replica`]. The only write that a fence does not stop;
    /// where there was none when the account's own row came in, there is none until the commit.
    async fn import(&mut self, account: AccountId, records: &[replica::Record]) -> Result<()>;

    /// Keeps everybody away from the bucket who would write to its accounts or set up new ones: they get
    /// [`crate::Error::Moving`]. What was written before is committed when this is. [`Transaction::import`] goes on.
    /// False if there is a closed fence, which stays.
    async fn fence(&mut self, bucket: Bucket, mover: &str) -> Result<bool>;

    /// The same for a bucket that is going to be copied here, whatever fence there was. False, and nothing is done, if
    /// the bucket lives here: it has accounts, and no fence.
    async fn receive(&mut self, bucket: Bucket, mover: &str) -> Result<bool>;

    /// Makes the fence one for good. False if it is not this mover's any more.
    async fn close_fence(&mut self, bucket: Bucket, mover: &str) -> Result<bool>;

    /// Takes down a fence of this mover's that is not closed. False if there is none such: it stays as it is.
    async fn lift_fence(&mut self, bucket: Bucket, mover: &str) -> Result<bool>;

    /// Notes the bucket of some accounts after this one, should that be missing; returns the last of them.
    async fn place(&mut self, after: Option<AccountId>) -> Result<Option<AccountId>>;

    /// Removes at most about `limit` rows of an account that lives elsewhere, of which the caller makes sure by
    /// [`Snapshot::fenced`] in the same transaction. False if there was nothing left.
    async fn clear_some(&mut self, account: AccountId, limit: u32) -> Result<bool>;

    /// The threads that these Message-ID hashes lead to.
    async fn threads(&mut self, account: AccountId, refs: &[RefHash]) -> Result<Vec<(RefHash, ThreadId)>>;

    /// Adds a message, with its body, under the mailbox's next UID. Many in one transaction become few statements.
    async fn append(&mut self, message: NewMessage) -> Result<Appended>;

    /// Changes flags and keywords; returns those of the messages that exist, as they are then, in
    /// order of their ids.
    async fn change_flags(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
        change: &FlagChange,
    ) -> Result<Vec<Placement>>;

    /// The same of messages of a mailbox, each once, that are exactly so: the caller has a list of the mailbox as it is in
    /// this transaction, and none of their rows need be read. Returns them as they are then.
    async fn change_listed(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        messages: Vec<Listed>,
        change: &FlagChange,
    ) -> Result<Vec<Listed>>;

    /// Moves messages to a mailbox of the account, in the order that they are in where they are: new UIDs, and tombstones for
    /// the old ones. Those that are there already stay as they are. Returns those that exist, as they are then.
    async fn move_messages(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
        to: MailboxId,
        now: Timestamp,
    ) -> Result<Vec<Message>>;

    /// Moves messages to the end of the mailboxes that they are in, in the order that they are in there: new UIDs, and
    /// tombstones for the old ones. Returns those that exist, as they are then.
    async fn renumber_messages(
        &mut self,
        account: AccountId,
        ids: &[MessageId],
        now: Timestamp,
    ) -> Result<Vec<Message>>;

    /// Adds a copy of each of these messages that exists to a mailbox of the account, in this order: new UIDs, the same
    /// flags, keywords, thread and body. Returns the copies.
    async fn copy_messages(
        &mut self,
        account: AccountId,
        copies: &[Copy],
        to: MailboxId,
        now: Timestamp,
    ) -> Result<Vec<Message>>;

    /// Keeps the signatures of those of these messages that exist. No change that anybody is told of.
    async fn sign(&mut self, account: AccountId, signatures: &[(MessageId, Vec<u8>)]) -> Result<()>;

    /// Removes messages for good, leaving tombstones; a body goes with its last user. Returns how many there were.
    async fn expunge(&mut self, account: AccountId, ids: &[MessageId]) -> Result<u64>;

    /// The same of messages of a mailbox that are exactly so; see [`Transaction::change_listed`].
    async fn expunge_listed(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        messages: &[Listed],
    ) -> Result<()>;

    /// Sets annotations of a mailbox of the account, or of the account itself; `None` removes one.
    async fn annotate(
        &mut self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: &[(String, Option<Vec<u8>>)],
    ) -> Result<()>;

    /// Has somebody have these rights to a mailbox of the account, and no others; none at all removes the grant.
    async fn set_grant(&mut self, account: AccountId, grant: &Grant) -> Result<()>;

    /// Keeps what is in a mailbox, as a listing told it as of the account's modseq, so that the next one reads what has
    /// changed since then. No change that anybody is told of; nothing happens if the mailbox is gone.
    async fn keep_listing(
        &mut self,
        mailbox: &Mailbox,
        messages: &Sequence<Listed>,
        as_of: ModSeq,
        how: Keep,
    ) -> Result<()>;

    /// Makes a mailbox; `Err(Exists)` if its parent has one of that name (compared as by [`types::address::fold`]).
    async fn create_mailbox(&mut self, mailbox: NewMailbox) -> Result<Mailbox>;

    /// Renames it; `Ok(None)` if there is none, `Err(Exists)` as in [`Transaction::create_mailbox`].
    async fn rename_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        name: &str,
    ) -> Result<Option<Mailbox>>;

    /// Moves it under another parent, perhaps with another name; what it contains, its UIDs and its UIDVALIDITY stay.
    /// `Ok(None)` if there is none, `Err(Exists)` as in [`Transaction::create_mailbox`]. The parent must be there, and
    /// must not be in it.
    async fn move_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        parent: Option<MailboxId>,
        name: &str,
    ) -> Result<Option<Mailbox>>;

    /// Subscribes to it or not (RFC 9051 §6.3.7). `Ok(None)` if there is none.
    async fn subscribe_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        subscribed: bool,
    ) -> Result<Option<Mailbox>>;

    /// Removes an empty mailbox without children; false if there is none, or it is not empty.
    async fn delete_mailbox(&mut self, account: AccountId, id: MailboxId) -> Result<bool>;

    /// How a sent message fares, as it tells; `None` if it is gone.
    async fn delivery(&mut self, account: AccountId, id: MessageId) -> Result<Option<Vec<Delivery>>>;

    /// Notes how a sent message fares. Nothing happens if the message is gone.
    async fn set_delivery(&mut self, account: AccountId, id: MessageId, delivery: &[Delivery]) -> Result<()>;

    async fn enqueue(&mut self, entry: NewQueueEntry) -> Result<()>;

    /// Claims due entries that nobody else holds: urgent ones first, patient ones last, and of each kind the oldest due.
    /// Where not all can be claimed, a quarter at most goes to what has been due for an hour, before what is neither urgent
    /// nor that old.
    async fn lease(&mut self, lease: &Lease) -> Result<Vec<QueueEntry>>;

    /// Lengthens the worker's lease. False if the entry is gone or the lease is lost.
    async fn renew(
        &mut self,
        account: AccountId,
        id: QueueId,
        worker: &str,
        until: Timestamp,
    ) -> Result<bool>;

    /// Ends all leases: for a worker that knows that it is the only one and has just started. Returns how many there were.
    async fn end_leases(&mut self) -> Result<u64>;

    /// Writes outcomes down and counts the attempts; the lease goes on until then, or ends. An entry without pending
    /// recipients is removed. Returns the entry as it is then (removed or not); `None` if it is gone or the worker's
    /// lease is lost.
    async fn settle(
        &mut self,
        account: AccountId,
        id: QueueId,
        worker: &str,
        updates: &[RecipientUpdate],
        until: Option<Timestamp>,
    ) -> Result<Option<QueueEntry>>;

    /// Holds or releases an entry. False if there is none.
    async fn hold(&mut self, account: AccountId, id: QueueId, held: bool) -> Result<bool>;

    /// Makes every pending recipient due now. False if there is none such entry.
    async fn retry_now(&mut self, account: AccountId, id: QueueId, now: Timestamp) -> Result<bool>;

    /// Sends an entry by way of this host from now on; `None`: as its recipients' domains say. False if there is none.
    async fn reroute(&mut self, account: AccountId, id: QueueId, via: Option<String>) -> Result<bool>;

    /// Removes an entry without notifying anybody. False if there is none.
    async fn drop_entry(&mut self, account: AccountId, id: QueueId) -> Result<bool>;

    async fn add_upload(&mut self, upload: Upload) -> Result<()>;

    async fn remove_upload(&mut self, account: AccountId, id: UploadId) -> Result<()>;

    /// Removes uploads made before this; returns how many.
    async fn expire_uploads(&mut self, before: Timestamp) -> Result<u64>;

    /// Notes up to where the search index has the account's changes. Takes no modseq.
    async fn set_indexed(&mut self, account: AccountId, modseq: ModSeq) -> Result<()>;
}
