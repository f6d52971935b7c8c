//! How PostgreSQL keeps rows that change often. SQLite has nothing to change.

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
        DbBackend::Postgres => vec![POSTGRES_STORAGE],
        _ => Vec::new(),
    }
}

/// Counters are rewritten by every delivery: room on the page keeps the new version beside the old one, and dead ones
/// are cleared before they are many. Bodies are compressed already.
const POSTGRES_STORAGE: &str = "
ALTER TABLE account SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE mailbox SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE queue_entry SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE body ALTER COLUMN inline SET STORAGE EXTERNAL;
";
