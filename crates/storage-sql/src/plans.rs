//! Every query of a list is an index scan: SQLite's own plan says so.

use std::sync::{Arc, Mutex};

use sea_orm::{ConnectionTrait, DbBackend, Statement, Value, prelude::Uuid};
use storage::{Filter, Needs, PageRequest, QueueFilter, Snapshot};
use types::{AccountId, BlobId, MailboxId, MessageId, ModSeq, QueueId, ThreadId, Timestamp};

use crate::{
    DatabaseUrl, Options, Schema, Watch,
    connect::Database,
    deferred::{self, Marked},
    open::Open,
    read::queue::{self, Which},
};

/// What was sent, in order.
type Caught = Arc<Mutex<Vec<(String, Vec<Value>)>>>;

/// Every statement that a reading or writing `Open` sends to find something.
async fn statements(database: &Database, caught: &Caught) -> Vec<(String, Vec<Value>)> {
    let mut open = Open::reader(database.readers().begin().await.unwrap(), None);
    let account = AccountId(1);
    let id = MessageId::at(Timestamp::default(), [1; 10]);
    for mailbox in [None, Some(MailboxId(1))] {
        for before in [None, Some(id)] {
            for bits in 0..8_u8 {
                let wanted = |bit: u8| (bits & bit != 0).then_some(true);
                let filter = Filter { unread: wanted(1), flagged: wanted(2), attachments: wanted(4) };
                let request = PageRequest { mailbox, filter, before, limit: 50 };
                open.page(account, &request).await.unwrap();
                let known = storage::Edition { uid_validity: types::UidValidity(1), modseq: ModSeq(1) };
                open.page_if_new(account, &request, Some(known)).await.unwrap();
            }
        }
    }
    open.mailboxes(account).await.unwrap();
    open.annotations(account).await.unwrap();
    open.grants(account, None).await.unwrap();
    open.grants(account, Some(AccountId(2))).await.unwrap();
    open.messages(account, &[id, id]).await.unwrap();
    open.contents(account, &[id]).await.unwrap();
    open.structure(account, id).await.unwrap();
    open.signatures(account, &[id]).await.unwrap();
    let many: Vec<_> = (0..100).map(|n| MessageId::at(Timestamp::from_seconds(n), [1; 10])).collect();
    open.signatures(account, &many).await.unwrap();
    open.thread(account, ThreadId(id.0), 10).await.unwrap();
    open.changes(account, ModSeq(0), 10).await.unwrap();
    open.queue_entry(account, QueueId(id.0)).await.unwrap();
    for after in [None, Some((account, QueueId(id.0)))] {
        open.queue(&QueueFilter { account: Some(account), after, limit: 10 }).await.unwrap();
    }
    open.next_due().await.unwrap();
    open.unindexed(None, 10).await.unwrap();
    open.blobs_in_use(&[BlobId([1; 32])]).await.unwrap();
    open.accounts(Some(account), 10).await.unwrap();
    drop(open);
    let mut open = Open::writer(database.writers().begin().await.unwrap(), None, usize::MAX);
    open.load(vec![1, 2, 3]).await.unwrap();
    let (ids, refs) = ([(account, id), (AccountId(2), id)], [(account, 1), (account, 2)]);
    open.look_up(&ids, &refs).await.unwrap();
    for which in [Which::Urgent, Which::Aged, Which::Ordinary, Which::All] {
        queue::accounts_due(&open.conn, which, Timestamp::default(), 10).await.unwrap();
        queue::due(&open.conn, vec![1, 2], which, Timestamp::default(), 10).await.unwrap();
    }
    outcomes(&mut open, &[(account, id), (AccountId(2), id)]).await;
    if !open.conn.is_postgres() {
        deferred_changes(&mut open).await;
    }
    drop(open);
    let mut caught = caught.lock().unwrap().clone();
    caught.retain(|(sql, _)| !sql.starts_with("BEGIN"));
    caught
}

/// What writes outcomes of deliveries down, should there be nothing that they are of.
async fn outcomes(open: &mut Open, ids: &[(AccountId, MessageId)]) {
    let entries = ids.iter().map(|(account, id)| (*account, QueueId(id.0))).collect();
    let needs = Needs { entries, sent: ids.to_vec(), ..Needs::default() };
    open.prepare(std::iter::once(needs)).await.unwrap();
    for (account, id) in ids {
        open.take_out_entry((account.0, id.0));
        open.waiting.deliveries.insert((account.0, id.0), (None, 1));
        open.waiting.leaving.insert((account.0, id.0), 1);
    }
    open.flush().await.unwrap();
}

/// What notes changes and writes them later, should there be no messages that they are of.
async fn deferred_changes(open: &mut Open) {
    let marked = Marked { id: Uuid::nil(), mailbox_id: 1, uid: 7, flags: 1, keywords: String::new() };
    deferred::mark(open, 1, 1, &[marked]).await.unwrap();
    deferred::expunge(open, 1, (2, 1), vec![8, 9]).await.unwrap();
    assert!(deferred::is_owed(&open.conn, 1).await.unwrap());
    assert_eq!(deferred::owing(&open.conn, None).await.unwrap(), Some(1));
    deferred::settle_all(open, &[1, 2]).await.unwrap();
    assert_eq!(deferred::owing(&open.conn, None).await.unwrap(), None);
}

#[tokio::test]
async fn lists_are_index_scans_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(folder.path().join("shard.db"));
    let caught = Caught::default();
    let options = watched(&caught);
    let database = Database::new(Schema::Shard, "shard", &url, &options);
    database.open(options.patience).await.unwrap();
    let statements = statements(&database, &caught).await;
    assert!(statements.len() > 40, "{}", statements.len());
    let conn = database.readers().each();
    // No plan depends on the values.
    for (sql, _) in &statements {
        let explain = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = conn.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        for step in &plan {
            // What was asked for, or indexes that hold nothing else than what is wanted.
            let fine = [
                "SCAN wanted",
                "SCAN piece",
                "SCAN new",
                "SCAN ends",
                "_full",
                "CONSTANT ROW",
                "account_unindexed",
                "queue_due",
                "queue_urgent",
                "queue_ordinary",
            ];
            let is_fine = step == "SCAN a" || fine.iter().any(|fine| step.contains(fine));
            let scans = step.starts_with("SCAN") && !is_fine;
            assert!(!scans && !step.contains("TEMP B-TREE"), "{sql}\n{plan:#?}");
            let in_vain = sql.contains("tombstone.message_id") && step.contains("SEARCH tombstone");
            assert!(
                !in_vain || step.contains("tombstone_message (account_id=? AND message_id=?)"),
                "{plan:#?}"
            );
        }
        if let Some((_, index)) = WANTED.iter().find(|(part, _)| sql.contains(part)) {
            assert!(plan[0].contains(index), "{sql}\n{plan:#?}");
        }
    }
}

/// A page that is known costs less than one that is read, however many messages there are beside it: these plans look
/// alike, so it is measured, against each other.
#[tokio::test]
async fn a_page_that_is_known_is_not_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::sqlite(folder.path().join("shard.db"));
    let options = Options::default();
    let database = Database::new(Schema::Shard, "shard", &url, &options);
    database.open(options.patience).await.unwrap();
    let conn = database.writers().each();
    for sql in MANY_ON_SQLITE {
        conn.execute_unprepared(sql).await.unwrap();
    }
    let mut open = Open::reader(database.readers().begin().await.unwrap(), None);
    let account = AccountId(1);
    for filter in [Filter::default(), Filter { unread: Some(true), ..Filter::default() }] {
        let request = PageRequest { mailbox: Some(MailboxId(1)), filter, before: None, limit: 50 };
        // The fastest of many: whatever else the machine does only makes it slower.
        let mut times = [std::time::Duration::MAX; 2];
        for _ in 0..20 {
            let begun = std::time::Instant::now();
            let paged = open.page_if_new(account, &request, None).await.unwrap().unwrap();
            assert_eq!(paged.messages.unwrap().len(), 50);
            times[0] = times[0].min(begun.elapsed());
            let begun = std::time::Instant::now();
            let known = open.page_if_new(account, &request, Some(paged.edition)).await.unwrap().unwrap();
            assert_eq!(known.messages, None);
            times[1] = times[1].min(begun.elapsed());
        }
        assert!(times[1] < times[0], "{times:?}");
    }
}

/// A mailbox of 100,000 messages, all of them unread.
const MANY_ON_SQLITE: [&str; 3] = [
    "INSERT INTO mailbox (account_id, id, name, name_key, uid_validity, uid_next, modseq, total, unread, size_bytes, \
     deleted, subscribed) VALUES (1, 1, 'a', 'a', 1, 100001, 1, 100000, 100000, 1, FALSE, TRUE)",
    "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000) \
     INSERT INTO message SELECT 1, randomblob(16), 1, n, n, n, 0, '', randomblob(16), randomblob(16), n, n, 1, '', '', \
     '[]', '', '', FALSE, NULL, NULL FROM numbers",
    "ANALYZE",
];

/// The same on PostgreSQL, as it chooses with rows and statistics.
#[tokio::test]
async fn lists_are_index_scans_on_postgres() {
    let cluster = testkit::PostgresCluster::start_with(&["fsync=off"]).await.unwrap();
    cluster.create_database("shard").await.unwrap();
    let url: DatabaseUrl = cluster.url("shard").parse().unwrap();
    let caught = Caught::default();
    let options = watched(&caught);
    let database = Database::new(Schema::Shard, "shard", &url, &options);
    database.open(options.patience).await.unwrap();
    for sql in FILL {
        cluster.query("shard", sql).await.unwrap();
    }
    let statements = statements(&database, &caught).await;
    let conn = database.writers().begin().await.unwrap();
    // With so few rows it would rather read all matches and sort them; with many it does not.
    for setting in ["enable_seqscan", "enable_bitmapscan", "enable_sort"] {
        conn.execute_unprepared(&format!("SET LOCAL {setting} = off")).await.unwrap();
    }
    let mut plans = String::new();
    for (sql, values) in statements {
        let explain = Statement::from_sql_and_values(DbBackend::Postgres, format!("EXPLAIN {sql}"), values);
        let rows = conn.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "QUERY PLAN").unwrap()).collect();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
        // Locks are taken in the order of the accounts, whatever order they are found in.
        let sorts = plan.contains("Sort") && sql.contains("ORDER BY") && !sql.contains("MATERIALIZED");
        assert!(!sorts, "{sql}\n{plan}");
        plans.push_str(&plan);
    }
    for index in [
        "message_page",
        "message_unread",
        "message_flagged",
        "message_attachments",
        "message_all_unread",
        "message_all_flagged",
        "message_all_attachments",
        "message_thread",
        "queue_due",
        "queue_urgent",
        "queue_ordinary",
        "account_unindexed",
        "body_blob_blob",
        "upload_blob",
        "tombstone_message",
    ] {
        assert!(plans.contains(&format!("{index} on ")), "{index} is not used:\n{plans}");
    }
}

/// A shard of some accounts: 5 % of the mail unread, 1 % flagged, 10 % with attachments.
const FILL: [&str; 6] = [
    "INSERT INTO account SELECT n, 1000, CASE WHEN n % 50 = 0 THEN 0 ELSE 1000 END, 0, 1000, 1000, 7, 7 \
     FROM generate_series(1, 500) AS n",
    "INSERT INTO message SELECT 1 + n % 20, gen_random_uuid(), 1 + n % 5, n, n, n, \
     CASE WHEN n % 20 = 3 THEN 0 ELSE 1 END | CASE WHEN n % 100 = 7 THEN 4 ELSE 0 END, '', gen_random_uuid(), \
     gen_random_uuid(), n, n, 1, '', '', '[]', '', '', n % 10 = 1, NULL FROM generate_series(1, 40000) AS n",
    "INSERT INTO tombstone SELECT 1 + n % 20, 1, n, gen_random_uuid(), n, TRUE FROM generate_series(1, 5000) AS n",
    "INSERT INTO queue_entry SELECT 1 + n % 20, gen_random_uuid(), NULL, gen_random_uuid(), 1, NULL, 0, n, n, n, n, \
     n % 100 > 0, NULL, NULL FROM generate_series(1, 5000) AS n",
    "INSERT INTO body_blob SELECT 1 + n % 20, gen_random_uuid(), decode(md5(n::text), 'hex') \
     FROM generate_series(1, 5000) AS n",
    "ANALYZE",
];

fn watched(caught: &Caught) -> Options {
    let into = Arc::clone(caught);
    let watch =
        Watch::with_values(move |sql, values| into.lock().unwrap().push((sql.to_owned(), values.to_vec())));
    Options { watch, ..Options::default() }
}

/// What a statement of messages contains, and the index that it must use; the first that fits counts.
const WANTED: [(&str, &str); 6] = [
    ("\"thread_id\" = ?", "message_thread (account_id=? AND thread_id=?)"),
    ("\"mailbox_id\" = ? AND ((flags & 1) = 0) ORDER", "message_unread (account_id=? AND mailbox_id=?)"),
    ("\"mailbox_id\" = ? AND ((flags & 4) = 4) ORDER", "message_flagged (account_id=? AND mailbox_id=?)"),
    (
        "\"mailbox_id\" = ? AND (has_attachments = TRUE) ORDER",
        "message_attachments (account_id=? AND mailbox_id=?)",
    ),
    ("\"mailbox_id\" = ? ORDER", "message_page (account_id=? AND mailbox_id=?)"),
    ("\"mailbox_id\" = ?", "mailbox_id=?"),
];
