//! A shard's stamp changes with every commit of whatever process, and with nothing else.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use storage::{BucketMap, Needs, Result, Shards, Stamp, Transaction, Unit, write};
use storage_sql::{DatabaseUrl, Options, SqlShards};
use types::{AccountId, ShardId, Timestamp};

const SHARD: ShardId = ShardId(0);

struct Provision(AccountId);

#[async_trait]
impl Unit for Provision {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.provision(self.0, Timestamp::from_seconds(1)).await
    }
}

async fn open(path: &Path) -> SqlShards {
    let map = Arc::new(BucketMap::even(&[SHARD]));
    SqlShards::open(&[(SHARD, DatabaseUrl::sqlite(path))], map, &Options::default()).await.unwrap()
}

async fn commit(shards: &SqlShards, account: i64) {
    let _told = write(shards, SHARD, Provision(AccountId(account))).await.unwrap();
}

async fn read(shards: &SqlShards) {
    shards.latest(SHARD).await.unwrap().mailboxes(AccountId(1)).await.unwrap();
}

#[tokio::test]
async fn a_stamp_stays_until_somebody_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let (one, two) = (open(&path).await, open(&path).await);
    commit(&one, 1).await;
    let mut seen: Vec<Stamp> = Vec::new();
    let new = |shards: &SqlShards, seen: &mut Vec<Stamp>| {
        let stamp = shards.stamp(SHARD).unwrap();
        assert!(!seen.contains(&stamp), "after {} commits", seen.len());
        seen.push(stamp);
    };
    for account in 2..40 {
        commit(if account % 3 == 0 { &two } else { &one }, account).await;
        new(&one, &mut seen);
        read(&one).await;
        read(&two).await;
        assert_eq!(one.stamp(SHARD), seen.last().cloned(), "nobody has committed anything");
        assert_eq!(one.stamp(SHARD), two.stamp(SHARD));
    }
    one.close().await;
    two.close().await;
    // Whoever opens it anew begins a new log, which looks like others that were begun.
    for account in 40..50 {
        let shards = open(&path).await;
        read(&shards).await;
        if shards.stamp(SHARD).is_some() {
            new(&shards, &mut seen);
        }
        commit(&shards, account).await;
        new(&shards, &mut seen);
        shards.close().await;
    }
}
