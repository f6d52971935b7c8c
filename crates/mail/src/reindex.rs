//! Building the search index anew, and saying how far it is.

use std::collections::HashMap;

use async_trait::async_trait;
use search::{Op, Rebuild, Size};
use storage::{AccountState, Needs, Result as StorageResult, Transaction, Unit};
use types::{AccountId, ModSeq, ShardId};

use crate::{
    Absent, Admin, Error, Result, Service,
    indexer::{ACCOUNTS_AT_ONCE, Batch, Reached, WriteOps},
};

/// Passes over everything before the new index takes over, at the most; each has only what came in during the last.
const PASSES: usize = 5;
/// So many changes are caught up with in a moment.
const FEW: u64 = 1_000;

/// How far the search index is with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIndexed {
    pub shard: ShardId,
    pub accounts: u64,
    /// Accounts with changes that the index does not have yet.
    pub behind: u64,
    pub messages: u64,
}

impl Admin {
    /// How far the search index is, shard by shard, and the shards that do not answer.
    pub async fn indexed(&self) -> Result<(Vec<ShardIndexed>, Vec<Absent>)> {
        let (mut all, mut absent) = (Vec::new(), Vec::new());
        for shard in self.service.parts.shards.all() {
            match self.indexed_on(shard).await {
                Ok(indexed) => all.push(indexed),
                Err(Error::Storage(error)) => absent.push(self.absent(shard, error)?),
                Err(other) => return Err(other),
            }
        }
        Ok((all, absent))
    }

    async fn indexed_on(&self, shard: ShardId) -> Result<ShardIndexed> {
        let totals = self.service.parts.shards.latest(shard).await?.totals().await?;
        let storage::Totals { accounts, messages, unindexed: behind, .. } = totals;
        Ok(ShardIndexed { shard, accounts, behind, messages })
    }

    /// How large the search index is.
    pub async fn index_size(&self) -> Result<Size> {
        Ok(self.service.parts.search.size().await?)
    }

    /// Builds the search index anew beside the one that is searched and written meanwhile, and puts it in its place.
    /// `progress` is told how many changes were indexed so far.
    pub async fn rebuild_index(&self, progress: &mut (dyn FnMut(u64) + Send)) -> Result<()> {
        let service = &self.service;
        let next = service.parts.search.rebuild().await?;
        let mut walk = Walk { service, marks: HashMap::new(), done: 0, progress };
        for _ in 0..PASSES {
            let before = walk.done;
            walk.pass(Some(&*next)).await?;
            if walk.done - before <= FEW {
                break;
            }
        }
        next.take_over().await?;
        // What the indexer wrote since then went into the index that is gone.
        walk.pass(None).await
    }
}

/// Goes through all changes of all accounts.
struct Walk<'w> {
    service: &'w Service,
    /// How far each account is in the new index.
    marks: HashMap<AccountId, Reached>,
    done: u64,
    progress: &'w mut (dyn FnMut(u64) + Send),
}

impl Walk<'_> {
    /// Indexes what the marks do not have: into the new index, or into the one in use if that is none.
    async fn pass(&mut self, next: Option<&dyn Rebuild>) -> Result<()> {
        let Self { service, marks, done, progress } = self;
        let mut batch = Batch::new(Counted { service, next, done, progress: &mut **progress });
        for shard in service.parts.shards.all() {
            let mut after = None;
            loop {
                let page = service.accounts(shard, after).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                for state in page {
                    let reached = marks.entry(state.id).or_default();
                    // What the index in use was given meanwhile may be behind it, unless the log was read to its end.
                    while reached.upto < state.modseq || !reached.is_whole() {
                        let (home, before) = (service.shard_of(state.id), *reached);
                        *reached = service.gather(home, state.id, |_| before, &mut batch).await??;
                        if reached.upto <= before.upto {
                            break;
                        }
                    }
                }
            }
        }
        batch.write().await
    }
}

/// An index, and how many operations it has taken.
struct Counted<'w> {
    service: &'w Service,
    next: Option<&'w dyn Rebuild>,
    done: &'w mut u64,
    progress: &'w mut (dyn FnMut(u64) + Send),
}

#[async_trait]
impl WriteOps for Counted<'_> {
    async fn write(&mut self, ops: Vec<Op>) -> Result<()> {
        let count = u64::try_from(ops.len()).unwrap_or(u64::MAX);
        match self.next {
            Some(next) => next.apply(ops).await?,
            None => self.service.parts.search.apply(ops).await?,
        }
        *self.done += count;
        (self.progress)(*self.done);
        Ok(())
    }
}

/// Marks every account of a shard as not indexed, after the index was lost.
struct Unmark(Vec<AccountId>);

#[async_trait]
impl Unit for Unmark {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: self.0.clone(), ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        for account in &self.0 {
            tx.set_indexed(*account, ModSeq(0)).await?;
        }
        Ok(())
    }
}

impl Service {
    /// Has everything indexed again from the beginning, for an index that is new or was lost.
    pub async fn reindex(&self) -> Result<()> {
        for shard in self.parts.shards.all() {
            self.reindex_shard(shard).await?;
        }
        Ok(())
    }

    async fn accounts(&self, shard: ShardId, after: Option<AccountId>) -> Result<Vec<AccountState>> {
        Ok(self.parts.shards.latest(shard).await?.accounts(after, ACCOUNTS_AT_ONCE).await?)
    }

    async fn reindex_shard(&self, shard: ShardId) -> Result<()> {
        let mut after = None;
        loop {
            let accounts = self.accounts(shard, after).await?;
            let Some(last) = accounts.last() else { return Ok(()) };
            after = Some(last.id);
            // Rows of an account that has moved away stay for a while.
            let lives_here = |account: &AccountId| self.shard_of(*account) == shard;
            let ids = accounts.iter().map(|state| state.id).filter(lives_here).collect();
            storage::write(&*self.parts.shards, shard, Unmark(ids)).await.map(|((), _)| ())?;
        }
    }
}
