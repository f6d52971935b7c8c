//! The keys that mail of each domain is signed with. `phase`: 0 waits for its record, 1 signs, 2 is retired.

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
CREATE TABLE dkim_key (
    domain_id BIGINT NOT NULL,
    selector TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    private_key TEXT NOT NULL,
    public_key {bytes} NOT NULL,
    phase INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (domain_id, selector)
) {clustered};
";
