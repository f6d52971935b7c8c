//! Messages: a row each, what lists show beside what only an open message needs.

use std::sync::Arc;

use types::{
    AccountId, Address, BodyId, Flags, MailboxId, MessageId, ModSeq, Role, Sequence, Sequenced, ThreadId,
    Timestamp, Uid, UidValidity, api::Delivery,
};

use crate::{Mailbox, Packed};

/// A hash of a Message-ID; what threads are found by.
pub type RefHash = i64;

/// What a list shows of a message beside its flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    pub from: Address,
    pub to: Vec<Address>,
    pub subject: String,
    pub preview: String,
    pub has_attachments: bool,
}

/// A message without its structure and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub account: AccountId,
    pub id: MessageId,
    pub mailbox: MailboxId,
    pub uid: Uid,
    pub modseq: ModSeq,
    /// The change that brought it into the account.
    pub created: ModSeq,
    pub flags: Flags,
    /// Sorted, each once.
    pub keywords: Vec<String>,
    pub thread: ThreadId,
    pub body: BodyId,
    pub received_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    /// When it came into its mailbox; `None` for those of before this was kept.
    pub saved_at: Option<Timestamp>,
    pub size_bytes: u64,
    pub summary: Summary,
    /// For mail sent from here: how each recipient fares.
    pub delivery: Vec<Delivery>,
}

/// What an open message needs beside its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub id: MessageId,
    pub received_at: Timestamp,
    /// The encoded MIME structure.
    pub structure: Vec<u8>,
    pub body: Packed,
}

/// Where a message is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Mailbox(MailboxId),
    /// The mailbox of this role; the inbox if there is none.
    Role(Role),
}

/// A message to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    pub account: AccountId,
    /// Made from the time of receipt. An id that the account has, or had and expunged, is not added again.
    pub id: MessageId,
    pub mailbox: Source,
    pub flags: Flags,
    /// One that is there twice, in whatever case, is kept as it is spelt first.
    pub keywords: Vec<String>,
    pub thread: ThreadId,
    /// Hashes of its own Message-ID and of those it refers to: all lead to `thread` from now on, unless they lead
    /// to another already.
    pub refs: Vec<RefHash>,
    pub body: Packed,
    /// The encoded MIME structure, kept beside the row and read only when the message is opened.
    pub structure: Vec<u8>,
    /// What its texts lack (`message::signature`); empty: not known.
    pub signature: Vec<u8>,
    pub received_at: Timestamp,
    pub saved_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    pub summary: Summary,
    pub delivery: Vec<Delivery>,
}

/// What became of a [`NewMessage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    New {
        mailbox: MailboxId,
        uid: Uid,
        modseq: ModSeq,
    },
    /// The id was there, or had been: nothing was added.
    Duplicate,
}

/// A change of flags and keywords, whose case does not matter: what a message has stays as it is spelt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlagChange {
    pub add: Flags,
    pub remove: Flags,
    pub add_keywords: Vec<String>,
    pub remove_keywords: Vec<String>,
}

/// What a page leaves out. `None`: both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    pub unread: Option<bool>,
    pub flagged: Option<bool>,
    pub attachments: Option<bool>,
}

/// A page of messages, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// `None`: of the whole account.
    pub mailbox: Option<MailboxId>,
    pub filter: Filter,
    /// Only messages older than this one (whether or not it is still there).
    pub before: Option<MessageId>,
    pub limit: u32,
}

/// Which state of a mailbox something was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    pub uid_validity: UidValidity,
    pub modseq: ModSeq,
}

/// A page of a mailbox, with what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged {
    pub edition: Edition,
    /// `None`: the mailbox is as it was known to be.
    pub messages: Option<Vec<Message>>,
}

/// A message that left a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    pub id: MessageId,
    pub mailbox: MailboxId,
    pub uid: Uid,
    pub modseq: ModSeq,
    /// Whether the message is gone for good; otherwise it is in another mailbox now.
    pub expunged: bool,
}

/// A message as a mail program lists it: what is asked for of all messages of a mailbox at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub id: MessageId,
    pub uid: Uid,
    pub modseq: ModSeq,
    pub flags: Flags,
    /// Sorted, each once; most messages have none, and those that have the same share them.
    pub keywords: Arc<[String]>,
    pub received_at: Timestamp,
    /// From the Date field.
    pub sent_at: Option<Timestamp>,
    pub size_bytes: u64,
}

impl Sequenced for Listed {
    type Digest = Digest;

    fn uid(&self) -> Uid {
        self.uid
    }

    fn modseq(&self) -> ModSeq {
        self.modseq
    }

    fn digest(messages: &[Self]) -> Digest {
        let flags = || messages.iter().map(|message| message.flags);
        let sets = messages.iter().map(|message| &message.keywords).filter(|set| !set.is_empty());
        let mut sets: Vec<_> = sets.collect();
        sets.sort_unstable_by_key(|set| set.as_ptr());
        sets.dedup_by_key(|set| set.as_ptr());
        Digest {
            any: flags().fold(Flags::NONE, |any, flags| any | flags),
            common: flags().fold(Flags::from_bits(u8::MAX), |common, flags| common & flags),
            keywords: sets.into_iter().map(Arc::clone).collect(),
        }
    }
}

/// What some messages have of flags and keywords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// What any of them has.
    pub any: Flags,
    /// What all of them have.
    pub common: Flags,
    /// The sets of keywords that they share, each once, but for the empty one.
    pub keywords: Vec<Arc<[String]>>,
}

/// Where a message is and how it is marked: what is asked of many messages before they are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    pub id: MessageId,
    pub mailbox: MailboxId,
    pub uid: Uid,
    pub modseq: ModSeq,
    pub flags: Flags,
    /// Sorted, each once.
    pub keywords: Vec<String>,
    pub received_at: Timestamp,
}

/// A mailbox and what is in it, or what has become different in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub mailbox: Mailbox,
    /// As [`crate::AccountState::forgotten`].
    pub forgotten: ModSeq,
    pub messages: Sequence<Listed>,
    /// UIDs that have left the mailbox, in order, each with when.
    pub removed: Vec<(Uid, ModSeq)>,
    /// The account's last change as of this.
    pub as_of: ModSeq,
    /// Whether it should be kept for whoever asks next ([`crate::Transaction::keep_listing`]), and how.
    pub keep: Option<Keep>,
}

/// How a listing is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many rows were read for it that what has changed should be written.
    Changes,
    /// What is kept cannot be read, or is not right.
    Anew,
}

impl Listing {
    /// What has become different since this was known, in order of UIDs, with it: all that is there. New UIDs are higher
    /// than all before.
    #[must_use]
    pub fn over(self, known: &Sequence<Listed>) -> Self {
        let removed: Vec<_> = self.removed.iter().map(|(uid, _)| *uid).collect();
        let messages = known.with(self.messages.iter().cloned().collect(), &removed);
        Self { messages, removed: Vec::new(), ..self }
    }
}

/// A message that is to be there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copy {
    pub from: MessageId,
    /// The other's id, made from the time when the first was received.
    pub to: MessageId,
}

/// What changed after a modseq, in order of modseq, up to and including `upto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Where to continue from.
    pub upto: ModSeq,
    /// Whether there is more after `upto`.
    pub more: bool,
    /// Added or changed, as they are now.
    pub messages: Vec<Message>,
    pub removed: Vec<Removed>,
    /// Added or changed, or with a change inside, as they are now.
    pub mailboxes: Vec<Mailbox>,
    pub removed_mailboxes: Vec<MailboxId>,
}
