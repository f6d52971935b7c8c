//! Annotations: what mail programs note with mailboxes and with the account (RFC 5464).

use async_trait::async_trait;
use storage::{Annotation, Needs, Result as StorageResult, Snapshot, Transaction, Unit};
use types::{AccountId, MailboxId, Timestamp};

use crate::{Access, Result};

/// Bytes of a value.
pub const MAX_VALUE: usize = 16 << 10;
/// Annotations of an account, and their bytes in all: they are read at once.
const MAX_ANNOTATIONS: usize = 500;
const MAX_BYTES: usize = 1 << 20;

/// Why nothing was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNoted {
    /// There is no such mailbox.
    NonExistent,
    /// A value is longer than this.
    TooLong(usize),
    /// There would be too many, or too many bytes.
    TooMany,
}

/// Names with the values that they are to have; `None` removes one.
pub type Notes = Vec<(String, Option<Vec<u8>>)>;

impl Access {
    /// All annotations, by mailbox and name; one query.
    pub async fn annotations(&self) -> Result<Vec<Annotation>> {
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
