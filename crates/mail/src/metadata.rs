//! Annotations: what mail programs note with mailboxes and with the account (RFC 5464).
//!
//! Of what is noted with a mailbox, `/shared` is its owner's, and there for all who may read it; `/private` is each
//! one's own. What somebody notes privately with another's mailbox is theirs alone, and so it is kept with their account
//! and held against its limits: under names that begin with [`OF_OTHERS`], which nobody can ask for.

use async_trait::async_trait;
use storage::{Annotation, Needs, Result as StorageResult, Snapshot, Transaction, Unit};
use types::{AccountId, MailboxId, Rights, Timestamp};

use crate::{Access, Reach, Result};

/// Bytes of a value.
pub const MAX_VALUE: usize = 16 << 10;
/// Annotations of an account, and their bytes in all: they are read at once.
const MAX_ANNOTATIONS: usize = 500;
const MAX_BYTES: usize = 1 << 20;
/// Before the owner and the mailbox of what is noted with others' mailboxes.
pub(crate) const OF_OTHERS: &str = "others/";
/// RFC 5464 §3.3 asks for no less. Who notes something for all changes the mailbox, too.
pub(crate) const TO_READ: Rights = Rights::from_bits(Rights::LOOKUP.bits() | Rights::READ.bits());
const TO_SHARE: Rights = Rights::from_bits(TO_READ.bits() | Rights::WRITE.bits());

/// Why nothing was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNoted {
    /// There is no such mailbox.
    NonExistent,
    /// A value is longer than this.
    TooLong(usize),
    /// There would be too many, or too many bytes.
    TooMany,
    /// Some are private and some are for all, which are kept apart where the mailbox is another's.
    Mixed,
}

/// Names with the values that they are to have; `None` removes one.
pub type Notes = Vec<(String, Option<Vec<u8>>)>;

impl Access {
    /// All annotations of the account and its mailboxes; one query.
    pub async fn annotations(&self) -> Result<Vec<Annotation>> {
        let mut all = self.all_annotations().await?;
        all.retain(|note| !note.name.starts_with(OF_OTHERS));
        Ok(all)
    }

    /// With those of others' mailboxes.
    pub(crate) async fn all_annotations(&self) -> Result<Vec<Annotation>> {
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move {
            let all = shard.annotations(account).await?;
            Ok((!all.is_empty()).then_some(all))
        };
        Ok(self.service.look(account, look).await?.unwrap_or_default())
    }

    /// Notes something with a mailbox, or with the account; all or nothing.
    pub async fn annotate(&self, mailbox: Option<MailboxId>, notes: Notes) -> Result<Result<(), NotNoted>> {
        if notes.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.len() > MAX_VALUE)) {
            return Ok(Err(NotNoted::TooLong(MAX_VALUE)));
        }
        let unit = Annotate { account: self.id, mailbox, notes, now: self.service.now() };
        self.write(unit).await
    }

    /// Removes what was noted with mailboxes that are not shared any more; whether there was anything.
    async fn forget_unshared(&self) -> Result<bool> {
        let mut gone = Notes::new();
        for note in self.all_annotations().await? {
            if let Some((owner, mailbox)) = place(&note.name)
                && self.is_unshared(owner, mailbox).await
            {
                gone.push((note.name, None));
            }
        }
        Ok(!gone.is_empty() && self.annotate(None, gone).await?.is_ok())
    }

    /// Whether it is certain that the mailbox is not shared any more: while an owner is disabled, or away, nobody knows.
    async fn is_unshared(&self, owner: AccountId, mailbox: MailboxId) -> bool {
        match self.service.parts.directory.account(owner).await {
            Ok(Some(account)) if account.enabled => matches!(self.reach(owner, mailbox).await, Ok(None)),
            Ok(Some(_)) | Err(_) => false,
            Ok(None) => true,
        }
    }
}

impl Reach {
    /// What is noted with the mailbox, as far as it concerns who reaches for it.
    pub async fn annotations(&self) -> Result<Vec<Annotation>> {
        self.check(TO_READ)?;
        let mut all = self.door().annotations().await?;
        all.retain(|note| note.mailbox == Some(self.mailbox()));
        let Some(guest) = self.guest() else { return Ok(all) };
        all.retain(|note| is_shared(&note.name));
        let above = above(self.owner(), self.mailbox());
        let own = guest.all_annotations().await?.into_iter().filter(|note| note.mailbox.is_none());
        all.extend(own.filter_map(|note| {
            let name = note.name.strip_prefix(&above).filter(|name| name.starts_with('/'))?.to_owned();
            Some(Annotation { mailbox: Some(self.mailbox()), name, value: note.value })
        }));
        Ok(all)
    }

    /// Notes something with the mailbox; all or nothing.
    pub async fn annotate(&self, notes: Notes) -> Result<Result<(), NotNoted>> {
        let Some(guest) = self.guest() else {
            return self.door().annotate(Some(self.mailbox()), notes).await;
        };
        let for_all = notes.iter().filter(|(name, _)| is_shared(name)).count();
        if for_all == notes.len() {
            return self.writing(TO_SHARE)?.annotate(Some(self.mailbox()), notes).await;
        }
        self.check(TO_READ)?;
        if for_all > 0 {
            return Ok(Err(NotNoted::Mixed));
        }
        let above = above(self.owner(), self.mailbox());
        let notes: Notes = notes.into_iter().map(|(name, value)| (format!("{above}{name}"), value)).collect();
        let noted = guest.annotate(None, notes.clone()).await?;
        match noted {
            Err(NotNoted::TooMany) if guest.forget_unshared().await? => guest.annotate(None, notes).await,
            noted => Ok(noted),
        }
    }
}

/// Whether all who may read the mailbox are told of it.
pub(crate) fn is_shared(name: &str) -> bool {
    name.strip_prefix("/shared").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the names of a guest's private notes begin with, before what the guest calls them.
pub(crate) fn above(owner: AccountId, mailbox: MailboxId) -> String {
    format!("{OF_OTHERS}{}/{}", owner.0, mailbox.0)
}

/// Whose mailbox a guest's private note is of, and which.
fn place(name: &str) -> Option<(AccountId, MailboxId)> {
    let mut parts = name.strip_prefix(OF_OTHERS)?.split('/');
    Some((AccountId(parts.next()?.parse().ok()?), MailboxId(parts.next()?.parse().ok()?)))
}

struct Annotate {
    account: AccountId,
    mailbox: Option<MailboxId>,
    notes: Notes,
    now: Timestamp,
}

impl Annotate {
    fn is_changed(&self, annotation: &Annotation) -> bool {
        annotation.mailbox == self.mailbox && self.notes.iter().any(|(name, _)| *name == annotation.name)
    }
}

#[async_trait]
impl Unit for Annotate {
    type Output = Result<(), NotNoted>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        tx.provision(self.account, self.now).await?;
        if let Some(mailbox) = self.mailbox
            && tx.mailbox(self.account, mailbox).await?.is_none()
        {
            return Ok(Err(NotNoted::NonExistent));
        }
        let there = tx.annotations(self.account).await?;
        let kept = there.iter().filter(|annotation| !self.is_changed(annotation));
        let kept = kept.map(|annotation| annotation.name.len() + annotation.value.len());
        let new = self.notes.iter().filter_map(|(name, value)| Some(name.len() + value.as_ref()?.len()));
        let sizes: Vec<_> = kept.chain(new).collect();
        if sizes.len() > MAX_ANNOTATIONS || sizes.iter().sum::<usize>() > MAX_BYTES {
            return Ok(Err(NotNoted::TooMany));
        }
        tx.annotate(self.account, self.mailbox, &self.notes).await?;
        Ok(Ok(()))
    }
}
