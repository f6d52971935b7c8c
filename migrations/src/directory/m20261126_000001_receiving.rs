//! What the door needs to know.
//!
//! - `account.scram`: keys of the password for SCRAM-SHA-256; NULL until the password is set or used.
//! - `group_target`: where mail for a group goes; the group's own address is in `address`, as its owner's.
//! - `secret`: made once, the same for all nodes.
//! - `message_limit`: by an account's address or a domain's name.
//! - `ban`: networks that are kept out for a while.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
ALTER TABLE account ADD COLUMN scram TEXT;
CREATE TABLE group_target (
    address_key TEXT NOT NULL,
    position INTEGER NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (address_key, position)
) {clustered};
CREATE TABLE secret (
    name TEXT NOT NULL PRIMARY KEY,
    value {bytes} NOT NULL
) {clustered};
CREATE TABLE message_limit (
    subject TEXT NOT NULL PRIMARY KEY,
    max_bytes BIGINT NOT NULL
) {clustered};
CREATE TABLE ban (
    network TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) {clustered};
";
