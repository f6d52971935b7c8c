//! Shards that are added at run time, and buckets on their way from one to another.
//!
//! - `service`: one row; the service's id, and a number that grows with every change of the bucket map.
//! - `shard`: shards that were added by command; those of the configuration are numbered by their place there.
//! - `bucket_move`: a move that has begun and is not over. `mover` is who works on it, as long as `beat_at` is recent.

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
CREATE TABLE service (
    one INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    map_version BIGINT NOT NULL
);
CREATE TABLE shard (
    id INTEGER NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    added_at BIGINT NOT NULL
);
CREATE TABLE bucket_move (
    bucket INTEGER NOT NULL PRIMARY KEY,
    source_id INTEGER NOT NULL,
    target_id INTEGER NOT NULL,
    phase INTEGER NOT NULL,
    mover TEXT NOT NULL,
    beat_at BIGINT NOT NULL,
    started_at BIGINT NOT NULL
);
";
