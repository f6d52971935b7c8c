//! What somebody may write with an account's access: its owner everything, others what they have the rights for.
//!
//! Rights are read when somebody reaches for a mailbox, and a unit may wait long for its turn. So a unit of somebody
//! else's runs inside another, which asks for the rights again in the same transaction: once it is acknowledged that
//! rights were taken away, nothing more is written by them.

use async_trait::async_trait;
use storage::{Needs, Result as StorageResult, Stamp, Transaction, Unit};
use types::{AccountId, MailboxId, Rights};

use crate::reach::{Grantee, refusal};
use crate::{Access, Error, Result};

/// On whose right an access writes.
#[derive(Debug, Clone)]
pub(crate) enum Warrant {
    Owner,
    /// Somebody else, for as long as they have all of these; without any, nothing is written.
    Others(Vec<Held>),
}

impl Warrant {
    pub(crate) const fn is_owners(&self) -> bool {
        matches!(self, Self::Owner)
    }
}

/// Rights that somebody must have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) grantee: Grantee,
    pub(crate) mailbox: MailboxId,
    pub(crate) rights: Rights,
}

impl Access {
    /// Runs a unit of work on the account's shard, if who has this access may.
    pub(crate) async fn write<U: Unit>(&self, unit: U) -> Result<U::Output> {
        Ok(self.write_stamped(unit).await?.0)
    }

    /// The same; also the shard's stamp after it, as [`Service::write_stamped`] gives it.
    pub(crate) async fn write_stamped<U: Unit>(&self, unit: U) -> Result<(U::Output, Option<Stamp>)> {
        let (service, shard) = (&self.service, self.shard());
        match &self.warrant {
            Warrant::Owner => service.write_stamped(shard, unit).await,
            Warrant::Others(held) if held.is_empty() => {
                Err(Error::Internal("somebody else writes, and no right was asked for".to_owned()))
            }
            Warrant::Others(held) => {
                let unit = Warranted { owner: self.id, held: held.clone(), unit };
                let (output, stamp) = service.write_stamped(shard, unit).await?;
                Ok((output?, stamp))
            }
        }
    }
}

/// A unit that changes nothing unless somebody has the rights for it at that moment.
struct Warranted<U> {
    owner: AccountId,
    held: Vec<Held>,
    unit: U,
}

#[async_trait]
impl<U: Unit> Unit for Warranted<U> {
    type Output = Result<U::Output>;

    fn needs(&self) -> Needs {
        let mut needs = self.unit.needs();
        if !needs.accounts.contains(&self.owner) {
            needs.accounts.push(self.owner);
        }
        needs
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        for held in &self.held {
            let rights = held.grantee.rights(tx, self.owner, held.mailbox).await?;
            if !rights.contains(held.rights) {
                return Ok(Err(refusal(rights)));
            }
        }
        self.unit.run(tx).await.map(Ok)
    }
}
