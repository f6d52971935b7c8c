//! The units of work of a move.

use async_trait::async_trait;
use storage::{Needs, Result as StorageResult, Transaction, Unit, replica::Record};
use types::{AccountId, Bucket};

/// Adds to copies, as long as they are this mover's: otherwise they may be the originals by now. Whether it did.
pub(super) struct Import {
    pub(super) bucket: Bucket,
    pub(super) mover: String,
    pub(super) parts: Vec<(AccountId, Vec<Record>)>,
}

#[async_trait]
impl Unit for Import {
    type Output = bool;

    /// None: the accounts do not live there yet.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<bool> {
        let fence = tx.fenced(self.bucket).await?;
        if fence.is_none_or(|fence| fence.closed || fence.mover != self.mover) {
            return Ok(false);
        }
        for (account, records) in &self.parts {
            tx.import(*account, records).await?;
        }
        Ok(true)
    }
}

/// Rows that are removed in one transaction: others wait for its end.
const ROWS_AT_ONCE: u32 = 500;

/// Removes some rows of an account that does not live there: of this mover's copy, or, without a mover, of what has
/// moved away for good. Whether there were any; `None` if the account may live there by now.
pub(super) struct Clear {
    pub(super) bucket: Bucket,
    pub(super) mover: Option<String>,
    pub(super) account: AccountId,
}

#[async_trait]
impl Unit for Clear {
    type Output = Option<bool>;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Option<bool>> {
        let lives_elsewhere = tx.fenced(self.bucket).await?.is_some_and(|fence| match &self.mover {
            Some(mover) => !fence.closed && fence.mover == *mover,
            None => fence.closed,
        });
        if !lives_elsewhere {
            return Ok(None);
        }
        tx.clear_some(self.account, ROWS_AT_ONCE).await.map(Some)
    }
}

/// Does something with the fences of buckets. Returns those with which it could.
pub(super) struct Fencing {
    pub(super) buckets: Vec<Bucket>,
    pub(super) act: Act,
}

/// With the name of the mover.
pub(super) enum Act {
    Up(String),
    /// Where the bucket goes; not if it lives there.
    Receive(String),
    Close(String),
    Lift(String),
}

#[async_trait]
impl Unit for Fencing {
    type Output = Vec<Bucket>;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Vec<Bucket>> {
        let mut done = Vec::new();
        for bucket in &self.buckets {
            let could = match &self.act {
                Act::Up(mover) => tx.fence(*bucket, mover).await?,
                Act::Receive(mover) => tx.receive(*bucket, mover).await?,
                Act::Close(mover) => tx.close_fence(*bucket, mover).await?,
                Act::Lift(mover) => tx.lift_fence(*bucket, mover).await?,
            };
            if could {
                done.push(*bucket);
            }
        }
        Ok(done)
    }
}

/// Notes the buckets of accounts.
pub(super) struct Place(pub(super) Option<AccountId>);

#[async_trait]
impl Unit for Place {
    type Output = Option<AccountId>;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Option<AccountId>> {
        tx.place(self.0).await
    }
}
