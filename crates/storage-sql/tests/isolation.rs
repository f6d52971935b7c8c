//! No statement reaches an account without its id: every statement that the conformance suites make the shards send is
//! watched, on both back ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use storage::{BucketMap, QueueFilter, Shards as _, conformance};
use storage_sql::{DatabaseUrl, Options, SqlShards, Watch};
use testkit::PostgresCluster;
use types::{AccountId, QueueId, ShardId, Timestamp};

/// Tables whose rows belong to an account.
const KEYED: [&str; 11] = [
    "account",
    "body",
    "body_blob",
    "mailbox",
    "message",
    "placement",
    "queue_entry",
    "queue_recipient",
    "thread_ref",
    "tombstone",
    "upload",
];

/// Statements that are meant for all accounts of a shard: what they contain, and why.
const SHARD_WIDE: &[(&str, &str)] = &[
    ("SELECT 1 FROM account LIMIT 1", "readiness: whether the shard answers"),
    (
        "FROM \"account\" WHERE \"account\".\"account_id\" > ",
        "the list of accounts, for housekeeping and the indexer",
    ),
    (
        "FROM \"queue_entry\" WHERE (held = FALSE)",
        "the queue's workers serve all accounts in the order of what is due",
    ),
    ("FROM \"queue_entry\" ORDER BY", "the operator's list of the queue"),
    (
        "FROM \"queue_entry\" WHERE \"queue_entry\".\"account_id\" > ",
        "the operator's list of the queue, next page",
    ),
    ("\"leased_until\" IS NOT NULL", "a worker that is alone ends the leases of its former life"),
    ("\"blob_id\" ", "the collector asks which blobs are in use by anybody"),
    (
        "DELETE FROM \"upload\" WHERE \"upload\".\"created_at\" < ",
        "housekeeping: uploads that nobody attached",
    ),
    (
        "SELECT \"placement\".\"account_id\" FROM \"placement\" WHERE \"placement\".\"bucket\" = ",
        "which accounts move with a bucket",
    ),
    (
        "SELECT \"placement\".\"bucket\" FROM \"placement\" WHERE \"placement\".\"bucket\" >= ",
        "which buckets hold accounts",
    ),
    ("SELECT count(*) AS accounts, ", "the operator's figures of a shard: sums, no content"),
];

#[test]
fn the_check_sees_what_is_missing() {
    for (sql, is_fine) in [
        ("BEGIN", true),
        ("SELECT \"message\".\"id\" FROM \"message\" WHERE \"message\".\"account_id\" = $1", true),
        ("SELECT \"message\".\"id\" FROM \"message\" WHERE \"message\".\"id\" = $1", false),
        ("SELECT account_id FROM message ORDER BY account_id", false),
        ("UPDATE account SET fenced = $1 WHERE account_id IN (SELECT account_id FROM placement)", false),
        ("UPDATE \"body\" SET \"refs\" = 1 WHERE \"body\".\"id\" = $1", false),
        ("DELETE FROM \"body\" WHERE \"body\".\"account_id\" = $1", true),
        ("SELECT 1 FROM message AS m JOIN body AS b ON b.id = m.body_id WHERE m.account_id = $1", false),
        ("INSERT INTO \"body\" (\"account_id\", \"id\") VALUES (?, ?)", true),
        ("INSERT INTO \"body\" (\"id\") VALUES (?)", false),
    ] {
        assert_eq!(is_bound(sql), is_fine, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_name_their_account_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let urls = (0..2).map(|id| DatabaseUrl::sqlite(folder.path().join(format!("shard-{id}.db"))));
    check(urls.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_name_their_account_on_postgres() {
    let cluster = PostgresCluster::start_with(&["fsync=off"]).await.unwrap();
    let mut urls = Vec::new();
    for name in ["one", "two"] {
        cluster.create_database(name).await.unwrap();
        urls.push(cluster.url(name).parse().unwrap());
    }
    check(urls).await;
}

async fn check(urls: Vec<DatabaseUrl>) {
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
    let unbound: Vec<_> = seen.iter().filter(|sql| !is_bound(sql) && !is_shard_wide(sql)).collect();
    assert!(unbound.is_empty(), "these reach accounts without saying which: {unbound:#?}");
    let unused: Vec<_> =
        SHARD_WIDE.iter().filter(|(part, _)| !seen.iter().any(|sql| sql.contains(part))).collect();
    assert!(unused.is_empty(), "nobody sends these any more: {unused:#?}");
}

fn is_shard_wide(sql: &str) -> bool {
    SHARD_WIDE.iter().any(|(part, _)| sql.contains(part))
}

/// Whether every table of accounts that the statement names is bound to the accounts that are meant.
fn is_bound(sql: &str) -> bool {
    let plain = sql.replace('"', "");
    let named = |word: &str| {
        let places: Vec<_> = plain.match_indices(word).map(|(at, _)| &plain[at + word.len()..]).collect();
        places
            .into_iter()
            .filter(|rest| KEYED.contains(&first_word(rest)))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let inserts = named("INSERT INTO ");
    if inserts.iter().any(|rest| !rest.contains("(account_id")) {
        return false;
    }
    let read: usize = ["FROM ", "JOIN ", "UPDATE "].into_iter().map(|word| named(word).len()).sum();
    let conditions = ["account_id = ", "account_id IN "];
    let bound: usize = conditions.into_iter().map(|condition| plain.matches(condition).count()).sum();
    // Whatever another statement finds is not what the caller has named.
    let found = plain.matches("account_id IN (SELECT").count();
    read <= bound - found
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}
