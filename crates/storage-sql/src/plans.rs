//! Every query of a list is an index scan: SQLite's own plan says so.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};
use storage::{Filter, PageRequest, QueueFilter, Snapshot};
use types::{AccountId, BlobId, MailboxId, MessageId, ModSeq, QueueId, ThreadId, Timestamp};

use crate::{Options, Schema, connect::Database, open::Open};

/// Every statement that `Open` sends, caught by SeaORM's own hook.
async fn statements(database: &Database) -> Vec<Statement> {
    let caught = Arc::new(Mutex::new(Vec::new()));
    let mut readers = database.readers();
    let into = Arc::clone(&caught);
    readers.set_metric_callback(move |info| into.lock().unwrap().push(info.statement.clone()));
    let mut open = Open::new(readers.begin().await.unwrap());
    let account = AccountId(1);
    let id = MessageId::at(Timestamp::default(), [1; 10]);
    for mailbox in [None, Some(MailboxId(1))] {
        for before in [None, Some(id)] {
            for bits in 0..8_u8 {
                let wanted = |bit: u8| (bits & bit != 0).then_some(true);
                let filter = Filter { unread: wanted(1), flagged: wanted(2), attachments: wanted(4) };
                open.page(account, &PageRequest { mailbox, filter, before, limit: 50 }).await.unwrap();
            }
        }
    }
    open.mailboxes(account).await.unwrap();
    open.messages(account, &[id, id]).await.unwrap();
    open.contents(account, &[id]).await.unwrap();
    open.structure(account, id).await.unwrap();
    open.thread(account, ThreadId(id.0), 10).await.unwrap();
    open.changes(account, ModSeq(0), 10).await.unwrap();
    open.queue_entry(account, QueueId(id.0)).await.unwrap();
    for after in [None, Some((account, QueueId(id.0)))] {
        open.queue(&QueueFilter { account: Some(account), after, limit: 10 }).await.unwrap();
    }
    open.next_due().await.unwrap();
    crate::read::queue::due(&open.conn, Timestamp::default(), 10).await.unwrap();
    open.unindexed(None, 10).await.unwrap();
    open.blobs_in_use(&[BlobId([1; 32])]).await.unwrap();
    open.accounts(Some(account), 10).await.unwrap();
    open.load(vec![1, 2, 3]).await.unwrap();
    open.load_known(&[(account, id), (AccountId(2), id)]).await.unwrap();
    open.load_threads(&[(account, 1), (account, 2)]).await.unwrap();
    drop(open);
    caught.lock().unwrap().clone()
}

#[tokio::test]
async fn lists_are_index_scans() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("shard.db");
    let database = Database::open(&path, Schema::Shard, &Options::default()).await.unwrap();
    let conn = database.writer().await.unwrap();
    let statements = statements(&database).await;
    assert!(statements.len() > 40, "{}", statements.len());
    for statement in statements {
        let explain = Statement { sql: format!("EXPLAIN QUERY PLAN {}", statement.sql), ..statement.clone() };
        assert_eq!(explain.db_backend, DbBackend::Sqlite);
        let rows = conn.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        for step in &plan {
            // What was asked for, or indexes that hold nothing else than what is wanted.
            let fine = ["SCAN wanted", "CONSTANT ROW", "account_unindexed", "queue_due"];
            let scans = step.starts_with("SCAN") && !fine.iter().any(|fine| step.contains(fine));
            assert!(!scans && !step.contains("TEMP B-TREE"), "{}\n{plan:#?}", statement.sql);
        }
        if let Some((_, index)) = WANTED.iter().find(|(part, _)| statement.sql.contains(part)) {
            assert!(plan[0].contains(index), "{}\n{plan:#?}", statement.sql);
        }
    }
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
