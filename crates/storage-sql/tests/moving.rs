//! Shards that are added while nodes run, databases that are taken for others, and a bucket map that changes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use storage::{Error, conformance};
use storage_sql::{DatabaseUrl, Options, SqlDirectory, open};
use tempfile::TempDir;
use testkit::PostgresCluster;
use types::{AccountId, Bucket, Secret, ShardId, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn url(&self, name: &str) -> DatabaseUrl {
        DatabaseUrl::sqlite(self.0.path().join(name))
    }

    fn secret(&self, name: &str) -> Secret {
        Secret::new(self.url(name).to_string())
    }

    async fn open(&self, shards: &[&str]) -> storage::Result<storage_sql::Databases> {
        let shards: Vec<_> = (0..).map(ShardId).zip(shards.iter().map(|name| self.url(name))).collect();
        open(&self.url("directory.db"), &shards, &Options::default()).await
    }
}

fn said(error: &Error) -> String {
    format!("{error}: {}", std::error::Error::source(error).map_or_else(String::new, ToString::to_string))
}

#[tokio::test]
async fn moves_keep_their_promises_on_sqlite() {
    let files = Files::new();
    let databases = files.open(&["a.db", "b.db"]).await.unwrap();
    conformance::moves::run(databases.directory).await;
}

#[tokio::test]
async fn moves_keep_their_promises_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    cluster.create_database("directory").await.unwrap();
    let url = cluster.url("directory").parse().unwrap();
    let directory = Arc::new(SqlDirectory::open(&url, &Options::default()).await.unwrap());
    storage::Directory::bucket_map(&*directory, &[ShardId(0), ShardId(1)]).await.unwrap();
    conformance::moves::run(directory).await;
}

#[tokio::test]
async fn a_database_is_taken_for_no_other() {
    let (files, others) = (Files::new(), Files::new());
    drop(files.open(&["a.db", "b.db"]).await.unwrap());
    drop(others.open(&["x.db"]).await.unwrap());
    for (shards, part) in [
        (vec!["b.db", "a.db"], "is shard 1 of this service, but is listed as shard 0"),
        (vec!["a.db", "a.db"], "is shard 0 of this service, but is listed as shard 1"),
        (vec!["a.db"], "lives on shard 1, which is not among the 1 that are known"),
    ] {
        let error = files.open(&shards).await.err().unwrap();
        assert!(said(&error).contains(part), "{shards:?}: {}", said(&error));
    }
    std::fs::copy(others.0.path().join("x.db"), files.0.path().join("x.db")).unwrap();
    let error = files.open(&["x.db", "b.db"]).await.err().unwrap();
    assert!(said(&error).contains("belongs to another service"), "{}", said(&error));
    files.open(&["a.db", "b.db"]).await.unwrap();
}

#[tokio::test]
async fn nodes_find_what_was_added_and_moved() {
    let files = Files::new();
    let (one, two) = (files.open(&["a.db"]).await.unwrap(), files.open(&["a.db"]).await.unwrap());
    assert_eq!(one.shards.add(&files.secret("c.db"), NOW).await.unwrap(), ShardId(1));
    assert_eq!(one.shards.all(), [ShardId(0), ShardId(1)]);
    for known in ["a.db", "c.db"] {
        let again = one.shards.add(&files.secret(known), NOW).await;
        assert!(matches!(again, Err(Error::Exists(_))), "{known}: {again:?}");
    }
    two.shards.refresh().await.unwrap();
    assert_eq!(two.shards.all(), [ShardId(0), ShardId(1)]);
    assert!(two.shards.name(ShardId(1)).ends_with("c.db"));

    let account = AccountId(5);
    let claim = storage::moves::Claim { mover: "m".to_owned(), now: NOW, silent_since: NOW };
    let bucket = Bucket::of(account);
    one.directory.claim_move(bucket, ShardId(1), &claim).await.unwrap().unwrap();
    assert!(one.directory.switch(bucket, "m", NOW).await.unwrap());
    assert_eq!(two.shards.shard_of(account), ShardId(0));
    two.shards.refresh().await.unwrap();
    assert_eq!(two.shards.shard_of(account), ShardId(1));

    let three = files.open(&["a.db"]).await.unwrap();
    assert_eq!(three.shards.shard_of(account), ShardId(1), "a later start knows it, too");
}
