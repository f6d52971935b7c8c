//! How long the queues are, for whoever looks at the metrics.

use std::{collections::BTreeSet, time::Duration};

use storage::QueueLengths;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use types::ShardId;

use crate::{Mine, Result, Service};

const EVERY: Duration = Duration::from_secs(30);

impl Service {
    /// Tells the lengths of the queues that are mine until told to stop, and then that there are none.
    pub async fn run_lengths(&self, mine: Mine, stop: CancellationToken) {
        let mut told = BTreeSet::new();
        loop {
            for shard in self.parts.shards.all() {
                let lengths = if mine(shard) {
                    // What is not known is not told anew.
                    let Ok(lengths) = self.queue_lengths(shard).await else { continue };
                    told.insert(shard);
                    lengths
                } else if told.remove(&shard) {
                    // Another worker tells it from here on.
                    QueueLengths::default()
                } else {
                    continue;
                };
                tell(shard, lengths);
            }
            if stop.run_until_cancelled(sleep(EVERY)).await.is_none() {
                break;
            }
        }
        told.into_iter().for_each(|shard| tell(shard, QueueLengths::default()));
    }

    async fn queue_lengths(&self, shard: ShardId) -> Result<QueueLengths> {
        Ok(self.parts.shards.latest(shard).await?.queue_lengths(self.now()).await?)
    }
}

fn tell(shard: ShardId, lengths: QueueLengths) {
    let QueueLengths { due, waiting, held, leased } = lengths;
    for (state, count) in [("due", due), ("waiting", waiting), ("held", held), ("leased", leased)] {
        #[expect(clippy::cast_precision_loss, reason = "for people to look at")]
        metrics::gauge!("magpie_queue_entries", "shard" => shard.to_string(), "state" => state)
            .set(count as f64);
    }
}
