//! Mailboxes as they are reached: one's own, and those that others share.
//!
//! Here alone an account's door opens for somebody else, for one mailbox and as far as its owner lets them. Whoever
//! wants to do something with a mailbox takes a [`Reach`] for it, which knows the rights and asks them for everything
//! that it does; it gives nobody what it holds. What the rights are is read from the owner's shard each time, so take
//! a new one for each command, and rights that were taken away are gone with the next. Whatever is written asks for them
//! once more when it is ([`crate::warrant`]).

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cluster::Subscription;
use message::{Plain, Structure};
use storage::{Grant, Message, Transaction};
use types::{
    AccountId, Bucket, EmailAddress, MailboxId, MessageId, ModSeq, Rights, Timestamp, Uid, UidValidity,
};

use crate::bulk::{AT_ONCE, Change, NewLetter, Stored, Target};
use crate::letters::Letter;
use crate::listing::Roll;
use crate::plain::Texts;
use crate::portraits::Portrait;
use crate::warrant::{Held, Warrant};
use crate::{Access, Error, Result};

/// A mailbox that somebody may use, and what they may do with it. For its owner that is everything.
#[derive(Clone)]
pub struct Reach {
    /// The owner's; of somebody else's nothing is written through it as it is.
    door: Access,
    mailbox: MailboxId,
    rights: Rights,
    /// Who reaches for it, unless it is the owner.
    by: Option<By>,
}

#[derive(Clone)]
struct By {
    grantee: Grantee,
    access: Access,
}

/// Somebody who is given rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grantee {
    pub(crate) id: AccountId,
    /// See [`Grant::grantee_since`].
    pub(crate) since: Timestamp,
}

impl Grantee {
    pub(crate) fn is_meant(self, grant: &Grant) -> bool {
        grant.grantee == self.id && grant.grantee_since == self.since
    }

    /// What they may do with the mailbox, as the transaction sees it.
    pub(crate) async fn rights(
        self,
        tx: &mut dyn Transaction,
        owner: AccountId,
        mailbox: MailboxId,
    ) -> storage::Result<Rights> {
        let grants = tx.grants(owner, Some(self.id)).await?;
        let grant = grants.iter().find(|grant| grant.mailbox == mailbox && self.is_meant(grant));
        Ok(grant.map(|grant| grant.rights).unwrap_or_default())
    }
}

impl Access {
    /// The mailbox, if it is the account's own or is shared with it. Whether it is there is not looked up for one's own.
    pub async fn reach(&self, owner: AccountId, mailbox: MailboxId) -> Result<Option<Reach>> {
        if owner == self.id {
            return Ok(Some(Reach { door: self.clone(), mailbox, rights: Rights::ALL, by: None }));
        }
        let Some((door, by, grants)) = self.let_in(owner).await? else { return Ok(None) };
        let grant = grants.into_iter().find(|grant| grant.mailbox == mailbox);
        Ok(grant.map(|grant| Reach { door, mailbox, rights: grant.rights, by: Some(by) }))
    }

    /// All mailboxes that somebody else shares with this account.
    pub(crate) async fn reaches(&self, owner: AccountId) -> Result<Vec<Reach>> {
        let Some((door, by, grants)) = self.let_in(owner).await? else { return Ok(Vec::new()) };
        let one = |Grant { mailbox, rights, .. }| Reach {
            door: door.clone(),
            mailbox,
            rights,
            by: Some(by.clone()),
        };
        Ok(grants.into_iter().map(one).collect())
    }

    /// Somebody else's door, and for which mailboxes it is open to this account.
    async fn let_in(&self, owner: AccountId) -> Result<Option<(Self, By, Vec<Grant>)>> {
        let Some(door) = self.door_of(owner).await? else { return Ok(None) };
        let Some(grantee) = self.as_grantee().await? else { return Ok(None) };
        let grants = self.granted_by(owner, grantee).await?;
        Ok(Some((door, By { grantee, access: self.clone() }, grants)))
    }

    /// What the owner lets this account do, as of now.
    pub(crate) async fn granted_by(&self, owner: AccountId, grantee: Grantee) -> Result<Vec<Grant>> {
        let mut shard = self.service.shard_of(owner);
        let mut snapshot = self.service.latest(owner).await?;
        // On an old shard rights would stay that were taken away on the new one.
        if snapshot.fenced(Bucket::of(owner)).await?.is_some()
            && let Some(home) = self.service.moved(owner, shard).await?
        {
            shard = home;
            snapshot = self.service.parts.shards.latest(shard).await?;
        }
        let mut grants = snapshot.grants(owner, Some(grantee.id)).await?;
        grants.retain(|grant| grantee.is_meant(grant));
        Ok(grants)
    }

    /// This account as others name it in their grants; not while it is disabled.
    pub(crate) async fn as_grantee(&self) -> Result<Option<Grantee>> {
        let account = self.service.parts.directory.account(self.id).await?.filter(|account| account.enabled);
        Ok(account.map(|account| Grantee { id: account.id, since: account.created_at }))
    }

    /// The owner's own access, which stays in this crate: nothing here gives it to who asked. What a disabled account
    /// shares is closed like the account.
    async fn door_of(&self, owner: AccountId) -> Result<Option<Self>> {
        let account = self.service.parts.directory.account(owner).await?.filter(|account| account.enabled);
        let warrant = Warrant::Others(Vec::new());
        Ok(account.map(|account| Self { warrant, ..Self::new(&self.service, account) }))
    }
}

impl Reach {
    #[must_use]
    pub const fn mailbox(&self) -> MailboxId {
        self.mailbox
    }

    #[must_use]
    pub fn owner(&self) -> AccountId {
        self.door.id
    }

    #[must_use]
    pub fn owner_email(&self) -> &EmailAddress {
        &self.door.email
    }

    #[must_use]
    pub const fn rights(&self) -> Rights {
        self.rights
    }

    /// Whether it is somebody else's.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.by.is_some()
    }

    pub(crate) fn grantee(&self) -> Option<Grantee> {
        self.by.as_ref().map(|by| by.grantee)
    }

    /// The access of who reaches for somebody else's.
    pub(crate) fn guest(&self) -> Option<&Access> {
        self.by.as_ref().map(|by| &by.access)
    }

    /// The same with the rights as they are now; an error if there are none.
    pub async fn anew(&self) -> Result<Self> {
        let Some(by) = &self.by else { return Ok(self.clone()) };
        by.access.reach(self.owner(), self.mailbox).await?.ok_or(Error::NotFound("mailbox"))
    }

    pub(crate) const fn door(&self) -> &Access {
        &self.door
    }

    /// An error without all of these rights: what somebody cannot see does not exist for them.
    pub fn check(&self, needed: Rights) -> Result<()> {
        if self.rights.contains(needed) { Ok(()) } else { Err(refusal(self.rights)) }
    }

    /// The owner's access for something that is written with these rights, which are asked for then, too.
    pub(crate) fn writing(&self, needed: Rights) -> Result<Access> {
        self.check(needed)?;
        Ok(match self.held(needed) {
            Some(held) => Access { warrant: Warrant::Others(vec![held]), ..self.door.clone() },
            None => self.door.clone(),
        })
    }

    /// The same, with rights to another mailbox of the same owner's.
    pub(crate) fn writing_with(&self, needed: Rights, other: &Self, others: Rights) -> Result<Access> {
        other.check(others)?;
        let mut access = self.writing(needed)?;
        if let Warrant::Others(held) = &mut access.warrant {
            held.extend(other.held(others));
        }
        Ok(access)
    }

    /// Whether it is the same mailbox.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.owner(), self.mailbox) == (other.owner(), other.mailbox)
    }

    fn held(&self, rights: Rights) -> Option<Held> {
        let By { grantee, .. } = *self.by.as_ref()?;
        Some(Held { grantee, mailbox: self.mailbox, rights })
    }

    /// Bytes of a message, at most.
    #[must_use]
    pub fn max_message_bytes(&self) -> u64 {
        self.door.max_message_bytes()
    }

    /// Hints that something changed in somebody else's mailboxes.
    #[must_use]
    pub fn subscribe(&self) -> Option<Subscription> {
        self.is_shared().then(|| self.door.subscribe())
    }

    /// See [`Access::roll`].
    pub async fn roll(&self) -> Result<Option<Arc<Roll>>> {
        self.check(Rights::READ)?;
        self.door.roll(self.mailbox).await
    }

    /// See [`Access::vanished`].
    pub async fn vanished(&self, since: ModSeq) -> Result<Option<Vec<Uid>>> {
        self.check(Rights::READ)?;
        self.door.vanished(self.mailbox, since).await
    }

    /// The rows of those of these messages that are in the mailbox.
    pub async fn rows(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>> {
        self.check(Rights::READ)?;
        let mut rows = self.door.rows(ids).await?;
        if self.is_shared() {
            rows.retain(|_, row| row.mailbox == self.mailbox);
        }
        Ok(rows)
    }

    /// See [`Access::structures`].
    pub async fn structures(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Structure>> {
        self.door.structures(&self.of_these(ids).await?).await
    }

    /// See [`Access::portraits`].
    pub async fn portraits(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Portrait>> {
        self.door.portraits(&self.of_these(ids).await?).await
    }

    /// See [`Access::headers`].
    pub async fn headers(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Bytes>> {
        self.door.headers(&self.of_these(ids).await?).await
    }

    /// See [`Access::letters`].
    pub async fn letters(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Letter>> {
        self.door.letters(&self.of_these(ids).await?).await
    }

    /// See [`Access::signatures`].
    pub async fn signatures(&self, ids: &[MessageId]) -> Result<Vec<Option<Arc<[u8]>>>> {
        let these = self.of_these(ids).await?;
        let found = self.door.signatures(&these).await?;
        Ok(placed(ids, these, found))
    }

    /// See [`Access::texts`].
    pub async fn texts(&self, ids: &[MessageId], wanted: Texts) -> Result<Vec<Option<Arc<Plain>>>> {
        let these = self.of_these(ids).await?;
        let found = self.door.texts(&these, wanted).await?;
        Ok(placed(ids, these, found))
    }

    /// See [`Access::sign`].
    pub async fn sign(&self, mut signatures: Vec<(MessageId, Vec<u8>)>) -> Result<()> {
        let ids: Vec<_> = signatures.iter().map(|(id, _)| *id).collect();
        let here = self.of_these(&ids).await?;
        signatures.retain(|(id, _)| here.contains(id));
        self.writing(Rights::READ)?.sign(signatures).await
    }

    /// Those of these messages that are in the mailbox now: their owner may have moved some to where others see nothing.
    async fn of_these(&self, ids: &[MessageId]) -> Result<Vec<MessageId>> {
        self.check(Rights::READ)?;
        if !self.is_shared() {
            return Ok(ids.to_vec());
        }
        let rows = self.rows(ids).await?;
        Ok(ids.iter().copied().filter(|id| rows.contains_key(id)).collect())
    }

    /// Changes those of the flags that may be changed (RFC 4314 §4, STORE); an error if none of them may.
    pub async fn store(
        &self,
        targets: &[Target],
        change: &Change,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored> {
        let may = self.rights & change.asks();
        if may.is_empty() {
            return Err(refusal(self.rights));
        }
        self.writing(may)?.store_as(self.mailbox, targets, change, unchanged_since, may).await
    }

    /// Removes those of these messages for good that have `\Deleted`.
    pub async fn expunge(&self, targets: &[Target]) -> Result<()> {
        self.writing(Rights::EXPUNGE)?.expunge(self.mailbox, targets).await
    }

    /// Removes these messages for good, all by one commit.
    pub async fn remove(&self, targets: &[Target]) -> Result<()> {
        self.writing(Rights::DELETED | Rights::EXPUNGE)?.remove(self.mailbox, targets).await
    }

    /// Removes what was just added by something that is not to be, whatever the rights are by now.
    pub(crate) async fn take_back(&self, added: &[Target]) -> Result<()> {
        let owner = Access { warrant: Warrant::Owner, ..self.door.clone() };
        for added in added.chunks(AT_ONCE) {
            owner.remove(self.mailbox, added).await?;
        }
        Ok(())
    }

    /// Adds messages, all or none, with those of their flags that may be set here.
    pub async fn append(&self, letters: Vec<NewLetter>) -> Result<Option<(UidValidity, Vec<Uid>)>> {
        Ok(self.add(letters, 0).await?.map(uids))
    }

    /// The same for a message that is to be removed then: what it takes is room in its own account.
    pub async fn append_for(
        &self,
        letters: Vec<NewLetter>,
        (from, replaced): (&Self, &Target),
    ) -> Result<Option<(UidValidity, Vec<Uid>)>> {
        let mut replaced_bytes = 0;
        if from.owner() == self.owner()
            && let Some(row) = from.door.rows(&[replaced.id]).await?.get(&replaced.id)
            && (row.mailbox, row.uid) == (from.mailbox, replaced.uid)
        {
            replaced_bytes = row.size_bytes;
        }
        Ok(self.add(letters, replaced_bytes).await?.map(uids))
    }

    pub(crate) async fn add(
        &self,
        mut letters: Vec<NewLetter>,
        replaced_bytes: u64,
    ) -> Result<Option<(UidValidity, Vec<Target>)>> {
        let mut needed = Rights::INSERT;
        for letter in &mut letters {
            letter.flags = letter.flags & Change::allowed(self.rights);
            if !self.rights.contains(Rights::WRITE) {
                letter.keywords.clear();
            }
            needed = needed | Change::rights_for(letter.flags, &letter.keywords);
        }
        self.writing(needed)?.append_for(self.mailbox, letters, replaced_bytes).await
    }

    /// Whether messages that come here keep all their flags.
    pub(crate) fn keeps_flags(&self) -> bool {
        self.rights.contains(Rights::FLAGS)
    }
}

/// What somebody with these rights is told who would need others.
pub(crate) fn refusal(rights: Rights) -> Error {
    if rights.meets(Rights::LOOKUP | Rights::READ) {
        Error::Forbidden("Its owner has not given you the right to do that".to_owned())
    } else {
        Error::NotFound("mailbox")
    }
}

fn uids((validity, added): (UidValidity, Vec<Target>)) -> (UidValidity, Vec<Uid>) {
    (validity, added.iter().map(|added| added.uid).collect())
}

/// What was found of these messages, for each that was asked for.
fn placed<T: Clone>(asked: &[MessageId], these: Vec<MessageId>, found: Vec<Option<T>>) -> Vec<Option<T>> {
    if these.len() == asked.len() {
        return found;
    }
    let found: HashMap<_, _> = these.into_iter().zip(found).collect();
    asked.iter().map(|id| found.get(id).cloned().flatten()).collect()
}
