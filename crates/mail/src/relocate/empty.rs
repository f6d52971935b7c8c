//! The move of buckets that hold nothing: the same order of steps as for one that does, each step for all of them.

use std::{collections::HashSet, time::Duration};

use storage::moves::Phase;
use tokio::time::Instant;
use types::{Bucket, ShardId};

use super::{
    Step, Tell,
    mover::Mover,
    units::{Act, Fencing},
};
use crate::Result;

impl Mover {
    /// Moves those of the buckets that hold nothing, and leaves the others as they are. Returns which were moved, and
    /// for how long writers had to wait who wanted to set up an account there.
    pub(super) async fn move_empty(
        &self,
        buckets: &[Bucket],
        from: ShardId,
        tell: Tell<'_>,
    ) -> Result<(HashSet<Bucket>, Duration)> {
        let mut empty = self.unpopulated(from, buckets).await?;
        empty = self.unpopulated(self.to, &empty).await?;
        empty = self.claim_those(&empty, from).await?;
        empty = self.fence_all(self.to, empty, Act::Receive(self.name.clone())).await?;
        let started = Instant::now();
        let closed = self.close_empty(empty.clone(), from, tell).await;
        if closed.is_err() {
            // Those that were not closed; what is left others look after.
            let lift = Act::Lift(self.name.clone());
            if let Err(error) = self.fence_all(from, empty, lift).await {
                tracing::warn!(%from, %error, "fences are left to whoever looks after moves");
            }
        }
        empty = closed?;
        if empty.is_empty() {
            return Ok((HashSet::new(), Duration::ZERO));
        }
        empty.iter().for_each(|bucket| tell(Step::Closed(*bucket)));
        self.arrive(&empty, self.to).await?;
        let pause = started.elapsed();
        // There are no rows to be removed later.
        self.service.parts.directory.end_moves(&empty, &self.name).await?;
        tracing::info!(buckets = %Bucket::ranges(&empty), %from, to = %self.to, "moved empty buckets");
        Ok((empty.into_iter().collect(), pause))
    }

    /// Closes fences around those of the buckets that still hold nothing.
    async fn close_empty(&self, buckets: Vec<Bucket>, from: ShardId, tell: Tell<'_>) -> Result<Vec<Bucket>> {
        let fenced = self.fence_all(from, buckets, Act::Up(self.name.clone())).await?;
        fenced.iter().for_each(|bucket| tell(Step::Fenced(*bucket)));
        // Accounts that were set up in the last moment are seen now, and no more come.
        let still = self.unpopulated(from, &fenced).await?;
        let (service, name) = (&self.service, &self.name);
        let ours = service.parts.directory.beat_all(&still, name, service.now()).await?;
        let others: Vec<_> =
            fenced.into_iter().filter(|bucket| ours.binary_search(bucket).is_err()).collect();
        self.fence_all(from, others, Act::Lift(name.clone())).await?;
        self.fence_all(from, ours, Act::Close(name.clone())).await
    }

    /// Those in which nobody is set up on the shard.
    async fn unpopulated(&self, shard: ShardId, buckets: &[Bucket]) -> Result<Vec<Bucket>> {
        let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else { return Ok(Vec::new()) };
        let populated = self.service.parts.shards.latest(shard).await?.populated(*first, *last).await?;
        let is_empty = |bucket: &Bucket| populated.binary_search(bucket).is_err();
        Ok(buckets.iter().copied().filter(is_empty).collect())
    }

    /// Begins their moves. Those that somebody else moves, or has moved, are left out.
    async fn claim_those(&self, buckets: &[Bucket], from: ShardId) -> Result<Vec<Bucket>> {
        if buckets.is_empty() {
            return Ok(Vec::new());
        }
        let claim = self.service.claim(&self.name);
        let claimed = self.service.parts.directory.claim_moves(buckets, self.to, &claim).await?;
        let ours = claimed.into_iter().filter(|claimed| {
            claimed.phase == Phase::Copying && claimed.from == from && claimed.to == self.to
        });
        Ok(ours.map(|ours| ours.bucket).collect())
    }

    async fn fence_all(&self, shard: ShardId, buckets: Vec<Bucket>, act: Act) -> Result<Vec<Bucket>> {
        if buckets.is_empty() {
            return Ok(buckets);
        }
        self.service.quietly(shard, Fencing { buckets, act }).await
    }
}
