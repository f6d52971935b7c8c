//! Moves of buckets between shards: what the directory knows of them, and of shards that were added at run time.

use async_trait::async_trait;
use types::{Bucket, Secret, ShardId, Timestamp};

use crate::Result;

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accounts are copied while they are used. Near the end the bucket is fenced on its shard, and if that fence is
    /// closed the copy is the original: all that is left is to say so.
    Copying,
    /// The bucket lives on its new shard. Its rows on the old one are to be removed.
    Cleaning,
}

/// A bucket on its way to another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub bucket: Bucket,
    pub from: ShardId,
    pub to: ShardId,
    pub phase: Phase,
    /// Who works on it, as long as `beat_at` is recent.
    pub mover: String,
    pub beat_at: Timestamp,
    pub started_at: Timestamp,
}

/// A shard that was added at run time.
#[derive(Debug, Clone)]
pub struct AddedShard {
    pub id: ShardId,
    /// With the password, if it has one.
    pub url: Secret,
    pub added_at: Timestamp,
}

/// What came of giving up a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// None was added under this number.
    Unknown,
    /// These buckets live there.
    Home(Vec<Bucket>),
    /// These are on their way from or to it, or their old rows are still there.
    Moving(Vec<Bucket>),
}

/// Who wants to work on a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// A name that nobody else has.
    pub mover: String,
    pub now: Timestamp,
    /// A move whose mover has not been heard of since then may be taken over.
    pub silent_since: Timestamp,
}

/// The part of the directory that knows where buckets live. Each change is one transaction.
#[async_trait]
pub trait Moves: Send + Sync {
    /// The id of this service, which nobody else has; made on first use.
    async fn service_id(&self) -> Result<String>;

    /// A number that grows with every change of the bucket map, and with every shard that is added.
    async fn map_version(&self) -> Result<i64>;

    /// Shards that were added, in order.
    async fn added_shards(&self) -> Result<Vec<AddedShard>>;

    /// Adds a shard under this number; `Err(Exists)` if there is one.
    async fn add_shard(&self, id: ShardId, url: &Secret, now: Timestamp) -> Result<()>;

    /// Has an added shard be reached by this URL. False if there is none of this number.
    async fn set_shard_url(&self, id: ShardId, url: &Secret) -> Result<bool>;

    /// Gives up an added shard, if no bucket lives there, or is on its way from or to it.
    async fn remove_shard(&self, id: ShardId) -> Result<Removal>;

    /// All moves, by bucket.
    async fn moves(&self) -> Result<Vec<Move>>;

    /// Begins a move of a bucket from where it lives, or takes over the one that has begun. `Ok(None)` if somebody
    /// else works on it. A move in [`Phase::Cleaning`] gives way to a new one only when it has ended.
    async fn claim_move(&self, bucket: Bucket, to: ShardId, claim: &Claim) -> Result<Option<Move>> {
        Ok(self.claim_moves(&[bucket], to, claim).await?.pop())
    }

    /// The same for many buckets; those that somebody else works on are left out.
    async fn claim_moves(&self, buckets: &[Bucket], to: ShardId, claim: &Claim) -> Result<Vec<Move>>;

    /// Goes on with a move that is there; `Ok(None)` if there is none, or somebody else works on it.
    async fn take_over(&self, bucket: Bucket, claim: &Claim) -> Result<Option<Move>>;

    /// Says that the mover still works on it; false if it is not the mover any more.
    async fn beat(&self, bucket: Bucket, mover: &str, now: Timestamp) -> Result<bool> {
        Ok(!self.beat_all(&[bucket], mover, now).await?.is_empty())
    }

    /// The same for many buckets, which are sorted; returns those whose mover it still is.
    async fn beat_all(&self, buckets: &[Bucket], mover: &str, now: Timestamp) -> Result<Vec<Bucket>>;

    /// From now on the buckets live where they were to go. False, and nothing is done, if the mover has lost one of the
    /// moves.
    async fn switch(&self, buckets: &[Bucket], mover: &str, now: Timestamp) -> Result<bool>;

    /// The moves are over, or never were.
    async fn end_moves(&self, buckets: &[Bucket], mover: &str) -> Result<()>;
}
