//! The units of work: each looks for itself what is in the mailbox, by a list of it where that is as the mailbox is.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use storage::{
    Appended, Copy, FlagChange, Listed, Mailbox, Needs, NewMessage, Placement, Result, Transaction, Unit,
};
use types::{
    AccountId, Flags, MailboxId, MessageId, ModSeq, Rights, Timestamp, Uid, UidValidity,
    flags::changed_keywords,
};

use super::{Change, Copied, Stored, Target};
use crate::deliver::Deliver;
use crate::junk::{Judgement, judge};
use crate::listing::{Roll, Step};

/// Those of the targets that are in the mailbox under their UIDs, in order of those.
async fn present(
    tx: &mut dyn Transaction,
    account: AccountId,
    mailbox: MailboxId,
    targets: &[Target],
) -> Result<Vec<Placement>> {
    let uids: HashMap<_, _> = targets.iter().map(|target| (target.id, target.uid)).collect();
    let ids: Vec<_> = targets.iter().map(|target| target.id).collect();
    let mut found = tx.placements(account, &ids).await?;
    found.retain(|message| message.mailbox == mailbox && uids.get(&message.id) == Some(&message.uid));
    found.sort_unstable_by_key(|message| message.uid);
    Ok(found)
}

/// The same by a list of the mailbox, without reading; `None` if the mailbox is not as the list has it.
fn those_listed(known: Option<&Roll>, now: Option<&Mailbox>, targets: &[Target]) -> Option<Vec<Listed>> {
    let known = known.filter(|known| now == Some(&known.mailbox))?;
    let mut find = known.messages.finder();
    let mut listed: Vec<Listed> = Vec::with_capacity(targets.len());
    for target in targets {
        listed
            .extend(find(target.uid).map(|(_, there)| there).filter(|there| there.id == target.id).cloned());
    }
    listed.sort_unstable_by_key(|message| message.uid);
    listed.dedup_by_key(|message| message.uid);
    Some(listed)
}

fn needs(account: AccountId) -> Needs {
    Needs { accounts: vec![account], stamp: true, ..Needs::default() }
}

pub(super) struct Store {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    /// The mailbox as it may be.
    pub(super) known: Option<Arc<Roll>>,
    pub(super) targets: Vec<Target>,
    pub(super) change: Change,
    pub(super) unchanged_since: Option<ModSeq>,
    pub(super) rights: Rights,
}

#[async_trait]
impl Unit for Store {
    /// What was changed by the list, too.
    type Output = (Stored, Option<(Vec<Listed>, Step)>);

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Self::Output> {
        let before = tx.mailbox(self.account, self.mailbox).await?;
        let Some(listed) = those_listed(self.known.as_deref(), before.as_ref(), &self.targets) else {
            return Ok((self.store_found(tx).await?, None));
        };
        let (stored, mut changed) = self.store_listed(tx, listed).await?;
        let since = before.as_ref().map(|before| before.modseq);
        changed.retain(|message| Some(message.modseq) > since);
        let after = tx.mailbox(self.account, self.mailbox).await?;
        Ok((stored, Some((changed, Step { before, after }))))
    }
}

impl Store {
    async fn store_listed(
        &self,
        tx: &mut dyn Transaction,
        listed: Vec<Listed>,
    ) -> Result<(Stored, Vec<Listed>)> {
        let (fresh, modified): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|message| self.is_fresh(message.modseq));
        let change = self.resolved(fresh.iter().flat_map(|message| message.keywords.iter().cloned()));
        let changed = tx.change_listed(self.account, self.mailbox, fresh, &change).await?;
        let uids = changed.iter().map(|message| message.uid).collect();
        let modified = modified.iter().map(|message| message.uid).collect();
        Ok((Stored { uids, modified }, changed))
    }

    async fn store_found(&self, tx: &mut dyn Transaction) -> Result<Stored> {
        let found = present(tx, self.account, self.mailbox, &self.targets).await?;
        let (fresh, modified): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|message| self.is_fresh(message.modseq));
        let change = self.resolved(fresh.iter().flat_map(|message| message.keywords.clone()));
        let ids: Vec<_> = fresh.iter().map(|message| message.id).collect();
        let changed = tx.change_flags(self.account, &ids, &change).await?;
        let mut uids: Vec<_> = changed.iter().map(|message| message.uid).collect();
        uids.sort_unstable();
        let modified = modified.iter().map(|message| message.uid).collect();
        Ok(Stored { uids, modified })
    }

    fn is_fresh(&self, modseq: ModSeq) -> bool {
        self.unchanged_since.is_none_or(|since| modseq <= since)
    }

    /// The change for messages that have these keywords among them.
    fn resolved(&self, present: impl Iterator<Item = String>) -> FlagChange {
        Change::limited(self.change.resolved(present), self.rights)
    }
}

pub(super) struct CopyAll {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    pub(super) targets: Vec<Target>,
    /// For the ids of the copies.
    pub(super) random: Vec<[u8; 10]>,
    pub(super) now: Timestamp,
    pub(super) to: MailboxId,
    /// Whether the account's owner does it: others say nothing of their mail.
    pub(super) is_owner: bool,
}

#[async_trait]
impl Unit for CopyAll {
    type Output = Option<(Copied, Vec<Target>)>;

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Self::Output> {
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
        if self.is_owner
            && let Some(judgement) = Judgement::by(tx, self.account, self.to).await?
        {
            let meant = found.iter().zip(&copies).filter(|(message, _)| judgement.is_of(message));
            let meant: Vec<_> = meant.map(|(_, copy)| copy.to).collect();
            if !meant.is_empty() {
                tx.change_flags(self.account, &meant, &judgement.change).await?;
            }
        }
        let there = made.iter().map(|message| Target { id: message.id, uid: message.uid }).collect();
        Ok(Some((Copied { uid_validity: target.uid_validity, pairs }, there)))
    }
}

pub(super) struct MoveAll {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    pub(super) targets: Vec<Target>,
    pub(super) to: MailboxId,
    pub(super) now: Timestamp,
    /// As for [`CopyAll`].
    pub(super) is_owner: bool,
}

#[async_trait]
impl Unit for MoveAll {
    type Output = Option<(Copied, Step)>;

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Self::Output> {
        let Some(target) = tx.mailbox(self.account, self.to).await? else { return Ok(None) };
        let before = tx.mailbox(self.account, self.mailbox).await?;
        let found = present(tx, self.account, self.mailbox, &self.targets).await?;
        let ids: Vec<_> = found.iter().map(|message| message.id).collect();
        let moved = if self.to == self.mailbox {
            // RFC 6851 §3.3
            tx.renumber_messages(self.account, &ids, self.now).await?
        } else {
            if self.is_owner {
                judge(tx, self.account, &ids, self.to).await?;
            }
            tx.move_messages(self.account, &ids, self.to, self.now).await?
        };
        let uids: HashMap<_, _> = moved.iter().map(|message| (message.id, message.uid)).collect();
        let pair = |message: &Placement| uids.get(&message.id).map(|uid| (message.uid, *uid));
        let pairs = found.iter().filter_map(pair).collect();
        let after = tx.mailbox(self.account, self.mailbox).await?;
        Ok(Some((Copied { uid_validity: target.uid_validity, pairs }, Step { before, after })))
    }
}

pub(super) struct Expunge {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    /// The mailbox as it may be.
    pub(super) known: Option<Arc<Roll>>,
    pub(super) targets: Vec<Target>,
    pub(super) only_deleted: bool,
}

#[async_trait]
impl Unit for Expunge {
    /// The UIDs that are gone, in order.
    type Output = (Vec<Uid>, Step);

    fn needs(&self) -> Needs {
        needs(self.account)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Self::Output> {
        let before = tx.mailbox(self.account, self.mailbox).await?;
        // Somebody may have taken the flag away meanwhile.
        let goes = |flags: Flags| !self.only_deleted || flags.contains(Flags::DELETED);
        let gone = match those_listed(self.known.as_deref(), before.as_ref(), &self.targets) {
            Some(mut listed) => {
                listed.retain(|message| goes(message.flags));
                tx.expunge_listed(self.account, self.mailbox, &listed).await?;
                listed.iter().map(|message| message.uid).collect()
            }
            None => {
                let mut found = present(tx, self.account, self.mailbox, &self.targets).await?;
                found.retain(|message| goes(message.flags));
                let ids: Vec<_> = found.iter().map(|message| message.id).collect();
                tx.expunge(self.account, &ids).await?;
                found.iter().map(|message| message.uid).collect()
            }
        };
        let after = tx.mailbox(self.account, self.mailbox).await?;
        Ok((gone, Step { before, after }))
    }
}

pub(super) struct Append {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    pub(super) deliver: Deliver,
}

#[async_trait]
impl Unit for Append {
    type Output = Option<Added>;

    fn needs(&self) -> Needs {
        Needs { stamp: true, ..self.deliver.needs() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Self::Output> {
        let Some(before) = tx.mailbox(self.account, self.mailbox).await? else { return Ok(None) };
        let appended = self.deliver.run(tx).await?;
        let after = tx.mailbox(self.account, self.mailbox).await?;
        let added = |(appended, new): (Appended, &NewMessage)| match appended {
            Appended::New { uid, modseq, .. } => Some(Listed {
                id: new.id,
                uid,
                modseq,
                flags: new.flags,
                keywords: changed_keywords(new.keywords.clone(), &[], &[]).into(),
                received_at: new.received_at,
                sent_at: new.sent_at,
                size_bytes: new.body.size_bytes,
            }),
            Appended::Duplicate => None,
        };
        let messages = appended.into_iter().zip(&self.deliver.messages).filter_map(added).collect();
        let uid_validity = before.uid_validity;
        Ok(Some(Added { uid_validity, messages, step: Step { before: Some(before), after } }))
    }
}

/// What was appended, in order of the UIDs.
pub(super) struct Added {
    pub(super) uid_validity: UidValidity,
    pub(super) messages: Vec<Listed>,
    pub(super) step: Step,
}
