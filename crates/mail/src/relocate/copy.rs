//! Copying one account to its new shard, and comparing the two.

use std::{collections::HashSet, pin::pin, time::Duration};

use async_trait::async_trait;
use storage::{
    Needs, Result as StorageResult, Transaction, Unit,
    moves::Move,
    replica::{self, Cursor, Digest, Record},
};
use tokio::time::sleep;
use types::{AccountId, BlobId, Bucket, ModSeq, ShardId};

use crate::{Error, Result, Service};

/// How often a mover is heard of while it compares a large account: well within [`super::SILENCE`].
const BEAT_EVERY: Duration = Duration::from_secs(5);

/// Copies accounts from a shard to another.
pub(super) struct Copier {
    pub(super) service: Service,
    pub(super) from: ShardId,
    pub(super) to: ShardId,
    bucket: Bucket,
    mover: String,
    /// Blobs that were brought over.
    blobs: HashSet<BlobId>,
    /// Records that were copied.
    pub(super) records: u64,
}

impl Copier {
    pub(super) fn new(service: Service, running: &Move, mover: &str) -> Self {
        let Move { bucket, from, to, .. } = *running;
        Self { service, from, to, bucket, mover: mover.to_owned(), blobs: HashSet::new(), records: 0 }
    }

    /// Says that this goes on; an error if somebody has taken the move over.
    pub(super) async fn beat(&self) -> Result<()> {
        let now = self.service.now();
        if self.service.parts.directory.beat(self.bucket, &self.mover, now).await? {
            Ok(())
        } else {
            Err(taken_over(self.bucket))
        }
    }

    pub(super) fn blobs(&self) -> u64 {
        self.blobs.len() as u64
    }

    /// One round: the copy is then as the account was when it began, or later. Returns how many records it took.
    pub(super) async fn round(&mut self, account: AccountId) -> Result<usize> {
        let mut since = self.copied(account).await?;
        let mut count = 0;
        let shards = self.service.parts.shards.clone();
        let original = shards.latest(self.from).await?.account(account).await?;
        let forgotten = original.map_or(ModSeq(0), |original| original.forgotten);
        if forgotten > since {
            // What was removed is not known any more: begin with nothing.
            self.clear(account).await?;
            since = ModSeq(0);
        }
        let mut cursor = Some(Cursor::after(since));
        while let Some(at) = cursor {
            let page = shards.snapshot(self.from).await?.export(account, at).await?;
            for blob in page.blobs() {
                if self.blobs.insert(blob) && !self.service.bring(blob, self.from, self.to).await? {
                    tracing::error!(%account, %blob, "a blob is missing, and so it will be on the new shard");
                }
            }
            count += page.records.len();
            self.beat().await?;
            let import =
                Import { bucket: self.bucket, mover: self.mover.clone(), account, records: page.records };
            if !self.execute(import).await? {
                return Err(taken_over(self.bucket));
            }
            cursor = page.next;
        }
        self.records += count as u64;
        Ok(count)
    }

    /// Up to which modseq the account was copied.
    pub(super) async fn copied(&self, account: AccountId) -> Result<ModSeq> {
        let state = self.service.parts.shards.latest(self.to).await?.account(account).await?;
        Ok(state.map(|state| state.modseq).unwrap_or_default())
    }

    /// Both digests of what came after `since`.
    pub(super) async fn digests(&self, account: AccountId, since: ModSeq) -> Result<(Digest, Digest)> {
        Ok((self.digest(self.from, account, since).await?, self.digest(self.to, account, since).await?))
    }

    async fn digest(&self, shard: ShardId, account: AccountId, since: ModSeq) -> Result<Digest> {
        let mut snapshot = self.service.parts.shards.snapshot(shard).await?;
        let mut digest = pin!(replica::digest(&mut *snapshot, account, since));
        loop {
            tokio::select! {
                done = &mut digest => return Ok(done?),
                () = sleep(BEAT_EVERY) => self.beat().await?,
            }
        }
    }

    /// Removes what was copied of an account; an error if it is not this mover's copy any more.
    pub(super) async fn clear(&self, account: AccountId) -> Result<()> {
        self.service.clear_account(self.to, self.bucket, Some(&self.mover), account).await
    }

    async fn execute<U: Unit>(&self, unit: U) -> Result<U::Output> {
        self.service.quietly(self.to, unit).await
    }
}

pub(super) fn taken_over(bucket: Bucket) -> Error {
    Error::Conflict(format!("another process has taken over the move of bucket {}", bucket.0))
}

/// Adds to the copy, as long as it is this mover's: otherwise it may be the original by now.
struct Import {
    bucket: Bucket,
    mover: String,
    account: AccountId,
    records: Vec<Record>,
}

#[async_trait]
impl Unit for Import {
    type Output = bool;

    /// None: the account does not live there yet.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<bool> {
        let fence = tx.fenced(self.bucket).await?;
        if fence.is_none_or(|fence| fence.closed || fence.mover != self.mover) {
            return Ok(false);
        }
        tx.import(self.account, &self.records).await.map(|()| true)
    }
}

/// Rows that are removed in one transaction: others wait for its end.
const ROWS_AT_ONCE: u32 = 500;

/// Removes some rows of an account that does not live there: of this mover's copy, or, without a mover, of what has
/// moved away for good. Whether there were any; `None` if the account may live there by now.
struct Clear {
    bucket: Bucket,
    mover: Option<String>,
    account: AccountId,
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

impl Service {
    /// Removes all rows of an account by [`Clear`].
    pub(super) async fn clear_account(
        &self,
        shard: ShardId,
        bucket: Bucket,
        mover: Option<&str>,
        account: AccountId,
    ) -> Result<()> {
        loop {
            let clear = Clear { bucket, mover: mover.map(str::to_owned), account };
            match self.quietly(shard, clear).await? {
                Some(true) => {}
                Some(false) => return Ok(()),
                None => return Err(taken_over(bucket)),
            }
        }
    }
}

/// Puts a fence up, closes it or lifts it. Whether it did.
pub(super) enum Fencing {
    Up(Bucket, String),
    /// Where the bucket goes; not if it lives there.
    Receive(Bucket, String),
    Close(Bucket, String),
    Lift(Bucket),
}

#[async_trait]
impl Unit for Fencing {
    type Output = bool;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<bool> {
        match self {
            Self::Up(bucket, mover) => tx.fence(*bucket, mover).await,
            Self::Receive(bucket, mover) => tx.receive(*bucket, mover).await,
            Self::Close(bucket, mover) => tx.close_fence(*bucket, mover).await,
            Self::Lift(bucket) => tx.lift_fence(*bucket).await.map(|()| true),
        }
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
