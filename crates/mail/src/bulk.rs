//! What mail programs do to many messages of a mailbox at once: flags, copies, moves, expunges, and new ones.
//!
//! A program names messages by what it believes of the mailbox. Each unit looks again: what is not in the mailbox any
//! more under this UID is left alone.

mod units;

use bytes::Bytes;
use storage::{FlagChange, Listed, Source};
use types::{
    Flags, MailboxId, MessageId, ModSeq, Rights, Timestamp, Uid, UidValidity,
    flags::{changed_keywords, has_keyword, is_keyword},
};

use self::units::{Append, CopyAll, Expunge, MoveAll, Store};
use crate::deliver::Deliver;
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
    /// The messages that are so then, those that were so before included.
    pub uids: Vec<Uid>,
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
            let unit = Store {
                account: self.id,
                mailbox,
                known: self.known_roll(mailbox),
                targets: targets.to_vec(),
                change: change.clone(),
                unchanged_since,
                rights,
            };
            let ((Stored { uids, modified }, changed), stamp) = self.write_stamped(unit).await?;
            if let Some((messages, step)) = changed {
                self.follow(step, messages, &[], stamp);
            }
            all.uids.extend(uids);
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
        let is_owner = self.warrant.is_owners();
        self.write(CopyAll { account: self.id, mailbox, targets, random, now, to, is_owner }).await
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
            let (is_owner, now) = (self.warrant.is_owners(), self.service.now());
            let unit = MoveAll { account: self.id, mailbox, targets, to, now, is_owner };
            let (moved, stamp) = self.write_stamped(unit).await?;
            let Some((moved, step)) = moved else { return Ok(all) };
            if to != mailbox {
                let gone: Vec<_> = moved.pairs.iter().map(|(from, _)| *from).collect();
                self.follow(step, Vec::new(), &gone, stamp);
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
        let (known, targets) = (self.known_roll(mailbox), targets.to_vec());
        let unit = Expunge { account: self.id, mailbox, known, targets, only_deleted };
        let ((removed, step), stamp) = self.write_stamped(unit).await?;
        self.follow(step, Vec::new(), &removed, stamp);
        Ok(())
    }

    /// Adds messages, all or none; durable when it returns. `None` if there is no such mailbox.
    pub async fn append(
        &self,
        mailbox: MailboxId,
        letters: Vec<NewLetter>,
    ) -> Result<Option<(UidValidity, Vec<Target>)>> {
        self.append_for(mailbox, letters, 0).await
    }

    /// The same for messages of so many bytes, which are to go then.
    pub(crate) async fn append_for(
        &self,
        mailbox: MailboxId,
        letters: Vec<NewLetter>,
        replaced_bytes: u64,
    ) -> Result<Option<(UidValidity, Vec<Target>)>> {
        let limit = self.service.config().max_message_bytes;
        if letters.iter().any(|letter| letter.raw.len() as u64 > limit) {
            return Err(Error::TooLarge(format!("a message has at most {limit} bytes")));
        }
        letters.iter().try_for_each(|letter| check_keywords(&letter.keywords))?;
        let bytes = letters.iter().map(|letter| letter.raw.len() as u64).sum();
        self.check_growth(bytes, replaced_bytes).await?;
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
        let (added, stamp) = self.write_stamped(unit).await?;
        for (id, prepared) in texts {
            self.service.remember_text(&[(self.id, id)], &prepared);
        }
        Ok(added.map(|added| {
            let target = |message: &Listed| Target { id: message.id, uid: message.uid };
            let targets = added.messages.iter().map(target).collect();
            self.follow(added.step, added.messages, &[], stamp);
            (added.uid_validity, targets)
        }))
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
