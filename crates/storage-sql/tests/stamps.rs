//! A shard's stamp changes with every commit of whatever process, and with nothing else; taking it gives up no lock,
//! and neither does opening the database once more.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use sea_orm::ConnectionTrait as _;
use storage::{BucketMap, Needs, Result, Shards, Stamp, Transaction, Unit, write};
use storage_sql::{DatabaseUrl, Options, SqlShards};
use types::{AccountId, ShardId, Timestamp};

const SHARD: ShardId = ShardId(0);

struct Provision(AccountId);

#[async_trait]
impl Unit for Provision {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], stamp: true, ..Needs::default() }
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

/// What a commit says of the shard after it.
async fn told(shards: &SqlShards, account: i64) -> Option<Stamp> {
    write(shards, SHARD, Provision(AccountId(account))).await.unwrap().1.stamp
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

#[tokio::test]
async fn a_commit_tells_the_stamp_after_it_if_it_was_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let (one, two) = (open(&path).await, open(&path).await);
    commit(&one, 1).await;
    for account in 2..10 {
        let stamp = told(if account % 3 == 0 { &two } else { &one }, account).await;
        assert!(stamp.is_some() && stamp == two.stamp(SHARD), "nobody else has committed anything");
    }
    // A unit that changes nothing commits nothing.
    assert_eq!(told(&one, 2).await, None);
    let all = futures::future::join_all((10..60).map(|account| {
        let shards = if account % 2 == 0 { &one } else { &two };
        told(shards, account)
    }));
    let now = one.stamp(SHARD).into_iter();
    let all: Vec<_> = all.await.into_iter().flatten().collect();
    let distinct = all.iter().enumerate().all(|(at, stamp)| !all.iter().take(at).any(|other| other == stamp));
    assert!(distinct && now.count() == 1, "no two commits are the same");
}

/// Set in a process of its own: the database that it tries to write to.
const OTHER: &str = "MAGPIE_TEST_STAMPED";

#[tokio::test]
async fn taking_a_stamp_gives_up_no_lock() {
    if let Ok(path) = std::env::var(OTHER) {
        let other = connect(Path::new(&path)).await;
        let begun = other.execute_unprepared("BEGIN IMMEDIATE").await;
        println!("{}", if begun.is_ok() { "it was given the lock" } else { "it was refused the lock" });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let shards = open(&path).await;
    commit(&shards, 1).await;
    let writer = connect(&path).await;
    writer.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    for _ in 0..3 {
        assert!(shards.stamp(SHARD).is_some());
    }
    let answer = async |what: &str| other_says("taking_a_stamp_gives_up_no_lock", &path, what).await;
    answer("it was refused the lock").await;
    writer.execute_unprepared("ROLLBACK").await.unwrap();
    answer("it was given the lock").await;
}

#[tokio::test]
async fn opening_it_again_gives_up_no_lock() {
    if let Ok(path) = std::env::var(OTHER) {
        let other = connect(Path::new(&path)).await;
        // Wants the file for itself, which nobody who has it open grants.
        let left = other.execute_unprepared("PRAGMA journal_mode = DELETE").await;
        println!("{}", if left.is_ok() { "it had the file for itself" } else { "it was refused the file" });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let shards = open(&path).await;
    commit(&shards, 1).await;
    read(&shards).await;
    open(&path).await.close().await;
    let answer = async |what: &str| other_says("opening_it_again_gives_up_no_lock", &path, what).await;
    answer("it was refused the file").await;
    commit(&shards, 2).await;
    shards.close().await;
    answer("it had the file for itself").await;
}

/// Runs the test in a process of its own, which says what became of it.
async fn other_says(test: &str, path: &Path, what: &str) {
    let other = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(OTHER, path)
        .output();
    let said = String::from_utf8(other.await.unwrap().stdout).unwrap();
    assert!(said.contains(what), "{said}");
}

async fn connect(path: &Path) -> sea_orm::DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(format!("sqlite:{}", path.display()));
    options.max_connections(1);
    let connection = sea_orm::Database::connect(options).await.unwrap();
    connection.execute_unprepared("PRAGMA busy_timeout = 50").await.unwrap();
    connection
}
