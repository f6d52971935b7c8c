//! Whose mailboxes somebody should look for. A hint: what is shared is told by the owner's shard.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE share (
    grantee_id BIGINT NOT NULL,
    owner_id BIGINT NOT NULL,
    PRIMARY KEY (grantee_id, owner_id)
) {clustered};
CREATE INDEX share_owner ON share (owner_id);
";
