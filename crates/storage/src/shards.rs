//! Shards: which one an account lives on, reading a snapshot of it, and writing by units of work.
//!
//! Writers batch: units that wait for the same shard run one after another in one transaction and share its commit
//! (and so its fsync). A unit therefore may run more than once, each time from the start: it is given `&self`,
//! keeps what it needs, and changes nothing outside the transaction.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use types::{AccountId, BlobId, MessageId, ModSeq, QueueId, Secret, ShardId, Timestamp};

use crate::{Error, RefHash, Result, Snapshot, Transaction};

/// All shards.
#[async_trait]
pub trait Shards: Send + Sync {
    /// Every shard, in order.
    fn all(&self) -> Vec<ShardId>;

    /// Where the account lives, by the bucket map.
    fn shard_of(&self, account: AccountId) -> ShardId;

    /// A consistent view of the shard as of its first read; where several accounts are read, each may be seen as of the first
    /// read of it. Many may be open; none blocks a writer. It holds a connection: drop it before waiting for anything slow,
    /// and open no second one meanwhile.
    async fn snapshot(&self, shard: ShardId) -> Result<Box<dyn Snapshot>>;

    /// The shard as it is at each call: what one call returns is of one moment, but the next call sees what was
    /// committed in between. Over a network it costs a round trip less than a snapshot; it holds no connection between
    /// calls.
    async fn latest(&self, shard: ShardId) -> Result<Box<dyn Snapshot>>;

    /// Says whether anything was committed to the shard, by whomever, for next to nothing: while it stays the same, nothing
    /// was, and what was read after it was taken is still so. `None`: the shard has no such thing.
    fn stamp(&self, shard: ShardId) -> Option<Stamp> {
        let _ = shard;
        None
    }

    /// Runs the unit in a transaction, perhaps together with others, and returns when it is durable.
    /// If the unit fails, nothing of it is kept and its error is returned. Call [`write()`] rather than this.
    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> Result<Committed>;

    /// Takes in what is new of the bucket map and of added shards.
    async fn refresh(&self) -> Result<()> {
        Ok(())
    }

    /// Makes the database at this URL a shard of the service, under the next number; no bucket lives there yet.
    /// `Err(Exists)` if it is a shard of the service already.
    async fn add(&self, url: &Secret, now: Timestamp) -> Result<ShardId> {
        let _ = (url, now);
        Err(Error::Backend("these shards are as they are".into()))
    }

    /// What people call the shard's database; no password.
    fn name(&self, shard: ShardId) -> String {
        format!("shard {shard}")
    }

    /// Checks that the shard answers; for readiness.
    async fn ping(&self, shard: ShardId) -> Result<()>;
}

/// The state of a shard; see [`Shards::stamp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub shard: ShardId,
    /// Whatever tells one state from another.
    pub state: Box<[u8]>,
    /// One more with every commit.
    pub commits: u64,
}

/// What a unit is going to touch, so that the rows of a whole batch are loaded by a few queries.
/// A unit that touches more than it said works all the same, one query slower.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    pub accounts: Vec<AccountId>,
    /// For [`Transaction::threads`].
    pub refs: Vec<(AccountId, RefHash)>,
    /// For [`Transaction::append`].
    pub ids: Vec<(AccountId, MessageId)>,
    /// For [`Transaction::settle`] and whatever else changes entries of the queue.
    pub entries: Vec<(AccountId, QueueId)>,
    /// For [`Transaction::delivery`] and [`Transaction::set_delivery`].
    pub sent: Vec<(AccountId, MessageId)>,
    /// Blobs that its rows are going to name: wherever it is run, they are there before.
    pub blobs: Vec<BlobId>,
    /// Whether who gives it wants to know [`Committed::stamp`].
    pub stamp: bool,
}

/// What a shard holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub accounts: u64,
    pub messages: u64,
    pub used_bytes: u64,
    /// Accounts whose search index is behind.
    pub unindexed: u64,
    /// Queue entries.
    pub queued: u64,
}

/// Keeps writers away from a bucket; see [`Transaction::fence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Who put it up.
    pub mover: String,
    /// For good: the bucket lives elsewhere.
    pub closed: bool,
}

/// A unit of work on one shard.
#[async_trait]
pub trait Unit: Send + Sync + 'static {
    type Output: Send + 'static;

    fn needs(&self) -> Needs;

    /// Does the work. Wishes that cannot be granted (a name that is taken) are part of the output; an error rolls
    /// everything back.
    async fn run(&self, tx: &mut dyn Transaction) -> Result<Self::Output>;
}

/// A [`Unit`] whose output stays with it.
#[async_trait]
pub trait ErasedUnit: Send + Sync {
    fn needs(&self) -> Needs;
    async fn run(&self, tx: &mut dyn Transaction) -> Result<()>;
}

struct Slot<U: Unit> {
    unit: U,
    output: Mutex<Option<U::Output>>,
}

#[async_trait]
impl<U: Unit> ErasedUnit for Slot<U> {
    fn needs(&self) -> Needs {
        self.unit.needs()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        let output = self.unit.run(tx).await?;
        *self.output.lock().unwrap_or_else(PoisonError::into_inner) = Some(output);
        Ok(())
    }
}

/// Proof that changes are durable. The bus accepts nothing else.
#[must_use = "publish this, or other sessions will not see the change until they poll"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub shard: ShardId,
    /// The accounts that changed, each with its last modseq.
    pub accounts: Vec<(AccountId, ModSeq)>,
    /// Whether the queue got an entry, or one became due.
    pub queued: bool,
    /// Whether the transaction wrote what this unit did and nothing else.
    pub alone: bool,
    /// The shard after it, where that was wanted ([`Needs::stamp`]) and nobody else has committed anything since the unit was
    /// given; see [`Shards::stamp`].
    pub stamp: Option<Stamp>,
}

impl Committed {
    /// What others are told of something that was committed before.
    pub const fn hint(shard: ShardId, accounts: Vec<(AccountId, ModSeq)>, queued: bool) -> Self {
        Self { shard, accounts, queued, alone: false, stamp: None }
    }
}

/// A unit of work that may be executed again, also on another shard, until it succeeds.
pub struct Pending<U: Unit>(Arc<Slot<U>>);

impl<U: Unit> Pending<U> {
    #[must_use]
    pub fn new(unit: U) -> Self {
        Self(Arc::new(Slot { unit, output: Mutex::new(None) }))
    }

    #[must_use]
    pub fn needs(&self) -> Needs {
        self.0.unit.needs()
    }

    /// See [`Shards::execute`].
    pub async fn execute(&self, shards: &dyn Shards, shard: ShardId) -> Result<(U::Output, Committed)> {
        let committed = shards.execute(shard, Arc::clone(&self.0) as Arc<dyn ErasedUnit>).await?;
        let output = self.0.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let output =
            output.ok_or_else(|| Error::Backend("a unit was committed without having run".into()))?;
        Ok((output, committed))
    }
}

/// Runs a unit of work on a shard; see [`Shards::execute`].
pub async fn write<U: Unit>(shards: &dyn Shards, shard: ShardId, unit: U) -> Result<(U::Output, Committed)> {
    Pending::new(unit).execute(shards, shard).await
}
