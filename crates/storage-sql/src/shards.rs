//! The shards: a writer and readers for each.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use storage::{BucketMap, Committed, ErasedUnit, Error, Result, Shards, Snapshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{AccountId, ShardId};

use crate::{
    Schema,
    connect::{Database, Options},
    error::failed,
    open::Open,
    writer::{self, Writer},
};

/// All shards, in SQL databases.
pub struct SqlShards {
    shards: BTreeMap<ShardId, Shard>,
    map: Arc<BucketMap>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Shard {
    readers: DatabaseConnection,
    writer: Writer,
}

impl SqlShards {
    /// Opens the SQLite files, making them where they are missing and bringing them up to this version.
    pub async fn open(shards: &[(ShardId, PathBuf)], map: Arc<BucketMap>, options: &Options) -> Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut opened = BTreeMap::new();
        for (id, path) in shards {
            let database = Database::open(path, Schema::Shard, options).await?;
            let readers = database.readers();
            let (writer, task) = writer::new(*id, database, options, stop.clone()).await?;
            tasks.spawn(task);
            opened.insert(*id, Shard { readers, writer });
        }
        if let Some(missing) = map.shards.iter().find(|shard| !opened.contains_key(shard)) {
            return Err(Error::Backend(
                format!("accounts live on shard {missing}, which is not configured").into(),
            ));
        }
        tasks.close();
        Ok(Self { shards: opened, map, tasks, stop })
    }

    /// Commits what waits and closes the connections.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        for shard in self.shards.values() {
            if let Err(error) = shard.readers.clone().close().await {
                tracing::warn!(%error, "a shard's connections did not close");
            }
        }
    }

    /// Transactions committed so far, by all shards; each is one fsync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shards.values().map(|shard| shard.writer.commits()).sum()
    }

    fn shard(&self, id: ShardId) -> Result<&Shard> {
        self.shards.get(&id).ok_or_else(|| Error::Backend(format!("there is no shard {id}").into()))
    }
}

impl Drop for SqlShards {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Shards for SqlShards {
    fn all(&self) -> Vec<ShardId> {
        self.shards.keys().copied().collect()
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        self.map.shard_of(account)
    }

    async fn snapshot(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        let conn = self.shard(shard)?.readers.begin().await.map_err(failed)?;
        Ok(Box::new(Open::new(conn)))
    }

    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        self.shard(shard)?.writer.execute(unit).await
    }

    async fn ping(&self, shard: ShardId) -> Result<()> {
        let readers = &self.shard(shard)?.readers;
        readers.execute_unprepared("SELECT 1 FROM account LIMIT 1").await.map_err(failed)?;
        Ok(())
    }
}
