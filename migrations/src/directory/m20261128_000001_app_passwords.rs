//! Passwords of mail programs, and notes of single ways in that have ended.
//!
//! - `app_password`: `digest` is the SHA-256 of the password; `scram` are its keys. It is good while the account has this
//!   `password_hash`, also where an earlier version sets a new one.
//! - `account_admin`: finds the administrators.
//! - `session_end.whole`: whether all sessions of the account ended.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE app_password (
    id {serial},
    account_id BIGINT NOT NULL,
    password_hash TEXT NOT NULL,
    name TEXT NOT NULL,
    digest {bytes} NOT NULL,
    scram TEXT,
    created_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX app_password_account ON app_password (account_id, id);
CREATE INDEX account_admin ON account (admin, id);
ALTER TABLE session_end ADD COLUMN whole BOOLEAN NOT NULL DEFAULT TRUE;
";
