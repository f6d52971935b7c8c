//! What others do for a move: finishing one whose mover has died, and cleaning up.

use std::time::Duration;

use storage::moves::{Move, Phase};
use tokio_util::sync::CancellationToken;
use types::{Bucket, ShardId};

use super::{
    copy::taken_over,
    units::{Act, Fencing},
};
use crate::{Error, Parts, Result, Service};

const EVERY: Duration = Duration::from_secs(10);
/// Rows are left on the old shard for so long: whoever reads there has finished, and has heard of the move.
pub const OLD_ROWS_STAY: Duration = Duration::from_secs(600);
/// For so long at least, if somebody wants to move the bucket again. Whoever reads there then and finds nothing follows
/// the map ([`Service::moved`]).
pub(super) const EARLY: Duration = Duration::from_secs(60);

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

    /// Ends the moves of dead movers, and removes rows of buckets that have moved away long enough ago.
    pub async fn tend_moves(&self) -> Result<()> {
        let (mut tended, mut round) = (Ok(()), Round::default());
        for running in self.parts.directory.moves().await? {
            let silent = self.now().since(running.beat_at);
            let bucket = running.bucket;
            let done = match running.phase {
                Phase::Copying if silent > super::SILENCE => {
                    let rescued = self.rescue(bucket, &mut round).await;
                    if rescued.is_err() {
                        round.left.push(bucket);
                    }
                    rescued
                }
                Phase::Cleaning if silent > OLD_ROWS_STAY => self.clean_in(bucket, &mut round).await,
                _ => Ok(()),
            };
            // One whose shard is away keeps nobody from the others.
            if done.is_err() {
                tended = done;
            }
        }
        round.tell();
        self.lift_orphans().await?;
        tended
    }

    /// Lifts fences that nobody will: they are around buckets that live there and of which no move is on its way. A
    /// mover that had stalled for so long that another one was at the end of the move may leave such a fence.
    async fn lift_orphans(&self) -> Result<()> {
        let Parts { shards, directory, .. } = &self.parts;
        let mut fences = Vec::new();
        for shard in shards.all() {
            // One that is away has its turn later.
            let Ok(mut latest) = shards.latest(shard).await else { continue };
            let Ok(open) = latest.open_fences().await else { continue };
            fences.extend(open.into_iter().map(|(bucket, mover)| (shard, bucket, mover)));
        }
        if fences.is_empty() {
            return Ok(());
        }
        // After the fences: whoever puts one up has begun its move before, and a later fence has another name.
        let moves = directory.moves().await?;
        let map = directory.bucket_map(&shards.all()).await?;
        let (mut lifted, mut done) = (Vec::new(), Ok(()));
        for (shard, bucket, mover) in fences {
            let is_home = map.shards.get(usize::from(bucket.0)) == Some(&shard);
            let moves =
                moves.iter().any(|running| running.bucket == bucket && running.phase == Phase::Copying);
            if is_home && !moves {
                tracing::debug!(bucket = bucket.0, %shard, "a fence was left around a bucket that nobody moves");
                // One whose shard has gone away keeps nobody from the others.
                match self.fencing(shard, bucket, Act::Lift(mover)).await {
                    Ok(_) => lifted.push(bucket),
                    Err(error) => done = Err(error),
                }
            }
        }
        lifted.sort_unstable();
        if !lifted.is_empty() {
            let buckets = Bucket::ranges(&lifted);
            tracing::warn!(fences = lifted.len(), %buckets, "fences were left around buckets that nobody moves");
        }
        done
    }

    /// Ends the move of a mover that has died: there if the copy is complete, otherwise here.
    async fn rescue(&self, bucket: Bucket, round: &mut Round) -> Result<()> {
        // As it is by now: much may have happened since the moves were listed.
        let mover = self.mover();
        let taken = self.parts.directory.take_over(bucket, &self.claim(&mover)).await?;
        let Some(running) = taken.filter(|running| running.phase == Phase::Copying) else { return Ok(()) };
        let Move { from, to, .. } = running;
        if self.lift_unless_closed(bucket, from).await? {
            tracing::debug!(bucket = bucket.0, %from, %to, "a move was broken off at its end, and is finished");
            self.finish(bucket, to, &mover).await?;
            round.finished.push(bucket);
            return Ok(());
        }
        tracing::debug!(bucket = bucket.0, %from, %to, "a move was broken off, and is taken back");
        if from != to {
            self.forget_copy(bucket, to, &mover).await?;
        }
        self.parts.directory.end_moves(&[bucket], &mover).await?;
        round.taken_back.push(bucket);
        Ok(())
    }

    /// Lifts whatever fence there is; true if there is a closed one, which stays. For who has the bucket's move: a mover
    /// that had it before says that it goes on between putting up a fence and closing it, and learns that it does not.
    async fn lift_unless_closed(&self, bucket: Bucket, shard: ShardId) -> Result<bool> {
        loop {
            match self.parts.shards.latest(shard).await?.fenced(bucket).await? {
                None => return Ok(false),
                Some(fence) if fence.closed => return Ok(true),
                Some(fence) => {
                    self.fencing(shard, bucket, Act::Lift(fence.mover)).await?;
                }
            }
        }
    }

    /// Does something with the bucket's fence; whether it could.
    pub(super) async fn fencing(&self, shard: ShardId, bucket: Bucket, act: Act) -> Result<bool> {
        let done = self.quietly(shard, Fencing { buckets: vec![bucket], act }).await?;
        Ok(!done.is_empty())
    }

    /// Removes what was copied to the shard. Its fence is closed before, as if the bucket had moved away: the shard
    /// answers for the bucket no more than it did before the move, and neither does a mover that comes back go on.
    async fn forget_copy(&self, bucket: Bucket, shard: ShardId, mover: &str) -> Result<()> {
        if !self.fencing(shard, bucket, Act::Receive(mover.to_owned())).await? {
            tracing::error!(bucket = bucket.0, %shard, "accounts of a bucket are where it does not live");
            return Ok(());
        }
        if !self.parts.directory.beat(bucket, mover, self.now()).await? {
            // Somebody else was faster, and the bucket may live there by now: then this fence keeps its users away.
            let map = self.parts.directory.bucket_map(&self.parts.shards.all()).await?;
            if map.shards.get(usize::from(bucket.0)) == Some(&shard) {
                self.fencing(shard, bucket, Act::Lift(mover.to_owned())).await?;
            }
            return Err(taken_over(bucket));
        }
        if !self.fencing(shard, bucket, Act::Close(mover.to_owned())).await? {
            return Err(taken_over(bucket));
        }
        self.clear(bucket, shard, mover).await
    }

    /// The same as [`Service::arrive`] for a bucket whose mover has died, and whose move this one has taken over.
    pub(super) async fn finish(&self, bucket: Bucket, to: ShardId, mover: &str) -> Result<()> {
        self.lift_any(bucket, to).await?;
        self.arrive(&[bucket], to, mover).await
    }

    /// Lifts the bucket's fence, whoever has put it up: for who has the bucket's move, and found after that what fence
    /// there is. One that is put up later has another name, and stays.
    pub(super) async fn lift_any(&self, bucket: Bucket, shard: ShardId) -> Result<()> {
        let fence = self.parts.shards.latest(shard).await?.fenced(bucket).await?;
        if let Some(fence) = fence {
            self.fencing(shard, bucket, Act::Lift(fence.mover)).await?;
        }
        Ok(())
    }

    /// Opens the buckets on their new shard, and says that they live there. The fences on their old ones are closed.
    pub(super) async fn arrive(&self, buckets: &[Bucket], to: ShardId, mover: &str) -> Result<()> {
        let act = Act::Lift(mover.to_owned());
        self.quietly(to, Fencing { buckets: buckets.to_vec(), act }).await?;
        if !self.parts.directory.switch(buckets, mover, self.now()).await? {
            return Err(taken_over(buckets.first().copied().unwrap_or_default()));
        }
        self.parts.shards.refresh().await?;
        Ok(())
    }

    async fn clean_in(&self, bucket: Bucket, round: &mut Round) -> Result<()> {
        if self.clean(bucket).await? {
            round.cleaned.push(bucket);
        }
        Ok(())
    }

    /// Removes the rows of a bucket that has moved away; false if somebody else does.
    pub(super) async fn clean(&self, bucket: Bucket) -> Result<bool> {
        let mover = self.mover();
        let taken = self.parts.directory.take_over(bucket, &self.claim(&mover)).await?;
        let Some(running) = taken.filter(|running| running.phase == Phase::Cleaning) else {
            return Ok(false);
        };
        let from = running.from;
        match self.parts.shards.latest(from).await?.fenced(bucket).await? {
            Some(fence) if fence.closed => {}
            // A mover that had stalled until now took it for its target.
            Some(fence) => {
                self.fencing(from, bucket, Act::Close(fence.mover)).await?;
            }
            None => return Err(Error::Internal(format!("bucket {} has no fence on shard {from}", bucket.0))),
        }
        self.clear(bucket, from, &mover).await?;
        self.parts.directory.end_moves(&[bucket], &mover).await?;
        tracing::debug!(bucket = bucket.0, %from, "the rows of a bucket that moved away are gone");
        Ok(true)
    }

    /// Removes the rows of the bucket behind a closed fence, as long as the mover has the move.
    async fn clear(&self, bucket: Bucket, from: ShardId, mover: &str) -> Result<()> {
        let shards = &self.parts.shards;
        for account in shards.latest(from).await?.placed(bucket).await? {
            if !self.parts.directory.beat(bucket, mover, self.now()).await? {
                return Err(taken_over(bucket));
            }
            self.clear_account(from, bucket, None, account).await?;
        }
        Ok(())
    }
}

/// The buckets whose moves were looked after in one round. They are told together, since there may be hundreds.
#[derive(Default)]
struct Round {
    finished: Vec<Bucket>,
    taken_back: Vec<Bucket>,
    /// Those of dead movers that could not be ended this time.
    left: Vec<Bucket>,
    cleaned: Vec<Bucket>,
}

impl Round {
    fn tell(&self) {
        let Self { finished, taken_back, left, cleaned } = self;
        if !finished.is_empty() {
            let buckets = Bucket::ranges(finished);
            tracing::warn!(moves = finished.len(), %buckets, "moves were broken off at their end, and are finished");
        }
        if !taken_back.is_empty() {
            let buckets = Bucket::ranges(taken_back);
            tracing::warn!(moves = taken_back.len(), %buckets, "moves were broken off, and are taken back");
        }
        if !left.is_empty() {
            let buckets = Bucket::ranges(left);
            tracing::warn!(moves = left.len(), %buckets, "moves were broken off, and cannot be ended yet");
        }
        if !cleaned.is_empty() {
            let buckets = Bucket::ranges(cleaned);
            tracing::info!(moves = cleaned.len(), %buckets, "the rows of buckets that moved away are gone");
        }
    }
}
