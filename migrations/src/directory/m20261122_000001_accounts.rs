//! Domains, accounts with their addresses and sessions, and the bucket map.

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
CREATE TABLE domain (
    id {serial},
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
CREATE TABLE account (
    id {serial},
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    quota_bytes BIGINT,
    created_at BIGINT NOT NULL
);
CREATE TABLE address (
    address_key TEXT NOT NULL PRIMARY KEY,
    address TEXT NOT NULL,
    account_id BIGINT NOT NULL,
    main BOOLEAN NOT NULL
) {clustered};
CREATE INDEX address_account ON address (account_id);
CREATE TABLE session (
    token_hash {bytes} NOT NULL PRIMARY KEY,
    account_id BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    client TEXT NOT NULL
) {clustered};
CREATE INDEX session_account ON session (account_id);
CREATE INDEX session_expires ON session (expires_at);
CREATE TABLE bucket_run (
    first_bucket INTEGER NOT NULL PRIMARY KEY,
    shard_id INTEGER NOT NULL
);
";
