//! Whose sessions were all ended, numbered in the order of the commits: nodes that know of sessions read what is new.
//! The newest is always there; old ones are removed.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE session_end (
    number BIGINT NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL
);
";
