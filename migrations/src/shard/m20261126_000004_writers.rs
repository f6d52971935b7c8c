//! Which batch each writer committed last, so that a writer whose commit got no answer can tell. SQLite has no need of it.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(backend: DbBackend) -> Vec<&'static str> {
    match backend {
        DbBackend::Postgres => vec![WRITERS],
        _ => Vec::new(),
    }
}

/// `at` is in seconds since 1970, by the server's clock. Every commit rewrites a row: room on the page keeps the new
/// version beside the old one.
const WRITERS: &str = "
CREATE TABLE writer (
    id {id} NOT NULL PRIMARY KEY,
    batch BIGINT NOT NULL,
    at BIGINT NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
";
