//! No statement reaches an account without its id: every statement that the conformance suites make the shards send is
//! watched, on both back ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use storage::{BucketMap, QueueFilter, Shards as _, conformance};
use storage_sql::{DatabaseUrl, Options, SqlShards, Watch};
use testkit::{PostgresCluster, isolation};
use types::{AccountId, QueueId, ShardId, Timestamp};

#[tokio::test(flavor = "multi_thread")]
async fn statements_name_their_account() {
    let mut seen = on_sqlite().await;
    seen.extend(on_postgres().await);
    let seen: Vec<_> = seen.iter().map(String::as_str).collect();
    let unused = isolation::unused(&seen);
    assert!(unused.is_empty(), "nobody sends these any more: {unused:#?}");
}

async fn on_sqlite() -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let urls = (0..2).map(|id| DatabaseUrl::sqlite(folder.path().join(format!("shard-{id}.db"))));
    check(urls.collect()).await
}

async fn on_postgres() -> Vec<String> {
    let cluster = PostgresCluster::start_with(&["fsync=off"]).await.unwrap();
    let mut urls = Vec::new();
    for name in ["one", "two"] {
        cluster.create_database(name).await.unwrap();
        urls.push(cluster.url(name).parse().unwrap());
    }
    check(urls).await
}

async fn check(urls: Vec<DatabaseUrl>) -> Vec<String> {
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let into = Arc::clone(&seen);
    let watch = Watch::new(move |sql| {
        into.lock().unwrap().insert(sql.to_owned());
    });
    let urls: Vec<_> = (0..).map(ShardId).zip(urls).collect();
    let ids: Vec<_> = urls.iter().map(|(id, _)| *id).collect();
    let options = Options { watch, ..Options::default() };
    let shards = SqlShards::open(&urls, Arc::new(BucketMap::even(&ids)), &options).await.unwrap();
    let shards = Arc::new(shards);
    conformance::shards::run(shards.clone()).await;
    let mut latest = shards.latest(ShardId(0)).await.unwrap();
    let _totals = latest.totals().await.unwrap();
    for after in [None, Some((AccountId(1), QueueId::at(Timestamp::default(), [1; 10])))] {
        let _operators = latest.queue(&QueueFilter { account: None, after, limit: 1 }).await.unwrap();
    }
    drop(latest);
    shards.close().await;
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 60, "{}", seen.len());
    let unbound = isolation::unbound(seen.iter());
    assert!(unbound.is_empty(), "these reach accounts without saying which: {unbound:#?}");
    seen.iter().cloned().collect()
}
