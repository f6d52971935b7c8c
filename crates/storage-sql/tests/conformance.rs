//! The suites of `storage::conformance` on SQLite files and on databases of a PostgreSQL server.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::sync::Arc;

use storage::{BucketMap, Directory as _, conformance};
use storage_sql::{DatabaseUrl, Options, Schema, SqlDirectory, SqlShards, pending_migrations};
use testkit::PostgresCluster;
use types::{Secret, ShardId};

async fn shards(urls: Vec<DatabaseUrl>, options: &Options) -> Arc<SqlShards> {
    let urls: Vec<_> = (0..).map(ShardId).zip(urls).collect();
    let ids: Vec<_> = urls.iter().map(|(id, _)| *id).collect();
    Arc::new(SqlShards::open(&urls, Arc::new(BucketMap::even(&ids)), options).await.unwrap())
}

fn files(folder: &tempfile::TempDir) -> Vec<DatabaseUrl> {
    (0..3).map(|id| DatabaseUrl::sqlite(folder.path().join(format!("shard-{id}.db")))).collect()
}

async fn databases(cluster: &PostgresCluster) -> Vec<DatabaseUrl> {
    let mut urls = Vec::new();
    for id in 0..2 {
        let name = format!("shard{id}");
        cluster.create_database(&name).await.unwrap();
        urls.push(cluster.url(&name).parse().unwrap());
    }
    urls
}

async fn check_shards(urls: Vec<DatabaseUrl>, options: &Options) {
    let shards = shards(urls, options).await;
    conformance::shards::run(shards.clone()).await;
    shards.close().await;
}

fn small_batches() -> Options {
    Options { max_batch: 1, max_waiting: 1, readers: 2, writers: 3, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_keep_their_promises_on_sqlite() {
    check_shards(files(&tempfile::tempdir().unwrap()), &Options::default()).await;
}

#[tokio::test]
async fn shards_keep_their_promises_on_sqlite_in_small_batches_too() {
    check_shards(files(&tempfile::tempdir().unwrap()), &small_batches()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_keep_their_promises_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    check_shards(databases(&cluster).await, &Options::default()).await;
}

#[tokio::test]
async fn shards_keep_their_promises_on_postgres_in_small_batches_too() {
    let cluster = PostgresCluster::start().await.unwrap();
    check_shards(databases(&cluster).await, &small_batches()).await;
}

async fn check_directory(url: DatabaseUrl) {
    let steps = pending_migrations(&url, Schema::Directory).await.unwrap();
    assert!(steps[0].sql[0].starts_with("CREATE TABLE domain"), "{steps:?}");
    let directory = SqlDirectory::open(&url, &Options::default()).await.unwrap();
    assert!(pending_migrations(&url, Schema::Directory).await.unwrap().is_empty());
    let directory = Arc::new(directory);
    conformance::directory::run(directory.clone()).await;
    let again = SqlDirectory::open(&url, &Options::default()).await.unwrap();
    assert_eq!(again.domains().await.unwrap().len(), 6, "a second start keeps everything");
    what_another_node_changes_is_seen_now(&directory, &again).await;
}

async fn what_another_node_changes_is_seen_now(here: &SqlDirectory, there: &SqlDirectory) {
    let account = here.accounts(None, 1).await.unwrap().remove(0);
    let known = here.account(account.id).await.unwrap();
    assert!(there.set_password(account.id, Secret::new("another".into())).await.unwrap());
    assert_eq!(here.account(account.id).await.unwrap(), known, "from its cache");
    let now = here.account_now(account.id).await.unwrap().unwrap();
    assert_eq!(now.password_hash.expose(), "another");
    assert_eq!(here.account(account.id).await.unwrap(), Some(now), "what was asked is known");
}

#[tokio::test]
async fn the_directory_keeps_its_promises_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/directory.db");
    check_directory(DatabaseUrl::sqlite(&path)).await;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_directory_keeps_its_promises_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    cluster.create_database("directory").await.unwrap();
    check_directory(cluster.url("directory").parse().unwrap()).await;
}
