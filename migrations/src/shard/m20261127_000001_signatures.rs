//! What the texts of each mail certainly lack, and when a message came into its mailbox.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(backend: DbBackend) -> Vec<&'static str> {
    match backend {
        DbBackend::Postgres => vec![SCHEMA, POSTGRES_STORAGE],
        _ => vec![SCHEMA],
    }
}

/// A table of its own: in the body's row, the bits would lie behind the body. NULL: not known.
const SCHEMA: &str = "
CREATE TABLE signature (
    account_id BIGINT NOT NULL,
    body_id {id} NOT NULL,
    bits {bytes} NOT NULL,
    PRIMARY KEY (account_id, body_id)
);
ALTER TABLE message ADD COLUMN saved_at BIGINT;
";

/// Bits are as good as random, and are to stay in the row.
const POSTGRES_STORAGE: &str = "
ALTER TABLE signature ALTER COLUMN bits SET STORAGE EXTERNAL;
ALTER TABLE signature SET (toast_tuple_target = 8160);
";
