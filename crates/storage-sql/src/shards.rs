//! The shards: writers and readers for each.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use sea_orm::ConnectionTrait;
use storage::{BucketMap, Committed, ErasedUnit, Error, Result, Shards, Snapshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{AccountId, ShardId};

use crate::{
    DatabaseUrl, Schema,
    connect::{Database, Options, Pool},
    error::failed,
    open::Open,
    writer::{self, Writers},
};

/// All shards, in SQL databases.
pub struct SqlShards {
    shards: BTreeMap<ShardId, Shard>,
    map: Arc<BucketMap>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Shard {
    readers: Pool,
    writers: Writers,
}

impl SqlShards {
    /// Opens the databases, making SQLite files where they are missing and bringing all up to this version.
    pub async fn open(
        shards: &[(ShardId, DatabaseUrl)],
        map: Arc<BucketMap>,
        options: &Options,
    ) -> Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut opened = BTreeMap::new();
        for (id, url) in shards {
            let database = Database::open(url, Schema::Shard, options).await?;
            let pool = database.writers();
            let writers = writer::start(*id, &pool, &database, &tasks, &stop);
            opened.insert(*id, Shard { readers: database.readers(), writers });
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
            shard.readers.close().await;
        }
    }

    /// Transactions committed so far, by all shards; each is one fsync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shards.values().map(|shard| shard.writers.commits()).sum()
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
        Ok(Box::new(Open::reader(conn)))
    }

    async fn latest(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(Open::reader(self.shard(shard)?.readers.each())))
    }

    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        self.shard(shard)?.writers.execute(unit).await
    }

    async fn ping(&self, shard: ShardId) -> Result<()> {
        let conn = self.shard(shard)?.readers.each();
        conn.execute_unprepared("SELECT 1 FROM account LIMIT 1").await.map_err(failed)?;
        Ok(())
    }
}
