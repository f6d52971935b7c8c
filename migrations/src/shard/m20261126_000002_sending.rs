//! What the queue keeps for sending: which mail goes before others, where an operator sends it, and whether the sender
//! was told that it takes long.

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

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
ALTER TABLE queue_entry ADD COLUMN urgent BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE queue_entry ADD COLUMN via TEXT;
ALTER TABLE queue_recipient ADD COLUMN warned BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX queue_urgent ON queue_entry (due_at) WHERE held = FALSE AND urgent = TRUE;
";
