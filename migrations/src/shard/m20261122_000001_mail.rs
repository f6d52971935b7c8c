//! Mailboxes, messages, bodies, the change log's tombstones, threads, the queue and uploads.
//!
//! Every primary key begins with the account. The partial indexes are what filtered pages are read from: their
//! conditions must be written the same in the queries.

#![expect(elided_lifetimes_in_paths, reason = "the trait's signature leaves the lifetime out")]

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

use crate::sql;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        sql::run(manager, text).await
    }
}

pub(crate) fn text(backend: DbBackend) -> Vec<&'static str> {
    let mut text = vec![ACCOUNT, MESSAGE, BODY, QUEUE];
    if backend == DbBackend::Sqlite {
        text.push(SQLITE_STATISTICS);
    }
    text
}

const ACCOUNT: &str = "
CREATE TABLE account (
    account_id BIGINT NOT NULL PRIMARY KEY,
    modseq BIGINT NOT NULL,
    indexed_modseq BIGINT NOT NULL,
    forgotten_modseq BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    used_bytes BIGINT NOT NULL,
    next_mailbox_id BIGINT NOT NULL,
    last_uid_validity BIGINT NOT NULL
);
CREATE INDEX account_unindexed ON account (account_id) WHERE indexed_modseq < modseq;
CREATE TABLE mailbox (
    account_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    parent_id BIGINT,
    name TEXT NOT NULL,
    name_key TEXT NOT NULL,
    role INTEGER,
    uid_validity BIGINT NOT NULL,
    uid_next BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    total BIGINT NOT NULL,
    unread BIGINT NOT NULL,
    size_bytes BIGINT NOT NULL,
    deleted BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, id)
) {clustered};
";

const MESSAGE: &str = "
CREATE TABLE message (
    account_id BIGINT NOT NULL,
    id {id} NOT NULL,
    mailbox_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    created_modseq BIGINT NOT NULL,
    flags INTEGER NOT NULL,
    keywords TEXT NOT NULL,
    thread_id {id} NOT NULL,
    body_id {id} NOT NULL,
    received_at BIGINT NOT NULL,
    sent_at BIGINT,
    size_bytes BIGINT NOT NULL,
    from_name TEXT NOT NULL,
    from_email TEXT NOT NULL,
    to_json TEXT NOT NULL,
    subject TEXT NOT NULL,
    preview TEXT NOT NULL,
    has_attachments BOOLEAN NOT NULL,
    delivery TEXT,
    PRIMARY KEY (account_id, id)
) {clustered};
CREATE UNIQUE INDEX message_uid ON message (account_id, mailbox_id, uid);
CREATE INDEX message_page ON message (account_id, mailbox_id, id);
CREATE INDEX message_unread ON message (account_id, mailbox_id, id) WHERE (flags & 1) = 0;
CREATE INDEX message_flagged ON message (account_id, mailbox_id, id) WHERE (flags & 4) = 4;
CREATE INDEX message_attachments ON message (account_id, mailbox_id, id) WHERE has_attachments = TRUE;
CREATE INDEX message_all_unread ON message (account_id, id) WHERE (flags & 1) = 0;
CREATE INDEX message_all_flagged ON message (account_id, id) WHERE (flags & 4) = 4;
CREATE INDEX message_all_attachments ON message (account_id, id) WHERE has_attachments = TRUE;
CREATE INDEX message_modseq ON message (account_id, modseq);
CREATE INDEX message_thread ON message (account_id, thread_id, id);
CREATE TABLE tombstone (
    account_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    uid BIGINT NOT NULL,
    message_id {id} NOT NULL,
    modseq BIGINT NOT NULL,
    expunged BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, uid)
) {clustered};
CREATE INDEX tombstone_modseq ON tombstone (account_id, modseq);
CREATE INDEX tombstone_message ON tombstone (account_id, message_id);
CREATE TABLE thread_ref (
    account_id BIGINT NOT NULL,
    ref_hash BIGINT NOT NULL,
    thread_id {id} NOT NULL,
    PRIMARY KEY (account_id, ref_hash)
) {clustered};
";

const BODY: &str = "
CREATE TABLE body (
    account_id BIGINT NOT NULL,
    id {id} NOT NULL,
    size_bytes BIGINT NOT NULL,
    refs BIGINT NOT NULL,
    structure {bytes} NOT NULL,
    layout {bytes} NOT NULL,
    inline {bytes} NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE TABLE body_blob (
    account_id BIGINT NOT NULL,
    body_id {id} NOT NULL,
    blob_id {bytes} NOT NULL,
    PRIMARY KEY (account_id, body_id, blob_id)
) {clustered};
CREATE INDEX body_blob_blob ON body_blob (blob_id);
CREATE TABLE upload (
    account_id BIGINT NOT NULL,
    id {id} NOT NULL,
    filename TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    blob_id {bytes} NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
) {clustered};
CREATE INDEX upload_blob ON upload (blob_id);
CREATE INDEX upload_created ON upload (created_at);
";

const QUEUE: &str = "
CREATE TABLE queue_entry (
    account_id BIGINT NOT NULL,
    id {id} NOT NULL,
    message_id {id},
    body_id {id} NOT NULL,
    size_bytes BIGINT NOT NULL,
    return_path TEXT,
    origin INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    held BOOLEAN NOT NULL,
    leased_by TEXT,
    leased_until BIGINT,
    PRIMARY KEY (account_id, id)
) {clustered};
CREATE INDEX queue_due ON queue_entry (due_at) WHERE held = FALSE;
CREATE TABLE queue_recipient (
    account_id BIGINT NOT NULL,
    queue_id {id} NOT NULL,
    position INTEGER NOT NULL,
    address TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    reply TEXT,
    PRIMARY KEY (account_id, queue_id, position)
) {clustered};
";

/// SQLite's planner knows nothing of the columns unless told, and would read a folder's or a conversation's page from
/// the primary key, which is every message of the account. These are the figures of a large shard; `ANALYZE` is never
/// run, so they stay. The second `ANALYZE` makes this connection read them.
const SQLITE_STATISTICS: &str = "
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('message', 'message', '10000000 10000 1'),
    ('message', 'message_uid', '10000000 10000 1000 1'),
    ('message', 'message_page', '10000000 10000 1000 1'),
    ('message', 'message_unread', '1000000 1000 100 1'),
    ('message', 'message_flagged', '100000 100 10 1'),
    ('message', 'message_attachments', '2000000 2000 200 1'),
    ('message', 'message_all_unread', '1000000 1000 1'),
    ('message', 'message_all_flagged', '100000 100 1'),
    ('message', 'message_all_attachments', '2000000 2000 1'),
    ('message', 'message_modseq', '10000000 10000 2'),
    ('message', 'message_thread', '10000000 10000 3 1');
ANALYZE sqlite_schema;
";
