//! Who uses a body besides those that its own row tells of; and what SQLite has to know of tombstones.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(backend: DbBackend) -> Vec<&'static str> {
    match backend {
        DbBackend::Sqlite => vec![SCHEMA, SQLITE_STATISTICS],
        _ => vec![SCHEMA],
    }
}

/// A table of its own: a count in the body's row cannot change without the whole body being written again.
const SCHEMA: &str = "
CREATE TABLE body_share (
    account_id BIGINT NOT NULL,
    body_id {id} NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (account_id, body_id)
);
";

/// Or it would look for a message among all that the account has lost, for each mail that arrives.
const SQLITE_STATISTICS: &str = "
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('tombstone', 'tombstone', '10000000 10000 1000 1'),
    ('tombstone', 'tombstone_modseq', '10000000 10000 2'),
    ('tombstone', 'tombstone_message', '10000000 10000 1');
ANALYZE sqlite_schema;
";
