//! What mail programs note with a mailbox, or with the account (mailbox 0).

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_backend: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE metadata (
    account_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    name TEXT NOT NULL,
    value {bytes} NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, name)
);
";
