//! What one part that is away does to the others, which is nothing: shards that do not answer, when a node starts and
//! later; a bucket map that names one; servers that are silent; accounts that somebody does not let go of.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future;
use sea_orm::ConnectionTrait as _;
use storage::{
    BucketMap, Error, Needs, NewMailbox, Result, Shards, Transaction, Unit,
    moves::{Claim, Moves as _},
    write,
};
use storage_sql::{DatabaseUrl, Databases, Options, SqlDirectory, SqlShards, open};
use testkit::{Gate, PostgresCluster, Way};
use tokio::time::{Instant, sleep};
use types::{AccountId, Bucket, MailboxId, Secret, ShardId, Timestamp};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const FIRST: ShardId = ShardId(0);
const SECOND: ShardId = ShardId(1);
/// What is told at once takes less than this, on a machine with much else to do.
const AT_ONCE: Duration = Duration::from_millis(800);

/// Makes a mailbox of this name.
struct Make(AccountId, String);

#[async_trait]
impl Unit for Make {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.provision(self.0, NOW).await?;
        let new = NewMailbox { account: self.0, name: self.1.clone(), parent: None, role: None, now: NOW };
        tx.create_mailbox(new).await?;
        Ok(())
    }
}

async fn make(shards: &dyn Shards, account: AccountId, name: &str) -> Result<()> {
    let shard = shards.shard_of(account);
    write(shards, shard, Make(account, name.to_owned())).await.map(|((), committed)| {
        assert_eq!(committed.shard, shard);
    })
}

/// How many mailboxes the account has.
async fn mailboxes(shards: &dyn Shards, account: AccountId) -> Result<usize> {
    Ok(shards.latest(shards.shard_of(account)).await?.mailboxes(account).await?.len())
}

/// An account that lives on this shard.
fn somebody(shards: &dyn Shards, shard: ShardId) -> AccountId {
    (1..).map(AccountId).find(|account| shards.shard_of(*account) == shard).unwrap()
}

async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ask().await {
        assert!(Instant::now() < deadline, "it never came: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

fn is_away<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::Unavailable(_)))
}

async fn cluster(databases: &[&str]) -> (PostgresCluster, Vec<DatabaseUrl>) {
    let cluster = PostgresCluster::start_with(&["fsync=off"]).await.unwrap();
    let mut urls = Vec::new();
    for database in databases {
        cluster.create_database(database).await.unwrap();
        urls.push(cluster.url(database).parse().unwrap());
    }
    (cluster, urls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_away_is_opened_when_it_answers() {
    let (_one, urls) = cluster(&["directory", "first"]).await;
    let (mut two, others) = cluster(&["second"]).await;
    two.stop().await.unwrap();
    let listed = [(FIRST, urls[1].clone()), (SECOND, others[0].clone())];
    let began = Instant::now();
    let Databases { shards, .. } = open(&urls[0], &listed, &Options::default()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let [here, away] = [FIRST, SECOND].map(|shard| somebody(&*shards, shard));
    let began = Instant::now();
    make(&*shards, here, "a").await.unwrap();
    assert!(is_away(&make(&*shards, away, "a").await));
    assert!(is_away(&mailboxes(&*shards, away).await));
    assert!(is_away(&shards.ping(SECOND).await));
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(shards.all(), [FIRST, SECOND]);

    // Its tables are made then, too.
    two.resume().await.unwrap();
    eventually("the second shard", async || make(&*shards, away, "b").await.is_ok()).await;
    assert!(mailboxes(&*shards, away).await.unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_is_taken_in_with_a_shard_that_is_away() {
    let (_one, urls) = cluster(&["directory", "first"]).await;
    let (mut two, others) = cluster(&["second"]).await;
    let Databases { shards, directory } =
        open(&urls[0], &[(FIRST, urls[1].clone())], &Options::default()).await.unwrap();
    let (moved, stays) = (AccountId(5), AccountId(6));
    let bucket = Bucket::of(moved);
    assert_ne!(bucket, Bucket::of(stays));
    for account in [moved, stays] {
        make(&*shards, account, "a").await.unwrap();
    }

    // Added and moved to by others, while this node cannot reach it.
    two.stop().await.unwrap();
    drop(directory);
    let directory = SqlDirectory::open(&urls[0], &Options::default()).await.unwrap();
    directory.add_shard(SECOND, &Secret::new(two.url("second")), NOW).await.unwrap();
    let claim = Claim { mover: "m".to_owned(), now: NOW, silent_since: NOW };
    directory.claim_move(bucket, SECOND, &claim).await.unwrap().unwrap();
    assert!(directory.switch(&[bucket], "m", NOW).await.unwrap());

    shards.refresh().await.unwrap();
    assert_eq!(shards.shard_of(moved), SECOND, "the map is the new one");
    let outcome = mailboxes(&*shards, moved).await;
    assert!(is_away(&outcome), "not empty, but not available: {outcome:?}");
    assert!(is_away(&make(&*shards, moved, "b").await));
    let late = write(&*shards, FIRST, Make(moved, "b".to_owned())).await;
    assert!(matches!(late, Err(Error::Moving)), "never where it lived before: {late:?}");
    make(&*shards, stays, "b").await.unwrap();

    two.resume().await.unwrap();
    eventually("the second shard", async || make(&*shards, moved, "c").await.is_ok()).await;
    assert_eq!(others.len(), 1);
}

/// Packets that get lost, connections that end at once, a server that starts up for long: nobody waits for it, what was
/// refused is not done later, and it is found again.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_server_that_is_away() {
    let (server, _) = cluster(&["shard"]).await;
    let gate = Gate::start(&server.url("shard")).await.unwrap();
    let url: DatabaseUrl = gate.url(&server.url("shard")).unwrap().parse().unwrap();
    let map = Arc::new(BucketMap::even(&[FIRST]));
    let shards = SqlShards::open(&[(FIRST, url)], map, &Options::default()).await.unwrap();
    let account = AccountId(1);
    make(&shards, account, "first").await.unwrap();
    let mut acknowledged = mailboxes(&shards, account).await.unwrap();
    for way in [Way::Silent, Way::Closing, Way::Starting] {
        gate.set(way);
        let began = Instant::now();
        let names = (0..300).map(|number| format!("{way:?} {number}"));
        let adds = names.map(|name| {
            let shards = &shards;
            async move { make(shards, account, &name).await }
        });
        let outcomes = future::join_all(adds).await;
        assert!(outcomes.iter().all(is_away), "{way:?}: {:?}", outcomes.iter().find(|one| !is_away(one)));
        assert!(began.elapsed() < Duration::from_secs(6), "{way:?}: {:?}", began.elapsed());

        let began = Instant::now();
        assert!(is_away(&make(&shards, account, "no").await));
        let reads = future::join_all((0..50).map(|_| mailboxes(&shards, account))).await;
        assert!(reads.iter().all(is_away), "{reads:?}");
        assert!(is_away(&shards.snapshot(FIRST).await.map(drop)));
        assert!(began.elapsed() < AT_ONCE, "{way:?}: {:?}", began.elapsed());
        let said = mailboxes(&shards, account).await.unwrap_err();
        let said = std::error::Error::source(&said).unwrap().to_string();
        assert!(said.contains("away") && !said.contains("pool timed out"), "{said}");

        gate.set(Way::Open);
        eventually("the server", async || mailboxes(&shards, account).await.is_ok()).await;
        assert_eq!(mailboxes(&shards, account).await.unwrap(), acknowledged, "{way:?}: what was refused");
        make(&shards, account, &format!("after {way:?}")).await.unwrap();
        acknowledged += 1;
    }
    shards.close().await;
}

/// Somebody has an account and does not let go of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_account_keeps_nobody_else_waiting() {
    let (server, urls) = cluster(&["shard"]).await;
    let map = Arc::new(BucketMap::even(&[FIRST]));
    let options = Options { patience: Duration::from_secs(4), writers: 1, ..Options::default() };
    let shards = SqlShards::open(&[(FIRST, urls[0].clone())], map, &options).await.unwrap();
    let (locked, free) = (AccountId(1), AccountId(2));
    for account in [locked, free] {
        make(&shards, account, "first").await.unwrap();
    }
    let mut one = sea_orm::ConnectOptions::new(server.url("shard"));
    one.max_connections(1);
    let other = sea_orm::Database::connect(one).await.unwrap();
    other.execute_unprepared("BEGIN; SELECT 1 FROM account WHERE account_id = 1 FOR UPDATE").await.unwrap();

    let round = async |round: usize, account: AccountId| {
        let began = Instant::now();
        let names: Vec<_> = (0..100).map(|number| format!("{round} {number}")).collect();
        let made = names.iter().map(|name| make(&shards, account, name));
        (future::join_all(made).await, began.elapsed())
    };
    let others = async { (round(0, free).await, round(1, free).await) };
    let (theirs, (ours, again)) = tokio::join!(round(0, locked), others);
    assert!(ours.0.iter().chain(&again.0).all(Result::is_ok));
    assert!(ours.1 < Duration::from_millis(2_500), "the others were kept waiting for {:?}", ours.1);
    assert!(again.1 < AT_ONCE, "those who came later for {:?}", again.1);
    assert!(theirs.0.iter().all(is_away), "{:?}", theirs.0.first());
    assert!(theirs.1 < Duration::from_secs(7), "{:?}", theirs.1);

    // Whoever waits when it is let go of, goes on.
    let (waited, ()) = tokio::join!(make(&shards, locked, "late"), async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        eventually("the wait", async || server.query("shard", waiting).await.unwrap() != "0").await;
        other.execute_unprepared("ROLLBACK").await.unwrap();
    });
    waited.unwrap();
    shards.close().await;
}

/// Renames a mailbox.
struct Rename(AccountId, MailboxId, String);

#[async_trait]
impl Unit for Rename {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.rename_mailbox(self.0, self.1, &self.2).await.map(drop)
    }
}

/// The same of a record that is no account.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_record_keeps_nobody_else_waiting() {
    let (server, urls) = cluster(&["shard"]).await;
    let map = Arc::new(BucketMap::even(&[FIRST]));
    let options = Options { patience: Duration::from_secs(4), writers: 1, ..Options::default() };
    let shards = SqlShards::open(&[(FIRST, urls[0].clone())], map, &options).await.unwrap();
    let (locked, free) = (AccountId(1), AccountId(2));
    for account in [locked, free] {
        make(&shards, account, "first").await.unwrap();
    }
    let all = shards.latest(FIRST).await.unwrap().mailboxes(locked).await.unwrap();
    let first = all.iter().find(|mailbox| mailbox.name == "first").unwrap().id;
    let rename = async |name: &str| {
        let began = Instant::now();
        let renamed = write(&shards, FIRST, Rename(locked, first, name.to_owned())).await;
        (renamed.map(|((), _)| ()), began.elapsed())
    };
    let mut one = sea_orm::ConnectOptions::new(server.url("shard"));
    one.max_connections(1);
    let other = sea_orm::Database::connect(one).await.unwrap();
    let lock = format!("BEGIN; SELECT 1 FROM mailbox WHERE account_id = 1 AND id = {} FOR UPDATE", first.0);
    other.execute_unprepared(&lock).await.unwrap();

    let round = async |round: usize| {
        let began = Instant::now();
        let names: Vec<_> = (0..60).map(|number| format!("{round} {number}")).collect();
        let made = names.iter().map(|name| make(&shards, free, name));
        (future::join_all(made).await, began.elapsed())
    };
    let others = async { (round(0).await, round(1).await) };
    let (theirs, (ours, again)) = tokio::join!(rename("second"), others);
    assert!(ours.0.iter().chain(&again.0).all(Result::is_ok));
    assert!(ours.1 < Duration::from_millis(3_000), "the others were kept waiting for {:?}", ours.1);
    assert!(again.1 < Duration::from_millis(1_500), "those who came later for {:?}", again.1);
    assert!(is_away(&theirs.0), "{:?}", theirs.0);
    assert!(theirs.1 < Duration::from_secs(7), "{:?}", theirs.1);

    // Whoever waits when it is let go of, goes on.
    let ((renamed, _), ()) = tokio::join!(rename("third"), async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        eventually("the wait", async || server.query("shard", waiting).await.unwrap() != "0").await;
        other.execute_unprepared("ROLLBACK").await.unwrap();
    });
    renamed.unwrap();
    let all = shards.latest(FIRST).await.unwrap().mailboxes(locked).await.unwrap();
    assert!(all.iter().any(|mailbox| mailbox.name == "third"));
    shards.close().await;
}

/// The writers of a shard end one after another; what the others still do is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_committed_before_the_connections_close() {
    let (_server, urls) = cluster(&["shard"]).await;
    let map = Arc::new(BucketMap::even(&[FIRST]));
    let options = Options { writers: 4, max_batch: 3, ..Options::default() };
    let shards = SqlShards::open(&[(FIRST, urls[0].clone())], map, &options).await.unwrap();
    let mut adds: Vec<_> = (0..200)
        .map(|number| {
            let shards = &shards;
            // Many for one writer, few for the others.
            let account = AccountId(if number < 150 { 1 } else { number });
            Box::pin(async move { make(shards, account, &number.to_string()).await })
        })
        .collect();
    for add in &mut adds {
        assert!(futures::poll!(add).is_pending());
        // Each is handed over, however many a task may poll at once.
        tokio::task::yield_now().await;
    }
    let (outcomes, ()) = tokio::join!(future::join_all(adds), shards.close());
    assert!(outcomes.iter().all(Result::is_ok), "{:?}", outcomes.iter().find(|one| one.is_err()));
}
