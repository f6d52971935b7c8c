//! Housekeeping: what time has overtaken is removed.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use cluster::Quota;
use futures::TryStreamExt as _;
use storage::{BlobInfo, Needs, Result as StorageResult, Transaction, Unit};
use tokio_util::sync::CancellationToken;
use types::{BlobId, ShardId, Timestamp};

use crate::{Result, Service};

const EVERY: Duration = Duration::from_secs(3_600);
/// So that of several nodes one keeps house each time. Two at once, when nobody counts for all, only do it twice.
const TURNS: Quota = Quota { burst: 1, count: 1, period: Duration::from_secs(3_600 - 300) };
/// How many blobs are looked up by one statement.
const LOOKED_UP_AT_ONCE: usize = 1_000;
/// How many are removed together, since a removal from S3 waits a while before it begins.
const REMOVED_AT_ONCE: usize = 10_000;

impl Service {
    /// Removes expired sessions and uploads and blobs that nothing names, now and every hour until told to stop.
    /// Of all nodes that run this, one does it each time.
    pub async fn run_housekeeping(&self, stop: CancellationToken) {
        let turns = async {
            loop {
                if self.parts.limits.check("housekeeping", TURNS).await.is_allowed()
                    && let Err(error) = self.keep_house().await
                {
                    tracing::warn!(%error, "housekeeping failed; trying again later");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        // Whatever is left undone is done the next time.
        tokio::select! {
            () = stop.cancelled() => {}
            () = turns => {}
        }
    }

    /// One round of it. A shard that is away does not keep it from the others; the last error is returned.
    pub async fn keep_house(&self) -> Result<()> {
        let now = self.now();
        let sessions = self.parts.directory.expire_sessions(now).await?;
        let bans = self.parts.directory.expire_bans(now).await?;
        tracing::debug!(sessions, bans, "expired sessions and bans removed");
        let mut kept = Ok(());
        for shard in self.parts.shards.all() {
            if let Err(error) = self.keep_shard(shard, now).await {
                tracing::warn!(%shard, %error, "housekeeping of a shard failed");
                kept = Err(error);
            }
        }
        kept
    }

    async fn keep_shard(&self, shard: ShardId, now: Timestamp) -> Result<()> {
        let before = now.minus(self.config().upload_lifetime);
        let (uploads, _) = storage::write(&*self.parts.shards, shard, ExpireUploads(before)).await?;
        let blobs = self.collect_blobs(shard, now.minus(self.config().blob_grace)).await?;
        tracing::debug!(%shard, uploads, blobs, "expired uploads and unused blobs removed");
        Ok(())
    }

    /// Removes blobs that were put before this and that nothing names. A blob that is put again in the meantime
    /// is new and stays; so a row that names a blob always finds it.
    async fn collect_blobs(&self, shard: ShardId, before: Timestamp) -> Result<u64> {
        let old = self.parts.blobs.list(shard).await?;
        let old = old.try_filter(move |blob| std::future::ready(blob.put_at < before));
        let mut batches = Box::pin(old.try_chunks(LOOKED_UP_AT_ONCE));
        let (mut removed, mut unused) = (0, Vec::new());
        while let Some(batch) = batches.try_next().await.map_err(|error| error.1)? {
            unused.append(&mut self.unused(shard, &batch).await?);
            if unused.len() >= REMOVED_AT_ONCE {
                removed += self.parts.blobs.delete(shard, &unused, before).await?;
                unused.clear();
            }
        }
        Ok(removed + self.parts.blobs.delete(shard, &unused, before).await?)
    }

    async fn unused(&self, shard: ShardId, batch: &[BlobInfo]) -> Result<Vec<BlobId>> {
        let ids: Vec<_> = batch.iter().map(|blob| blob.id).collect();
        let used = self.parts.shards.snapshot(shard).await?.blobs_in_use(&ids).await?;
        let used: HashSet<_> = used.into_iter().collect();
        Ok(ids.into_iter().filter(|id| !used.contains(id)).collect())
    }
}

struct ExpireUploads(Timestamp);

#[async_trait]
impl Unit for ExpireUploads {
    type Output = u64;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<u64> {
        tx.expire_uploads(self.0).await
    }
}
