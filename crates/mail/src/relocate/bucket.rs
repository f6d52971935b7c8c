//! The move of one bucket that holds accounts, step by step.

use storage::moves::{Move, Phase};
use tokio::time::Instant;
use types::{Bucket, ShardId};

use super::{
    Moved, Patience, Step, Tell,
    copy::{Copier, Late, Outcome, taken_over},
    mover::{Mover, busy},
    units::Act,
};
use crate::{Error, Result};

/// Rounds over the bucket before it is fenced, at the most.
const ROUNDS: usize = 10;
/// So few accounts, with so few changes, are left to be copied behind the fence.
const FEW: (usize, u64) = (8, 50);
/// If more than this turn out to have changed, the fence is lifted once more.
const MANY: (usize, u64) = (32, 400);
/// Attempts to bring the copy to an end behind the fence.
const ATTEMPTS: u32 = 5;
/// Rounds behind the fence: the second compares what took more than a page in the first.
const LAST_ROUNDS: usize = 3;

impl Mover {
    pub(super) async fn move_one(&mut self, bucket: Bucket, tell: Tell<'_>) -> Result<Moved> {
        let directory = &self.service.parts.directory;
        let claimed = directory.claim_move(bucket, self.to, &self.service.claim(&self.name)).await?;
        let claimed = claimed.ok_or_else(|| busy(bucket))?;
        if claimed.phase == Phase::Cleaning {
            return Ok(Moved::default());
        }
        let Move { from, to, .. } = claimed;
        if from == to {
            // Somebody else has moved it meanwhile.
            self.service.lift_any(bucket, to).await?;
            directory.end_moves(&[bucket], &self.name).await?;
            return Ok(Moved::default());
        }
        let fence = self.service.parts.shards.latest(from).await?.fenced(bucket).await?;
        let mut moved = Moved { buckets: 1, ..Moved::default() };
        if fence.is_some_and(|fence| fence.closed) {
            // Somebody died before saying so.
            self.service.finish(bucket, to, &self.name).await?;
            return Ok(moved);
        }
        let mut copier = Copier::new(self.service.clone(), &claimed, &self.name);
        if !self.service.fencing(to, bucket, Act::Receive(self.name.clone())).await? {
            return Err(taken_over(bucket));
        }
        if let Err(error) = copier.beat().await {
            // Somebody else was faster, and the bucket may live there by now.
            if self.home(bucket).await? == to {
                self.service.fencing(to, bucket, self.lift()).await?;
            }
            return Err(error);
        }
        let started = self.carry_over(bucket, &mut copier, tell).await?;
        tell(Step::Closed(bucket));
        self.arrive(&[bucket], to).await?;
        moved.longest_pause = started.elapsed();
        (moved.accounts, moved.records, moved.blobs) = (copier.accounts(), copier.records, copier.blobs());
        tracing::info!(bucket = bucket.0, %from, %to, ?moved, "moved a bucket");
        Ok(moved)
    }

    /// Copies until the fence is closed. Returns when writers began to wait.
    async fn carry_over(&self, bucket: Bucket, copier: &mut Copier, tell: Tell<'_>) -> Result<Instant> {
        for attempt in 1..=ATTEMPTS {
            self.follow(copier, tell).await?;
            let started = Instant::now();
            let closed = self.close(bucket, copier, attempt == ATTEMPTS, tell).await;
            if self.settle(bucket, copier.from, closed).await? {
                return Ok(started);
            }
        }
        let text = format!(
            "bucket {}: its copy does not come to be like it; it stays on shard {}",
            bucket.0, copier.from
        );
        Err(Error::Internal(text))
    }

    /// Whether the fence is closed. If it is not, writers go on: it is lifted, unless it is somebody else's by now. If
    /// something failed, the fence itself is asked: closing it may have succeeded, and only the answer been lost.
    async fn settle(&self, bucket: Bucket, from: ShardId, closed: Result<bool>) -> Result<bool> {
        if matches!(closed, Ok(true)) {
            return closed;
        }
        let patience = Patience::begin();
        let mut let_go = self.let_go(bucket, from).await;
        while patience.again(&let_go).await {
            let_go = self.let_go(bucket, from).await;
        }
        match let_go {
            Ok(true) => Ok(true),
            Ok(false) => closed,
            Err(error) => {
                tracing::warn!(bucket = bucket.0, %from, %error, "a fence is left to whoever looks after moves");
                closed.and(Err(error))
            }
        }
    }

    /// Lifts the fence; whether it was closed, and so is there for good.
    async fn let_go(&self, bucket: Bucket, from: ShardId) -> Result<bool> {
        // In this order: it waits for a transaction that is still on its way to close it.
        if self.service.fencing(from, bucket, self.lift()).await? {
            return Ok(false);
        }
        let fence = self.service.parts.shards.latest(from).await?.fenced(bucket).await?;
        Ok(fence.is_some_and(|fence| fence.closed && fence.mover == self.name))
    }

    fn lift(&self) -> Act {
        Act::Lift(self.name.clone())
    }

    /// Copies and compares accounts while they are used, until few of them are late.
    async fn follow(&self, copier: &mut Copier, tell: Tell<'_>) -> Result<()> {
        for round in 0..ROUNDS {
            let late = copier.late().await?;
            if round > 0 && Late::are_few(&late, FEW.0, FEW.1) {
                break;
            }
            copier.bring_up(&late, tell).await?;
        }
        Ok(())
    }

    /// The end behind the fence: false if the copy is not like the original, too much has changed, or somebody has
    /// lifted the fence.
    async fn close(
        &self,
        bucket: Bucket,
        copier: &mut Copier,
        is_last: bool,
        tell: Tell<'_>,
    ) -> Result<bool> {
        if !self.service.fencing(copier.from, bucket, Act::Up(self.name.clone())).await? {
            return Err(taken_over(bucket));
        }
        tell(Step::Fenced(bucket));
        for _ in 0..LAST_ROUNDS {
            let late = copier.late().await?;
            if !is_last && !Late::are_few(&late, MANY.0, MANY.1) {
                return Ok(false);
            }
            match copier.bring_up(&late, tell).await? {
                Outcome::Alike => {
                    copier.beat().await?;
                    return self.service.fencing(copier.from, bucket, Act::Close(self.name.clone())).await;
                }
                Outcome::Copied => {}
                Outcome::Unlike => return Ok(false),
            }
        }
        Ok(false)
    }
}
