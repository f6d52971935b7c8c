//! What the shards do when the disk is full, when bodies are large, or another process does not let go of the file.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future;
use sea_orm::ConnectionTrait as _;
use storage::{BucketMap, Error, Needs, Result, Shards as _, Transaction, Unit, write};
use storage_sql::{DatabaseUrl, Options, SqlShards, Watch};
use testkit::{PostgresCluster, fixtures::new_message};
use types::{AccountId, MessageId, ShardId, Timestamp};

const SHARD: ShardId = ShardId(0);
const ACCOUNT: AccountId = AccountId(1);

struct Add {
    number: u8,
    bytes: usize,
}

#[async_trait]
impl Unit for Add {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![ACCOUNT], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        let at = Timestamp::from_seconds(i64::from(self.number));
        tx.provision(ACCOUNT, at).await?;
        let id = MessageId::at(at, [self.number; 10]);
        // Bytes that do not shrink.
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        });
        tx.append(new_message(ACCOUNT, id, at, noise.take(self.bytes).collect())?).await?;
        Ok(())
    }
}

async fn open(url: &DatabaseUrl, max_pages: Option<u32>) -> SqlShards {
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let options = Options { max_pages, ..Options::default() };
    SqlShards::open(&[(SHARD, url.clone())], map, &options).await.unwrap()
}

/// Every fourth message does not fit; what waits together with it is not harmed.
async fn only_what_fits_is_written(shards: &SqlShards) {
    let adds = (0..12).map(|number| async move {
        let bytes = if number % 4 == 3 { 2_000_000 } else { 1_000 };
        write(shards, SHARD, Add { number, bytes }).await
    });
    let outcomes = future::join_all(adds).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        if number % 4 == 3 {
            assert!(matches!(outcome, Err(Error::Full(_))), "{number}: {outcome:?}");
        } else {
            assert!(outcome.is_ok(), "{number}: {outcome:?}");
        }
    }
    let state = shards.snapshot(SHARD).await.unwrap().account(ACCOUNT).await.unwrap().unwrap();
    assert_eq!(state.messages, 9);
}

async fn goes_on_with_room_again(shards: &SqlShards) {
    write(shards, SHARD, Add { number: 99, bytes: 2_000_000 }).await.unwrap().1.accounts.first().unwrap();
    let state = shards.snapshot(SHARD).await.unwrap().account(ACCOUNT).await.unwrap().unwrap();
    assert_eq!((state.messages, state.used_bytes), (10, 2_009_000), "with room again it goes on");
    shards.close().await;
    let closed = write(shards, SHARD, Add { number: 100, bytes: 1 }).await;
    assert!(matches!(closed, Err(Error::Unavailable(_))), "{closed:?}");
}

/// SQLite itself refuses to let the file grow: the same error as from a full disk.
#[tokio::test]
async fn a_full_disk_fails_only_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(folder.path().join("shard.db"));
    let shards = open(&url, Some(80)).await;
    only_what_fits_is_written(&shards).await;
    shards.close().await;
    goes_on_with_room_again(&open(&url, None).await).await;
}

/// PostgreSQL says of large bodies what it says when it cannot extend a file.
#[tokio::test]
async fn a_full_disk_of_a_server_fails_only_what_does_not_fit() {
    let cluster = PostgresCluster::start_with(&["fsync=off"]).await.unwrap();
    cluster.create_database("shard").await.unwrap();
    let shards = open(&cluster.url("shard").parse().unwrap(), None).await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
                CREATE TRIGGER full_disk BEFORE INSERT ON body FOR EACH ROW \
                WHEN (length(NEW.inline) > 1000000) EXECUTE FUNCTION full_disk()";
    cluster.query("shard", full).await.unwrap();
    only_what_fits_is_written(&shards).await;
    cluster.query("shard", "DROP TRIGGER full_disk ON body").await.unwrap();
    goes_on_with_room_again(&shards).await;
}

/// A batch of many large bodies is more than PostgreSQL takes as one statement; it is still one transaction.
#[tokio::test]
async fn large_bodies_are_written_in_pieces() {
    let cluster = PostgresCluster::start_with(&["fsync=off"]).await.unwrap();
    cluster.create_database("shard").await.unwrap();
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let statements = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&statements);
    let watch = Watch::new(move |sql| {
        count.fetch_add(usize::from(sql.contains("INSERT INTO \"body\"")), Ordering::SeqCst);
    });
    let options = Options { watch, ..Options::default() };
    let url: DatabaseUrl = cluster.url("shard").parse().unwrap();
    let shards = SqlShards::open(&[(SHARD, url)], map, &options).await.unwrap();
    write(&shards, SHARD, Add { number: 0, bytes: 1 }).await.unwrap().1.accounts.first().unwrap();
    let (commits, before) = (shards.commits(), statements.load(Ordering::SeqCst));
    let adds = (1..=12).map(|number| write(&shards, SHARD, Add { number, bytes: 4 << 20 }));
    for outcome in future::join_all(adds).await {
        assert_eq!(outcome.unwrap().1.accounts.len(), 1);
    }
    let (commits, pieces) = (shards.commits() - commits, statements.load(Ordering::SeqCst) - before);
    assert!(commits <= 2 && (3..=5).contains(&pieces), "{pieces} pieces in {commits} transactions");
    let state = shards.snapshot(SHARD).await.unwrap().account(ACCOUNT).await.unwrap().unwrap();
    assert_eq!((state.messages, state.used_bytes), (13, 1 + (12 << 22)));
    shards.close().await;
}

/// Another process has the file: everybody who waits is told after one wait, and it goes on afterwards.
#[tokio::test]
async fn a_file_in_use_makes_callers_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let options = Options { patience: Duration::from_millis(200), ..Options::default() };
    let shards = &SqlShards::open(&[(SHARD, DatabaseUrl::sqlite(&path))], map, &options).await.unwrap();
    let mut one = sea_orm::ConnectOptions::new(format!("sqlite:{}", path.display()));
    one.max_connections(1);
    let other = sea_orm::Database::connect(one).await.unwrap();
    other.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    let adds = future::join_all((0..100).map(|number| write(shards, SHARD, Add { number, bytes: 10 }))).await;
    assert!(adds.iter().all(|outcome| matches!(outcome, Err(Error::Unavailable(_)))), "{adds:?}");
    other.execute_unprepared("ROLLBACK").await.unwrap();
    // Whoever comes once they were told is not told the same.
    let (_, committed) = write(shards, SHARD, Add { number: 1, bytes: 10 }).await.unwrap();
    assert_eq!(committed.accounts.len(), 1);
}
