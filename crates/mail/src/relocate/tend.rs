//! What others do for a move: finishing one whose mover has died, and cleaning up.

use std::time::Duration;

use storage::moves::{Move, Phase};
use tokio_util::sync::CancellationToken;
use types::Bucket;

use super::copy::{Fencing, taken_over};
use crate::{Error, Result, Service};

const EVERY: Duration = Duration::from_secs(10);
/// Rows are left on the old shard for so long: whoever reads there has finished, and has heard of the move.
const GRACE: Duration = Duration::from_secs(600);

impl Service {
    /// Looks after moves until told to stop.
    pub async fn run_moves(&self, stop: CancellationToken) {
        loop {
            if let Err(error) = self.tend_moves().await {
                tracing::warn!(%error, "moves could not be looked after; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Ends what dead movers have left fenced, and removes rows of buckets that have moved away long enough ago.
    pub async fn tend_moves(&self) -> Result<()> {
        for running in self.parts.directory.moves().await? {
            let silent = self.now().since(running.beat_at);
            match running.phase {
                Phase::Copying if silent > super::SILENCE => self.rescue(&running).await?,
                Phase::Cleaning if silent > GRACE => self.clean(&running).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the bucket's users write again: there if the copy is complete, otherwise here.
    async fn rescue(&self, running: &Move) -> Result<()> {
        let Move { bucket, from, .. } = *running;
        let fence = self.parts.shards.latest(from).await?.fenced(bucket).await?;
        let Some(fence) = fence else { return Ok(()) };
        let mover = self.mover();
        if self.parts.directory.claim_move(bucket, running.to, &self.claim(&mover)).await?.is_none() {
            return Ok(());
        }
        tracing::warn!(bucket = bucket.0, closed = fence.closed, "a move was broken off");
        if fence.closed {
            return self.arrive(running, &mover).await;
        }
        self.quietly(from, Fencing::Lift(bucket)).await?;
        Ok(())
    }

    /// Opens the bucket on its new shard, and says that it lives there. The fence on its old one is closed.
    pub(super) async fn arrive(&self, running: &Move, mover: &str) -> Result<()> {
        let Move { bucket, to, .. } = *running;
        let shards = &self.parts.shards;
        self.quietly(to, Fencing::Lift(bucket)).await?;
        if !self.parts.directory.switch(bucket, mover, self.now()).await? {
            return Err(taken_over(bucket));
        }
        shards.refresh().await?;
        Ok(())
    }

    async fn clean(&self, running: &Move) -> Result<()> {
        let Move { bucket, from, .. } = *running;
        let mover = self.mover();
        if self.parts.directory.claim_move(bucket, running.to, &self.claim(&mover)).await?.is_none() {
            return Ok(());
        }
        let closed = self.parts.shards.latest(from).await?.fenced(bucket).await?;
        if !closed.is_some_and(|fence| fence.closed) {
            return Err(Error::Internal(format!("bucket {} has no fence on shard {from}", bucket.0)));
        }
        self.clear(bucket, running).await?;
        self.parts.directory.end_move(bucket, &mover).await?;
        tracing::info!(bucket = bucket.0, %from, "the rows of a bucket that moved away are gone");
        Ok(())
    }

    async fn clear(&self, bucket: Bucket, running: &Move) -> Result<()> {
        let shards = &self.parts.shards;
        for account in shards.latest(running.from).await?.bucket(bucket).await? {
            self.clear_account(running.from, bucket, None, account.id).await?;
        }
        Ok(())
    }
}
