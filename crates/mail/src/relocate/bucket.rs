//! The move of one bucket, step by step.

use std::collections::{BTreeMap, HashSet};

use storage::moves::{Move, Phase};
use tokio::time::Instant;
use types::{AccountId, Bucket, ModSeq, ShardId};

use super::{
    Moved, Step,
    copy::{Copier, Fencing, Place, taken_over},
};
use crate::{Error, Result, Service};

/// Moves buckets to a shard, one at a time.
pub(super) struct Mover {
    service: Service,
    to: ShardId,
    name: String,
    /// Shards that have noted the bucket of every account.
    placed: HashSet<ShardId>,
}

/// Rounds over the bucket before it is fenced, at the most.
const ROUNDS: usize = 10;
/// Records that a round has when nothing has changed.
const AT_LEAST: usize = 3;
/// So few records are left to the round behind the fence.
const LITTLE: usize = 50;
/// Attempts to bring the copy to an end behind the fence.
const ATTEMPTS: u32 = 5;

type Tell<'a> = &'a mut (dyn FnMut(Step) + Send);

impl Mover {
    pub(super) fn new(service: Service, to: ShardId) -> Self {
        let name = service.mover();
        Self { service, to, name, placed: HashSet::new() }
    }

    pub(super) async fn run(&mut self, bucket: Bucket, tell: Tell<'_>) -> Result<Moved> {
        let directory = &self.service.parts.directory;
        let running = directory.moves().await?.into_iter().find(|running| running.bucket == bucket);
        let home = self.home(bucket).await?;
        match &running {
            None if home == self.to => return Ok(Moved::default()),
            Some(running) if running.to != self.to => return Err(elsewhere(running)),
            Some(Move { phase: Phase::Cleaning, .. }) => return Ok(Moved::default()),
            Some(_) | None => {}
        }
        let claimed = directory.claim_move(bucket, self.to, &self.service.claim(&self.name)).await?;
        let Some(claimed) = claimed else {
            return Err(Error::Conflict(format!(
                "bucket {} is being moved by another process; if that has died, try again in {} s",
                bucket.0,
                super::SILENCE.as_secs()
            )));
        };
        if claimed.phase == Phase::Cleaning {
            return Ok(Moved::default());
        }
        self.carry_out(&claimed, tell).await
    }

    async fn home(&self, bucket: Bucket) -> Result<ShardId> {
        let map = self.service.parts.directory.bucket_map(&self.service.parts.shards.all()).await?;
        Ok(map.shards.get(usize::from(bucket.0)).copied().unwrap_or_default())
    }

    async fn carry_out(&mut self, running: &Move, tell: Tell<'_>) -> Result<Moved> {
        let Move { bucket, from, to, .. } = *running;
        let fence = self.service.parts.shards.latest(from).await?.fenced(bucket).await?;
        let mut moved = Moved { buckets: 1, ..Moved::default() };
        if fence.is_some_and(|fence| fence.closed) {
            // Somebody died before saying so.
            self.service.arrive(running, &self.name).await?;
            return Ok(moved);
        }
        self.place(from).await?;
        let mut copier = Copier::new(self.service.clone(), running, &self.name);
        if !self.fencing(to, Fencing::Receive(bucket, self.name.clone())).await? {
            return Err(taken_over(bucket));
        }
        if let Err(error) = copier.beat().await {
            // Somebody else was faster, and the bucket may live there by now.
            if self.home(bucket).await? == to {
                self.fencing(to, Fencing::Lift(bucket)).await?;
            }
            return Err(error);
        }
        let mut verified = BTreeMap::new();
        let mut started = Instant::now();
        for attempt in 1.. {
            self.follow(bucket, &mut copier, &mut verified, tell).await?;
            started = Instant::now();
            let closed = self.close(bucket, &mut copier, &mut verified, tell).await;
            if matches!(closed, Ok(true)) {
                break;
            }
            self.fencing(from, Fencing::Lift(bucket)).await?;
            if !closed? && attempt == ATTEMPTS {
                return Err(Error::Internal(format!(
                    "bucket {}: its copy does not come to be like it; it stays on shard {from}",
                    bucket.0
                )));
            }
        }
        tell(Step::Closed(bucket));
        self.service.arrive(running, &self.name).await?;
        moved.longest_pause = started.elapsed();
        (moved.records, moved.blobs) = (copier.records, copier.blobs());
        moved.accounts = verified.len() as u64;
        tracing::info!(bucket = bucket.0, %from, %to, ?moved, "moved a bucket");
        Ok(moved)
    }

    /// Copies all accounts while they are used, until little is left, and compares what was copied. Notes up to where
    /// each account's copy was found to be like the original.
    async fn follow(
        &self,
        bucket: Bucket,
        copier: &mut Copier,
        verified: &mut BTreeMap<AccountId, ModSeq>,
        tell: Tell<'_>,
    ) -> Result<()> {
        let shards = self.service.parts.shards.clone();
        for round in 0..ROUNDS {
            let mut left = 0;
            for state in shards.latest(copier.from).await?.bucket(bucket).await? {
                left += copier.round(state.id).await?.saturating_sub(AT_LEAST);
                tell(Step::Copied(bucket));
            }
            if left <= LITTLE && round > 0 {
                break;
            }
        }
        for state in shards.latest(copier.from).await?.bucket(bucket).await? {
            copier.beat().await?;
            let (original, copy) = copier.digests(state.id, ModSeq(0)).await?;
            // If somebody has written meanwhile, all of it is compared behind the fence.
            let upto = if original == copy { copier.copied(state.id).await? } else { ModSeq(0) };
            verified.insert(state.id, upto);
        }
        Ok(())
    }

    /// The end behind the fence: false if the copy is not like the original, or somebody has lifted the fence.
    async fn close(
        &self,
        bucket: Bucket,
        copier: &mut Copier,
        verified: &mut BTreeMap<AccountId, ModSeq>,
        tell: Tell<'_>,
    ) -> Result<bool> {
        let (shards, from) = (self.service.parts.shards.clone(), copier.from);
        if !self.fencing(from, Fencing::Up(bucket, self.name.clone())).await? {
            return Err(taken_over(bucket));
        }
        tell(Step::Fenced(bucket));
        let originals = shards.latest(from).await?.bucket(bucket).await?;
        for state in &originals {
            copier.round(state.id).await?;
            let since = verified.entry(state.id).or_default();
            let (original, copy) = copier.digests(state.id, *since).await?;
            if original != copy {
                tracing::warn!(account = %state.id, ?original, ?copy, "a copy is not like its original");
                copier.clear(state.id).await?;
                *since = ModSeq(0);
                return Ok(false);
            }
        }
        for copy in shards.latest(copier.to).await?.bucket(bucket).await? {
            if originals.binary_search_by_key(&copy.id, |state| state.id).is_err() {
                copier.clear(copy.id).await?;
                verified.remove(&copy.id);
            }
        }
        copier.beat().await?;
        self.fencing(from, Fencing::Close(bucket, self.name.clone())).await
    }

    async fn fencing(&self, shard: ShardId, fencing: Fencing) -> Result<bool> {
        self.service.quietly(shard, fencing).await
    }

    /// Notes the bucket of every account of the shard, once.
    async fn place(&mut self, shard: ShardId) -> Result<()> {
        if self.placed.insert(shard) {
            let mut after = None;
            loop {
                after = self.service.quietly(shard, Place(after)).await?;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}

fn elsewhere(running: &Move) -> Error {
    if running.phase == Phase::Cleaning {
        return Error::Conflict(format!(
            "bucket {} has moved to shard {} a moment ago: try again when its rows on shard {} are removed, within \
             some minutes",
            running.bucket.0, running.to, running.from
        ));
    }
    Error::Conflict(format!(
        "bucket {} is on its way to shard {}: finish that with `magpie shard move --buckets {} --to {}`",
        running.bucket.0, running.to, running.bucket.0, running.to
    ))
}
