//! The outbound queue: mail on its way, in the shard of the account that answers for it.

use types::{AccountId, BodyId, EmailAddress, MessageId, QueueId, RecipientTerms, ShardId, Terms, Timestamp};

use crate::Packed;

/// How a mail came into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An account of ours sent it.
    Submission,
    /// It came in for several accounts, and these recipients live on other shards.
    Relay,
    /// We made it: a notification with the null return path, or a report. Nobody is told what becomes of it.
    Notification,
}

/// A mail to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQueueEntry {
    pub account: AccountId,
    pub id: QueueId,
    /// The Sent copy, whose delivery state the outcome is written to.
    pub message: Option<MessageId>,
    pub body: QueueBody,
    /// `None`: the null return path `<>`.
    pub return_path: Option<EmailAddress>,
    pub recipients: Vec<NewRecipient>,
    pub terms: Terms,
    pub origin: Origin,
    pub created_at: Timestamp,
    /// No attempt before this.
    pub not_before: Timestamp,
    /// After this, what is not delivered has failed.
    pub expires_at: Timestamp,
}

/// Whom a mail is to be delivered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    pub address: EmailAddress,
    pub terms: RecipientTerms,
}

impl From<EmailAddress> for NewRecipient {
    /// For whom nothing else is asked.
    fn from(address: EmailAddress) -> Self {
        Self { address, terms: RecipientTerms::default() }
    }
}

/// The bytes that a queue entry sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueBody {
    /// A body that a message of the account has (also one added in the same transaction): shared with it.
    Shared(BodyId),
    /// Its own.
    Own(Packed),
}

/// What became of a recipient so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientState {
    Pending,
    Delivered,
    Failed,
}

/// A recipient of a queue entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueRecipient {
    pub address: EmailAddress,
    pub state: RecipientState,
    pub attempts: u32,
    /// For pending ones: when to try.
    pub next_attempt_at: Timestamp,
    /// The last reply of the other side, or why there was none.
    pub reply: Option<String>,
    /// The sender has been told that it takes long.
    pub warned: bool,
    pub terms: RecipientTerms,
}

/// A mail in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    pub account: AccountId,
    pub id: QueueId,
    pub message: Option<MessageId>,
    pub body: BodyId,
    pub size_bytes: u64,
    pub return_path: Option<EmailAddress>,
    pub recipients: Vec<QueueRecipient>,
    pub terms: Terms,
    pub origin: Origin,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// The earliest attempt of any pending recipient.
    pub next_attempt_at: Timestamp,
    /// Held by an operator: not tried until released.
    pub held: bool,
    /// Where an operator sends it instead of where its recipients' domains say: `HOST:PORT`.
    pub via: Option<String>,
    pub leased_until: Option<Timestamp>,
}

impl QueueEntry {
    /// Whether a worker has it in hand.
    #[must_use]
    pub fn is_sending(&self, now: Timestamp) -> bool {
        self.leased_until.is_some_and(|until| until > now)
    }
}

/// A claim on due entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub shard: ShardId,
    /// Who claims; only the same name settles. A name that no other claim has keeps a claim that ran out from settling.
    pub worker: String,
    pub now: Timestamp,
    /// When the claim ends by itself, should the worker die.
    pub until: Timestamp,
    pub limit: u32,
}

/// The outcome of an attempt for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientUpdate {
    pub address: EmailAddress,
    pub state: RecipientState,
    /// Whether it was tried at all: that is counted.
    pub attempted: bool,
    /// For pending ones.
    pub next_attempt_at: Timestamp,
    pub reply: Option<String>,
    /// The sender is told that it takes long, in the same transaction.
    pub warned: bool,
}

/// How many entries a shard's queue has, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueLengths {
    /// A worker should take them now.
    pub due: u64,
    /// They are tried later.
    pub waiting: u64,
    /// By an operator.
    pub held: u64,
    /// A worker has them.
    pub leased: u64,
}

/// Which entries to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueFilter {
    pub account: Option<AccountId>,
    /// Only entries after this one.
    pub after: Option<(AccountId, QueueId)>,
    pub limit: u32,
}
