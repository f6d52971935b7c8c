//! Which mailboxes a person's mail programs show.

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

pub(crate) fn text(_backend: DbBackend) -> Vec<&'static str> {
    vec![SUBSCRIBED]
}

/// The default serves programs of the version before this step, which do not name the column.
const SUBSCRIBED: &str = "
ALTER TABLE mailbox ADD COLUMN subscribed BOOLEAN NOT NULL DEFAULT TRUE;
";
