//! Moving buckets between shards while their users read and receive mail.
//!
//! For each bucket, in this order, and from any place on again after a crash:
//! 1. The target is fenced: nobody writes to the bucket there but the copy.
//! 2. Every account is copied, with its blobs, round by round ([`storage::replica`]), and compared with the original as of
//!    one moment, until few have changed since then.
//! 3. The source is fenced. Writers wait for a moment ([`Service::write`]); readers notice nothing.
//! 4. A few queries tell which accounts have changed; those are copied and compared. Then the fence is *closed*: from here
//!    on the copy is the original.
//! 5. The target's fence is lifted, and the directory says where the bucket lives. Writers go on there.
//! 6. After a grace time the rows are removed from the source, a few at a time. Its fence stays: a node that has not
//!    heard of the move can never write there.
//!
//! A mover that dies before 4 leaves a copy, and perhaps a fence that is not closed: whoever finds that nothing has been
//! heard of it for a while takes the move over, lifts the fence, removes the copy and ends the move; a mover that comes
//! back finds that it has lost it. After 4 whoever finds it does 5.

mod bucket;
mod copy;
mod empty;
mod mover;
mod tend;
mod units;

pub use self::tend::OLD_ROWS_STAY;

use std::time::Duration;

use storage::{Committed, Error as StorageError, Needs, Pending, Unit, moves::Claim};
use tokio::time::{Instant, sleep};
use types::{BlobId, Bucket, Secret, ShardId};

use crate::{Admin, Error, Result, Service};

/// What a move of buckets did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    pub buckets: u32,
    pub accounts: u64,
    /// Records that were copied, those of all rounds.
    pub records: u64,
    pub blobs: u64,
    /// The longest time for which writers of a bucket had to wait.
    pub longest_pause: Duration,
}

/// A shard as `magpie shard list` shows it.
#[derive(Debug, Clone)]
pub struct ShardReport {
    pub id: ShardId,
    /// Its database, without a password.
    pub name: String,
    pub buckets: u16,
    /// Why it cannot be asked, if it cannot.
    pub totals: std::result::Result<storage::Totals, String>,
}

/// What a move has come to, for whoever watches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Some accounts were copied as they were then.
    Copied(Bucket),
    /// Writers wait.
    Fenced(Bucket),
    /// The copy is the original from here on.
    Closed(Bucket),
    /// Writers go on, on the new shard.
    Moved(Bucket, Moved),
}

type Tell<'a> = &'a mut (dyn FnMut(Step) + Send);

/// How long a write waits for its account to arrive on its new shard.
const WRITERS_WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);
/// How long a mover tries to get on where writers wait; after [`SILENCE`] others do.
const INSISTING: Duration = Duration::from_secs(15);
/// A mover that has not been heard of for so long is taken for dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

impl Service {
    /// Runs the unit on the shard it was made for, or, should its account be moving, on the one where that arrives, to
    /// which its blobs are brought then.
    pub(crate) async fn write_where_it_lives<U: Unit>(
        &self,
        mut shard: ShardId,
        unit: U,
    ) -> Result<(U::Output, Committed)> {
        let unit = Pending::new(unit);
        let patience = Instant::now() + WRITERS_WAIT;
        loop {
            match unit.execute(&*self.parts.shards, shard).await {
                Err(StorageError::Moving) if Instant::now() < patience => {
                    metrics::counter!("magpie_storage_moving_waits_total").increment(1);
                    sleep(PAUSE).await;
                    self.parts.shards.refresh().await?;
                    shard = self.follow(shard, &unit.needs()).await?;
                }
                ended => return Ok(ended?),
            }
        }
    }

    /// Where the accounts live now; their blobs are there, too. Accounts that parted are an error: the caller divides
    /// its work anew.
    async fn follow(&self, from: ShardId, needs: &Needs) -> Result<ShardId> {
        let mut homes: Vec<_> = needs.accounts.iter().map(|account| self.shard_of(*account)).collect();
        homes.dedup();
        let [home] = homes.as_slice() else { return Err(StorageError::Moving.into()) };
        if *home != from {
            for blob in &needs.blobs {
                self.bring(*blob, from, *home).await?;
            }
        }
        Ok(*home)
    }

    /// Copies a blob to another shard's part of the blob store; false if it is not there.
    pub(crate) async fn bring(&self, blob: BlobId, from: ShardId, to: ShardId) -> Result<bool> {
        let blobs = &self.parts.blobs;
        let Some(bytes) = blobs.open(from, blob, 0..u64::MAX).await? else { return Ok(false) };
        let (copied, _) = blobs.put_stream(to, bytes).await?;
        if copied != blob {
            return Err(StorageError::Corrupt(format!("blob {blob} of shard {from}")).into());
        }
        Ok(true)
    }

    /// Writes what nobody has to hear of.
    async fn quietly<U: Unit>(&self, shard: ShardId, unit: U) -> Result<U::Output> {
        Ok(storage::write(&*self.parts.shards, shard, unit).await?.0)
    }

    pub(crate) fn claim(&self, mover: &str) -> Claim {
        let now = self.now();
        Claim { mover: mover.to_owned(), now, silent_since: now.minus(SILENCE) }
    }

    /// A name that nobody else has.
    pub(crate) fn mover(&self) -> String {
        self.random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Admin {
    /// Makes the database at this URL a shard, which holds nothing until buckets are moved to it.
    pub async fn add_shard(&self, url: &Secret) -> Result<ShardId> {
        let shards = &self.service.parts.shards;
        let added = shards.add(url, self.service.now()).await;
        added.map_err(|error| match error {
            StorageError::Exists(_) => {
                Error::Conflict("this database is a shard of this service already".into())
            }
            other => other.into(),
        })
    }

    /// Every shard with what it holds.
    pub async fn shards(&self) -> Result<Vec<ShardReport>> {
        let shards = &self.service.parts.shards;
        shards.refresh().await?;
        let map = self.service.parts.directory.bucket_map(&shards.all()).await?;
        let mut reports = Vec::new();
        for id in shards.all() {
            let buckets = map.shards.iter().filter(|home| **home == id).count();
            let totals = match shards.latest(id).await {
                Ok(mut latest) => latest.totals().await,
                Err(error) => Err(error),
            };
            reports.push(ShardReport {
                id,
                name: shards.name(id),
                buckets: u16::try_from(buckets).unwrap_or(u16::MAX),
                totals: totals.map_err(|error| why(&error)),
            });
        }
        Ok(reports)
    }

    /// Moves that have begun and are not over.
    pub async fn moves(&self) -> Result<Vec<storage::moves::Move>> {
        Ok(self.service.parts.directory.moves().await?)
    }

    /// Moves these buckets, which are sorted, one after another; those that live there already are left alone. Called again after it was
    /// broken off, it goes on.
    pub async fn move_buckets(
        &self,
        buckets: &[Bucket],
        to: ShardId,
        tell: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Moved> {
        let service = &self.service;
        service.parts.shards.refresh().await?;
        if !service.parts.shards.all().contains(&to) {
            return Err(Error::Conflict(format!("there is no shard {to}; see `magpie shard list`")));
        }
        mover::Mover::new(service.clone(), to).run(buckets, tell).await
    }
}

/// For what writers wait for: it is done again while it fails for a moment.
struct Patience(Instant);

impl Patience {
    fn begin() -> Self {
        Self(Instant::now() + INSISTING)
    }

    /// After a pause, whether to do again what ended so.
    async fn again<T>(&self, ended: &Result<T>) -> bool {
        let again = ended.as_ref().is_err_and(|error| error.is_temporary()) && Instant::now() < self.0;
        if again {
            sleep(PAUSE).await;
        }
        again
    }
}

/// In words for an operator.
pub(crate) fn why(error: &StorageError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Moved {
    /// Counts another move in.
    pub fn add(&mut self, other: &Self) {
        self.buckets += other.buckets;
        self.accounts += other.accounts;
        self.records += other.records;
        self.blobs += other.blobs;
        self.longest_pause = self.longest_pause.max(other.longest_pause);
    }
}
