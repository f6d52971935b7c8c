//! Mailboxes (the API says folders) and the account's own row on its shard.

use types::{AccountId, MailboxId, ModSeq, Rights, Role, Timestamp, Uid, UidValidity};

/// An account as its shard knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    pub id: AccountId,
    /// The last change.
    pub modseq: ModSeq,
    /// The last change that the search index has.
    pub indexed: ModSeq,
    /// Changes up to here have left no tombstones any more: who knows less must load anew.
    pub forgotten: ModSeq,
    pub messages: u64,
    pub used_bytes: u64,
}

/// A mailbox with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub account: AccountId,
    pub id: MailboxId,
    /// One level of the name, as people read it.
    pub name: String,
    pub parent: Option<MailboxId>,
    pub role: Option<Role>,
    pub uid_validity: UidValidity,
    pub uid_next: Uid,
    /// The last change of it or of anything in it.
    pub modseq: ModSeq,
    pub total: u64,
    pub unread: u64,
    pub size_bytes: u64,
    /// Whether mail programs that show subscribed mailboxes only show it (RFC 9051 §6.3.7).
    pub subscribed: bool,
}

/// A mailbox to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMailbox {
    pub account: AccountId,
    pub name: String,
    pub parent: Option<MailboxId>,
    pub role: Option<Role>,
    /// The source of its UIDVALIDITY.
    pub now: Timestamp,
}

/// What somebody else may do with a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    pub grantee: AccountId,
    pub mailbox: MailboxId,
    /// When the grantee's account was made: another that gets its number one day is not meant.
    pub grantee_since: Timestamp,
    pub rights: Rights,
    /// Whether the grantee has subscribed to the mailbox.
    pub subscribed: bool,
}

/// What a mail program noted with a mailbox, or with the account (RFC 5464).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// `None`: with the account.
    pub mailbox: Option<MailboxId>,
    pub name: String,
    pub value: Vec<u8>,
}
