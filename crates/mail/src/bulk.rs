//! What mail programs do to many messages of a mailbox at once: flags, copies, moves, expunges, and new ones.
//!
//! A program names messages by what it believes of the mailbox. Each unit looks again: what is not in the mailbox any
//! more under this UID is left alone.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use storage::{
    Appended, Copy, FlagChange, Needs, NewMessage, Placement, Result as StorageResult, Source, Transaction,
    Unit,
};
use types::{
    AccountId, Flags, MailboxId, MessageId, ModSeq, Rights, Timestamp, Uid, UidValidity,
    flags::{changed_keywords, has_keyword, is_keyword},
};

use crate::deliver::Deliver;
use crate::listing::Step;
use crate::{Access, Error, Result};

/// A message as a program names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: MessageId,
    pub uid: Uid,
}

/// What becomes of flags and keywords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Replace { flags: Flags, keywords: Vec<String> },
    Add { flags: Flags, keywords: Vec<String> },
    Remove { flags: Flags, keywords: Vec<String> },
}

/// What became of a change of flags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// The messages as they are then, those that were so before included.
    pub messages: Vec<Placement>,
    /// Those that had changed since, and were left alone.
    pub modified: Vec<Uid>,
}

/// Where messages have come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub uid_validity: UidValidity,
    /// The UIDs that they had, and have in the other mailbox; in order of the first.
    pub pairs: Vec<(Uid, Uid)>,
}

/// A message to be added.
#[derive(Debug, Clone)]
pub struct NewLetter {
    pub raw: Bytes,
    pub flags: Flags,
    pub keywords: Vec<String>,
    /// `None`: now.
    pub received_at: Option<Timestamp>,
}

/// Messages in one commit, so that nobody waits long for the writer.
pub(crate) const AT_ONCE: usize = 1_000;
/// A message has at most so many keywords.
const MAX_KEYWORDS: usize = 50;

impl Access {
    /// Changes flags; messages that changed after `unchanged_since` are left alone.
    pub async fn store(
        &self,
        mailbox: MailboxId,
        targets: &[Target],
        change: &Change,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored> {
        self.store_as(mailbox, targets, change, unchanged_since, Rights::FLAGS).await
    }

    /// Changes those flags that these rights are for.
    pub(crate) async fn store_as(
        &self,
        mailbox: MailboxId,
        targets: &[Target],
        change: &Change,
        unchanged_since: Option<ModSeq>,
        rights: Rights,
    ) -> Result<Stored> {
        check_keywords(change.keywords())?;
        let mut all = Stored::default();
        for targets in targets.chunks(AT_ONCE) {
            let (targets, change) = (targets.to_vec(), change.clone());
            let unit = Store { account: self.id, mailbox, targets, change, unchanged_since, rights };
            let (Stored { messages, modified }, step) = self.write(unit).await?;
            self.follow(step, &messages, &[]);
            all.messages.extend(messages);
            all.modified.extend(modified);
        }
        Ok(all)
    }

    /// Copies messages to another mailbox by one commit, so few; also what is there then. `None` if there is no such mailbox.
    pub(crate) async fn copy(
        &self,
        mailbox: MailboxId,
        targets: Vec<Target>,
        to: MailboxId,
    ) -> Result<Option<(Copied, Vec<Target>)>> {
        let random = targets.iter().map(|_| self.service.random_bytes()).collect();
        let now = self.service.now();
        self.write(CopyAll { account: self.id, mailbox, targets, random, now, to }).await
    }

    /// Moves messages to a mailbox, which may be the one that they are in; `None` if there is no such mailbox.
    pub async fn move_all(
        &self,
        mailbox: MailboxId,
        targets: &[Target],
        to: MailboxId,
    ) -> Result<Option<Copied>> {
        let mut all: Option<Copied> = None;
        // None at all is a question, too: whether there is such a mailbox.
        let chunks = if targets.is_empty() { 1 } else { targets.len().div_ceil(AT_ONCE) };
        for chunk in 0..chunks {
            let targets = targets.iter().skip(chunk * AT_ONCE).take(AT_ONCE).cloned().collect();
            let unit = MoveAll { account: self.id, mailbox, targets, to, now: self.service.now() };
            let Some((moved, step)) = self.write(unit).await? else { return Ok(all) };
            if to != mailbox {
                self.follow(step, &[], &moved.pairs.iter().map(|(from, _)| *from).collect::<Vec<_>>());
            }
            match &mut all {
                Some(all) => all.pairs.extend(moved.pairs),
                none => *none = Some(moved),
            }
        }
        Ok(all)
    }

    /// Removes those of these messages for good that have `\Deleted`.
    pub async fn expunge(&self, mailbox: MailboxId, targets: &[Target]) -> Result<()> {
        for targets in targets.chunks(AT_ONCE) {
            self.expunge_once(mailbox, targets, true).await?;
        }
        Ok(())
    }

    /// Removes these messages for good, all by one commit.
    pub async fn remove(&self, mailbox: MailboxId, targets: &[Target]) -> Result<()> {
        self.expunge_once(mailbox, targets, false).await
    }

    async fn expunge_once(&self, mailbox: MailboxId, targets: &[Target], only_deleted: bool) -> Result<()> {
        let unit = Expunge { account: self.id, mailbox, targets: targets.to_vec(), only_deleted };
        let (removed, step) = self.write(unit).await?;
        self.follow(step, &[], &removed);
        Ok(())
    }

    /// Adds messages, all or none; durable when it returns. `None` if there is no such mailbox.
    pub async fn append(
        &self,
        mailbox: MailboxId,
        letters: Vec<NewLetter>,
    ) -> Result<Option<(UidValidity, Vec<Target>)>> {
        let limit = self.service.config().max_message_bytes;
        if letters.iter().any(|letter| letter.raw.len() as u64 > limit) {
            return Err(Error::TooLarge(format!("a message has at most {limit} bytes")));
        }
        letters.iter().try_for_each(|letter| check_keywords(&letter.keywords))?;
        self.check_room(letters.iter().map(|letter| letter.raw.len() as u64).sum()).await?;
        let now = self.service.now();
        let (mut messages, mut texts) = (Vec::with_capacity(letters.len()), Vec::new());
        for letter in letters {
            let prepared = self.service.prepare(self.shard(), letter.raw).await?;
            let at = letter.received_at.unwrap_or(now);
            let id = MessageId::at(at, self.service.random_bytes());
            let mut message = prepared.message(self.id, id, Source::Mailbox(mailbox), at);
            message.flags = letter.flags;
            message.keywords = letter.keywords;
            message.saved_at = now;
            messages.push(message);
            texts.push((id, prepared));
        }
        let unit = Append { account: self.id, mailbox, deliver: Deliver { messages, ..Deliver::default() } };
        let appended = self.write(unit).await?;
        for (id, prepared) in texts {
            self.service.remember_text(&[(self.id, id)], &prepared);
        }
        Ok(appended)
    }
}

impl Change {
    /// What it makes of these flags and keywords.
    #[must_use]
    pub fn applied(&self, flags: Flags, keywords: &[String]) -> (Flags, Vec<String>) {
        let change = self.resolved(keywords.iter().cloned());
        let keywords = changed_keywords(keywords.to_vec(), &change.add_keywords, &change.remove_keywords);
        (flags.changed(change.add, change.remove), keywords)
    }

    /// The rights for what it changes, of which one is needed.
    pub(crate) fn asks(&self) -> Rights {
        let (Self::Add { flags, keywords } | Self::Remove { flags, keywords }) = self else {
            return Rights::FLAGS;
        };
        if *flags == Flags::NONE && keywords.is_empty() {
            return Rights::FLAGS;
        }
        Self::rights_for(*flags, keywords)
    }

    /// The rights that these are set with (RFC 4314 §4).
    pub(crate) fn rights_for(flags: Flags, keywords: &[String]) -> Rights {
        let for_flag = |flag, right| if flags.contains(flag) { right } else { Rights::NONE };
        let others = !(Flags::SEEN | Flags::DELETED) & flags;
        let is_other = others != Flags::NONE || !keywords.is_empty();
        for_flag(Flags::SEEN, Rights::SEEN)
            | for_flag(Flags::DELETED, Rights::DELETED)
            | if is_other { Rights::WRITE } else { Rights::NONE }
    }

    /// The flags that these rights are for (RFC 4314 §4).
    #[must_use]
    pub fn allowed(rights: Rights) -> Flags {
        let all = [
            (Rights::SEEN, Flags::SEEN),
            (Rights::DELETED, Flags::DELETED),
            (Rights::WRITE, !(Flags::SEEN | Flags::DELETED)),
        ];
        let allowed = all.into_iter().filter(|(right, _)| rights.contains(*right));
        allowed.fold(Flags::NONE, |all, (_, flags)| all | flags)
    }

    fn limited(mut change: FlagChange, rights: Rights) -> FlagChange {
        let allowed = Self::allowed(rights);
        change.add = change.add & allowed;
        change.remove = change.remove & allowed;
        if !rights.contains(Rights::WRITE) {
            change.add_keywords.clear();
            change.remove_keywords.clear();
        }
        change
    }

    fn keywords(&self) -> &[String] {
        match self {
            Self::Replace { keywords, .. } | Self::Add { keywords, .. } | Self::Remove { keywords, .. } => {
                keywords
            }
        }
    }

    /// The change for messages that have these keywords among them.
    fn resolved(&self, present: impl Iterator<Item = String>) -> FlagChange {
        match self.clone() {
            Self::Replace { flags, keywords } => FlagChange {
                add: flags,
                remove: !flags,
                remove_keywords: present.filter(|keyword| !has_keyword(&keywords, keyword)).collect(),
                add_keywords: keywords,
            },
            Self::Add { flags, keywords } => {
                FlagChange { add: flags, add_keywords: keywords, ..FlagChange::default() }
            }
            Self::Remove { flags, keywords } => {
                FlagChange { remove: flags, remove_keywords: keywords, ..FlagChange::default() }
            }
        }
    }
}

fn check_keywords(keywords: &[String]) -> Result<()> {
    if keywords.len() > MAX_KEYWORDS || !keywords.iter().all(|keyword| is_keyword(keyword)) {
        return Err(Error::invalid("keywords", "too many keywords, or one that is none"));
    }
    Ok(())
}

/// Those of the targets that are in the mailbox under their UIDs, in order of those.
async fn present(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    targets: &[Target],
) -> StorageResult<Vec<Placement>> {
    let uids: HashMap<_, _> = targets.iter().map(|target| (target.id, target.uid)).collect();
    let ids: Vec<_> = targets.iter().map(|target| target.id).collect();
    let mut found = tx.placements(account, &ids).await?;
    found.retain(|message| message.mailbox == mailbox && uids.get(&message.id) == Some(&message.uid));
    found.sort_unstable_by_key(|message| message.uid);
    Ok(found)
}

fn needs(account: AccountId) -> Needs {
    Needs { accounts: vec![account], ..Needs::default() }
}

struct Store {
    account: AccountId,
    mailbox: MailboxId,
    targets: Vec<Target>,
    change: Change,
    unchanged_since: Option<ModSeq>,
    rights: Rights,
}

#[async_trait]
impl Unit for Store {
    type Output = (Stored, Step);

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let before = tx.mailbox(self.account, self.mailbox).await?;
        let found = present(tx, self.account, self.mailbox, &self.targets).await?;
        let is_fresh = |message: &Placement| self.unchanged_since.is_none_or(|since| message.modseq <= since);
        let (found, modified): (Vec<_>, Vec<_>) = found.into_iter().partition(is_fresh);
        let change = self.change.resolved(found.iter().flat_map(|message| message.keywords.clone()));
        let change = Change::limited(change, self.rights);
        let ids: Vec<_> = found.iter().map(|message| message.id).collect();
        let mut messages = tx.change_flags(self.account, &ids, &change).await?;
        messages.sort_unstable_by_key(|message| message.uid);
        let after = tx.mailbox(self.account, self.mailbox).await?;
        let modified = modified.iter().map(|message| message.uid).collect();
        Ok((Stored { messages, modified }, Step { before, after }))
    }
}

struct CopyAll {
    account: AccountId,
    mailbox: MailboxId,
    targets: Vec<Target>,
    /// For the ids of the copies.
    random: Vec<[u8; 10]>,
    now: Timestamp,
    to: MailboxId,
}

#[async_trait]
impl Unit for CopyAll {
    type Output = Option<(Copied, Vec<Target>)>;

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        tx.provision(self.account, self.now).await?;
        let Some(target) = tx.mailbox(self.account, self.to).await? else { return Ok(None) };
        let found = present(tx, self.account, self.mailbox, &self.targets).await?;
        let copy = |(message, random): (&Placement, &[u8; 10])| Copy {
            from: message.id,
            to: MessageId::at(message.received_at, *random),
        };
        let copies: Vec<_> = found.iter().zip(&self.random).map(copy).collect();
        let made = tx.copy_messages(self.account, &copies, self.to, self.now).await?;
        let uids: HashMap<_, _> = made.iter().map(|message| (message.id, message.uid)).collect();
        let pair = |(message, copy): (&Placement, &Copy)| uids.get(&copy.to).map(|uid| (message.uid, *uid));
        let pairs = found.iter().zip(&copies).filter_map(pair).collect();
        let there = made.iter().map(|message| Target { id: message.id, uid: message.uid }).collect();
        Ok(Some((Copied { uid_validity: target.uid_validity, pairs }, there)))
    }
}

struct MoveAll {
    account: AccountId,
    mailbox: MailboxId,
    targets: Vec<Target>,
    to: MailboxId,
    now: Timestamp,
}

#[async_trait]
impl Unit for MoveAll {
    type Output = Option<(Copied, Step)>;

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let Some(target) = tx.mailbox(self.account, self.to).await? else { return Ok(None) };
        let before = tx.mailbox(self.account, self.mailbox).await?;
        let found = present(tx, self.account, self.mailbox, &self.targets).await?;
        let ids: Vec<_> = found.iter().map(|message| message.id).collect();
        let moved = if self.to == self.mailbox {
            // RFC 6851 §3.3
            tx.renumber_messages(self.account, &ids, self.now).await?
        } else {
            tx.move_messages(self.account, &ids, self.to, self.now).await?
        };
        let uids: HashMap<_, _> = moved.iter().map(|message| (message.id, message.uid)).collect();
        let pair = |message: &Placement| uids.get(&message.id).map(|uid| (message.uid, *uid));
        let pairs = found.iter().filter_map(pair).collect();
        let after = tx.mailbox(self.account, self.mailbox).await?;
        Ok(Some((Copied { uid_validity: target.uid_validity, pairs }, Step { before, after })))
    }
}

struct Expunge {
    account: AccountId,
    mailbox: MailboxId,
    targets: Vec<Target>,
    only_deleted: bool,
}

#[async_trait]
impl Unit for Expunge {
    /// The UIDs that are gone, in order.
    type Output = (Vec<Uid>, Step);

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let before = tx.mailbox(self.account, self.mailbox).await?;
        let mut found = present(tx, self.account, self.mailbox, &self.targets).await?;
        // Somebody may have taken the flag away meanwhile.
        found.retain(|message| !self.only_deleted || message.flags.contains(Flags::DELETED));
        let ids: Vec<_> = found.iter().map(|message| message.id).collect();
        tx.expunge(self.account, &ids).await?;
        let after = tx.mailbox(self.account, self.mailbox).await?;
        Ok((found.iter().map(|message| message.uid).collect(), Step { before, after }))
    }
}

struct Append {
    account: AccountId,
    mailbox: MailboxId,
    deliver: Deliver,
}

#[async_trait]
impl Unit for Append {
    type Output = Option<(UidValidity, Vec<Target>)>;

    fn needs(&self) -> Needs {
        self.deliver.needs()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let Some(mailbox) = tx.mailbox(self.account, self.mailbox).await? else { return Ok(None) };
        let appended = self.deliver.run(tx).await?;
        let added = |(appended, new): (Appended, &NewMessage)| match appended {
            Appended::New { uid, .. } => Some(Target { id: new.id, uid }),
            Appended::Duplicate => None,
        };
        let added = appended.into_iter().zip(&self.deliver.messages).filter_map(added).collect();
        Ok(Some((mailbox.uid_validity, added)))
    }
}
