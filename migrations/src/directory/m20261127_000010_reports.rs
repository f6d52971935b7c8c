//! What is counted for the reports that other domains want, and whose turn it is to send them.
//!
//! - `report_count`: so many of the same, by what is reported, the day in UTC (since 1970) and the domain it is about.
//!   `digest` is that of `detail`, which is too long for a key.
//! - `turn`: work of which one node does each.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE report_count (
    kind INTEGER NOT NULL,
    day INTEGER NOT NULL,
    domain TEXT NOT NULL,
    digest {bytes} NOT NULL,
    detail TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (kind, day, domain, digest)
) {clustered};
CREATE TABLE turn (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    expires_at BIGINT NOT NULL
) {clustered};
";
