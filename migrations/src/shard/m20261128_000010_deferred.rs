//! Changes of many messages that wait to be written to their rows.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

/// What one change did to `messages` messages of a mailbox. SQLite only has rows here.
const SCHEMA: &str = "
CREATE TABLE deferred (
    account_id BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    change TEXT NOT NULL,
    PRIMARY KEY (account_id, modseq, mailbox_id)
) {clustered};
";
