//! Shards that are added while nodes run, databases that are taken for others, and a bucket map that changes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{sync::Arc, time::Duration};

use storage::{BucketMap, Error, conformance};
use storage_sql::{DatabaseUrl, Options, SqlDirectory, SqlShards, open, readdress_shard, remove_shard};
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
    assert!(one.directory.switch(&[bucket], "m", NOW).await.unwrap());
    assert_eq!(two.shards.shard_of(account), ShardId(0));
    two.shards.refresh().await.unwrap();
    assert_eq!(two.shards.shard_of(account), ShardId(1));

    let three = files.open(&["a.db"]).await.unwrap();
    assert_eq!(three.shards.shard_of(account), ShardId(1), "a later start knows it, too");
}

/// Several operators at once: each database is the shard that its operator was told, and stays it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_that_are_added_at_once_get_numbers_of_their_own() {
    let files = Files::new();
    let (one, two) = (files.open(&["a.db"]).await.unwrap(), files.open(&["a.db"]).await.unwrap());
    let mut numbers = Vec::new();
    for round in 0..4 {
        let (left, right) = (format!("left{round}.db"), format!("right{round}.db"));
        let (left, right) = (files.secret(&left), files.secret(&right));
        let (left, right) = tokio::join!(one.shards.add(&left, NOW), two.shards.add(&right, NOW));
        numbers.extend([left.unwrap(), right.unwrap()]);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..9).map(ShardId).collect::<Vec<_>>());
    let three = files.open(&["a.db"]).await.unwrap();
    for number in numbers {
        three.shards.ping(number).await.unwrap();
    }
}

/// The same database twice at once is one shard, and its number is no other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_added_twice_at_once_is_one_shard() {
    let files = Files::new();
    let (one, two) = (files.open(&["a.db"]).await.unwrap(), files.open(&["a.db"]).await.unwrap());
    for round in 0..4 {
        let (name, first) = (format!("same{round}.db"), ShardId(0));
        // With its tables, which nobody makes twice at once.
        let map = Arc::new(BucketMap::even(&[first]));
        SqlShards::open(&[(first, files.url(&name))], map, &Options::default()).await.unwrap().close().await;
        let url = files.secret(&name);
        let (left, right) = tokio::join!(one.shards.add(&url, NOW), two.shards.add(&url, NOW));
        let (added, refused) = if left.is_ok() { (left, right) } else { (right, left) };
        assert!(matches!(refused, Err(Error::Exists(_))), "{refused:?}");
        one.shards.refresh().await.unwrap();
        one.shards.ping(added.unwrap()).await.unwrap();
        assert_eq!(one.shards.all().len(), 2 + round, "none is left over");
    }
}

/// A number that an attempt left in a database without the directory's knowing, and that another one has by now.
#[tokio::test]
async fn a_number_that_is_anothers_is_not_taken() {
    let files = Files::new();
    let one = files.open(&["a.db"]).await.unwrap();
    assert_eq!(one.shards.add(&files.secret("b.db"), NOW).await.unwrap(), ShardId(1));
    let (directory, options) = (files.url("directory.db"), Options::default());
    drop(one);
    for (from, to) in [("b.db", "c.db"), ("b.db-wal", "c.db-wal")] {
        let (from, to) = (files.0.path().join(from), files.0.path().join(to));
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        }
    }
    remove_shard(&directory, ShardId(1), &options).await.unwrap();
    let two = files.open(&["a.db"]).await.unwrap();
    assert_eq!(two.shards.add(&files.secret("c.db"), NOW).await.unwrap(), ShardId(1), "it may come back");
    let error = two.shards.add(&files.secret("b.db"), NOW).await.unwrap_err();
    assert!(said(&error).contains("says that it is shard 1 of this service"), "{}", said(&error));
    assert_eq!(two.shards.all(), [ShardId(0), ShardId(1)]);
}

#[tokio::test]
async fn an_added_shard_gets_another_url_and_is_given_up() {
    let files = Files::new();
    let (one, two) = (files.open(&["a.db"]).await.unwrap(), files.open(&["a.db"]).await.unwrap());
    one.shards.add(&files.secret("c.db"), NOW).await.unwrap();
    two.shards.refresh().await.unwrap();
    let (directory, options) = (files.url("directory.db"), Options::default());
    std::fs::hard_link(files.0.path().join("c.db"), files.0.path().join("d.db")).unwrap();
    drop(one);
    for (shard, name, part) in [
        (1, "a.db", "is shard 0, not shard 1"),
        (1, "none.db", "cannot be read as shard 1"),
        (0, "a.db", "shard 0 is none that was added"),
        (7, "d.db", "shard 7 is none that was added"),
    ] {
        let set = readdress_shard(&directory, ShardId(shard), &files.secret(name), &options).await;
        let error = set.unwrap_err();
        assert!(said(&error).contains(part), "{}", said(&error));
    }
    assert!(!files.0.path().join("none.db").exists());
    readdress_shard(&directory, ShardId(1), &files.secret("d.db"), &options).await.unwrap();
    assert!(two.shards.name(ShardId(1)).ends_with("c.db"));
    two.shards.refresh().await.unwrap();
    assert!(two.shards.name(ShardId(1)).ends_with("d.db"), "a node that runs follows");
    two.shards.ping(ShardId(1)).await.unwrap();

    let claim = storage::moves::Claim { mover: "m".to_owned(), now: NOW, silent_since: NOW };
    two.directory.claim_move(Bucket(3), ShardId(1), &claim).await.unwrap().unwrap();
    let error = remove_shard(&directory, ShardId(1), &options).await.unwrap_err();
    assert!(said(&error).contains("buckets 3 are on their way"), "{}", said(&error));
    two.directory.switch(&[Bucket(3)], "m", NOW).await.unwrap();
    let error = remove_shard(&directory, ShardId(1), &options).await.unwrap_err();
    assert!(said(&error).contains("buckets 3 live on shard 1: move them first"), "{}", said(&error));
    two.directory.end_moves(&[Bucket(3)], "m").await.unwrap();
    two.directory.claim_move(Bucket(3), ShardId(0), &claim).await.unwrap().unwrap();
    two.directory.switch(&[Bucket(3)], "m", NOW).await.unwrap();
    two.directory.end_moves(&[Bucket(3)], "m").await.unwrap();
    remove_shard(&directory, ShardId(1), &options).await.unwrap();
    two.shards.refresh().await.unwrap();
    assert_eq!(two.shards.all(), [ShardId(0)]);
    assert!(two.shards.ping(ShardId(1)).await.is_err());
    assert_eq!(two.shards.add(&files.secret("d.db"), NOW).await.unwrap(), ShardId(1), "and may come back");
}

/// The directory names a database in the place of one that is listed, or one that nobody can read: that is refused as
/// long as it is so, and no longer.
#[tokio::test]
async fn what_was_refused_is_looked_at_again() {
    let files = Files::new();
    let node = files.open(&["a.db", "b.db"]).await.unwrap();
    let (second, third) = (ShardId(1), ShardId(2));
    let why = async |shard| match node.shards.ping(shard).await {
        Err(error @ Error::Unavailable(_)) => said(&error),
        other => panic!("{other:?}"),
    };
    node.directory.add_shard(second, &files.secret("c.db"), NOW).await.unwrap();
    node.directory.add_shard(third, &Secret::new("tape:reel".to_owned()), NOW).await.unwrap();
    node.shards.refresh().await.unwrap();
    let reason = why(second).await;
    assert!(reason.contains("and not the database in its place in the list"), "{reason}");
    let reason = why(third).await;
    assert!(reason.contains("the directory's URL of shard 2"), "{reason}");

    assert!(node.directory.set_shard_url(second, &files.secret("b.db")).await.unwrap());
    assert!(node.directory.set_shard_url(third, &files.secret("d.db")).await.unwrap());
    node.shards.refresh().await.unwrap();
    for shard in [second, third] {
        node.shards.ping(shard).await.unwrap();
    }
    assert!(node.directory.set_shard_url(second, &files.secret("c.db")).await.unwrap());
    node.shards.refresh().await.unwrap();
    why(second).await;
}

/// The password of the server changes while nodes run, one of which is told so in time.
#[tokio::test]
async fn a_new_password_reaches_nodes_that_run() {
    let cluster = PostgresCluster::start().await.unwrap();
    for name in ["directory", "one", "two"] {
        cluster.create_database(name).await.unwrap();
    }
    let url = |name: &str| cluster.url(name);
    let directory: DatabaseUrl = url("directory").parse().unwrap();
    let one = [(ShardId(0), url("one").parse().unwrap())];
    let node = open(&directory, &one, &Options::default()).await.unwrap();
    cluster.query("one", "CREATE ROLE other LOGIN PASSWORD 'old'").await.unwrap();
    cluster.query("two", "GRANT ALL ON SCHEMA public TO other").await.unwrap();
    let as_other = |password: &str| {
        let (_, place) =
            cluster.url("two").split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        Secret::new(format!("postgres://other:{password}@{place}"))
    };
    assert_eq!(node.shards.add(&as_other("old"), NOW).await.unwrap(), ShardId(1));
    cluster.query("one", "ALTER ROLE other PASSWORD 'new'").await.unwrap();
    let options = Options { patience: Duration::from_secs(1), ..Options::default() };
    let set = readdress_shard(&directory, ShardId(1), &as_other("wrong"), &options).await;
    assert!(said(&set.unwrap_err()).contains("password"));
    readdress_shard(&directory, ShardId(1), &as_other("new"), &Options::default()).await.unwrap();
    node.shards.refresh().await.unwrap();
    cluster
        .query("one", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'other'")
        .await
        .unwrap();
    node.shards.ping(ShardId(1)).await.unwrap();
}
