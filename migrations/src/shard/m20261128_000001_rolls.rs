//! Listings of large mailboxes, ready to be read in a few rows.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(backend: DbBackend) -> Vec<&'static str> {
    match backend {
        DbBackend::Postgres => vec![SCHEMA, POSTGRES_STORAGE],
        _ => vec![SCHEMA],
    }
}

/// What is in a mailbox as of `modseq`, in parts by UID. A part that did not change is not written again: it holds
/// `total` messages, of which the one that changed last did so at `newest`.
const SCHEMA: &str = "
CREATE TABLE roll (
    account_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    uid_validity BIGINT NOT NULL,
    uid_next BIGINT NOT NULL,
    modseq BIGINT NOT NULL,
    PRIMARY KEY (account_id, mailbox_id)
) {clustered};
CREATE TABLE roll_part (
    account_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    part BIGINT NOT NULL,
    total BIGINT NOT NULL,
    newest BIGINT NOT NULL,
    messages {bytes} NOT NULL,
    PRIMARY KEY (account_id, mailbox_id, part)
);
";

/// Most of it are random bits.
const POSTGRES_STORAGE: &str = "
ALTER TABLE roll_part ALTER COLUMN messages SET STORAGE EXTERNAL;
";
