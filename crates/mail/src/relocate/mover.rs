//! Moving many buckets to a shard: those that hold nothing many at a time, the others one by one.

use std::collections::{BTreeMap, HashSet};

use storage::moves::{Move, Phase};
use types::{Bucket, ShardId};

use super::{Moved, Patience, Step, Tell, tend::EARLY, units::Place};
use crate::{Error, Result, Service};

/// Moves buckets to a shard.
pub(super) struct Mover {
    pub(super) service: Service,
    pub(super) to: ShardId,
    pub(super) name: String,
    /// Shards that have noted the bucket of every account.
    placed: HashSet<ShardId>,
}

/// Buckets that are looked at together.
const AT_ONCE: usize = 256;

impl Mover {
    pub(super) fn new(service: Service, to: ShardId) -> Self {
        let name = service.mover();
        Self { service, to, name, placed: HashSet::new() }
    }

    pub(super) async fn run(&mut self, buckets: &[Bucket], tell: Tell<'_>) -> Result<Moved> {
        let wanted = self.wanted(buckets).await?;
        let mut all = Moved::default();
        for some in wanted.chunk_by(|a, b| a.1 == b.1).flat_map(|same| same.chunks(AT_ONCE)) {
            let Some((_, from)) = some.first() else { continue };
            self.place(*from).await?;
            let buckets: Vec<_> = some.iter().map(|(bucket, _)| *bucket).collect();
            let (empty, pause) = self.move_empty(&buckets, *from, tell).await?;
            for bucket in &buckets {
                let moved = if empty.contains(bucket) {
                    Moved { buckets: 1, longest_pause: pause, ..Moved::default() }
                } else {
                    self.move_one(*bucket, tell).await?
                };
                all.add(&moved);
                tell(Step::Moved(*bucket, moved));
            }
        }
        Ok(all)
    }

    /// The buckets that are not there yet, each with where it is; an error if one of them cannot be moved now.
    async fn wanted(&self, buckets: &[Bucket]) -> Result<Vec<(Bucket, ShardId)>> {
        let parts = &self.service.parts;
        let moves = parts.directory.moves().await?;
        let running: BTreeMap<_, _> = moves.iter().map(|running| (running.bucket, running)).collect();
        let (mut old, mut recent) = (Vec::new(), Vec::new());
        for bucket in buckets {
            match running.get(bucket) {
                Some(running) if running.to == self.to => {}
                Some(running) if running.phase == Phase::Copying => return Err(elsewhere(running)),
                Some(running) if self.service.now().since(running.beat_at) < EARLY => recent.push(*running),
                Some(running) => old.push(*running),
                None => {}
            }
        }
        if let Some(last) = recent.iter().max_by_key(|running| running.beat_at) {
            return Err(self.too_early(&recent, last));
        }
        for running in old {
            if !self.service.clean(running.bucket).await? {
                return Err(busy(running.bucket));
            }
        }
        let map = parts.directory.bucket_map(&parts.shards.all()).await?;
        let home = |bucket: &Bucket| map.shards.get(usize::from(bucket.0)).copied().unwrap_or_default();
        let there = |bucket: &Bucket| home(bucket) == self.to;
        Ok(buckets.iter().filter(|bucket| !there(bucket)).map(|bucket| (*bucket, home(bucket))).collect())
    }

    fn too_early(&self, recent: &[&Move], last: &Move) -> Error {
        let buckets: Vec<_> = recent.iter().map(|running| running.bucket).collect();
        let until = last.beat_at.plus(EARLY);
        let wait = until.since(self.service.now()).as_secs() + 1;
        Error::Conflict(format!(
            "moved a moment ago: {}; who reads may still be at the old rows, which are removed first: try again in \
             {wait} s (after {until})",
            Bucket::ranges(&buckets)
        ))
    }

    pub(super) async fn home(&self, bucket: Bucket) -> Result<ShardId> {
        let map = self.service.parts.directory.bucket_map(&self.service.parts.shards.all()).await?;
        Ok(map.shards.get(usize::from(bucket.0)).copied().unwrap_or_default())
    }

    /// Has the buckets live on their new shard; their writers wait for it.
    pub(super) async fn arrive(&self, buckets: &[Bucket], to: ShardId) -> Result<()> {
        let patience = Patience::begin();
        let mut arrived = self.service.arrive(buckets, to, &self.name).await;
        while patience.again(&arrived).await {
            arrived = self.service.arrive(buckets, to, &self.name).await;
        }
        arrived
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

pub(super) fn busy(bucket: Bucket) -> Error {
    Error::Conflict(format!(
        "bucket {} is being moved by another process; if that has died, try again in {} s",
        bucket.0,
        super::SILENCE.as_secs()
    ))
}

fn elsewhere(running: &Move) -> Error {
    Error::Conflict(format!(
        "bucket {} is on its way to shard {}: finish that with `magpie shard move --buckets {} --to {}`",
        running.bucket.0, running.to, running.bucket.0, running.to
    ))
}
