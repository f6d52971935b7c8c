//! Which batch each writer committed last, so that a writer whose commit got no answer can tell. SQLite has no need of it.

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
