//! What moving accounts between shards needs: whose database this is, which buckets it does not answer for, and which
//! accounts belong to a bucket.
//!
//! - `identity`: one row; the service and the number that this database is a shard of.
//! - `fence`: buckets that nobody may write to here, being copied in or moved away. `closed` ones stay.
//! - `account.fenced`: the same on the row that every write of the account locks anyway.
//! - `placement`: the bucket of every account that was set up here.
//! - `thread_ref.modseq`: the change that brought the reference. It has no index: copies read references in the order
//!   of their key, and every delivery would pay for one.

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
CREATE TABLE identity (
    one INTEGER NOT NULL PRIMARY KEY,
    service TEXT NOT NULL,
    shard_id INTEGER NOT NULL
);
CREATE TABLE fence (
    bucket INTEGER NOT NULL PRIMARY KEY,
    closed BOOLEAN NOT NULL,
    mover TEXT NOT NULL
);
CREATE TABLE placement (
    account_id BIGINT NOT NULL PRIMARY KEY,
    bucket INTEGER NOT NULL
) {clustered};
CREATE INDEX placement_bucket ON placement (bucket, account_id);
ALTER TABLE account ADD COLUMN fenced BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE thread_ref ADD COLUMN modseq BIGINT NOT NULL DEFAULT 0;
";
