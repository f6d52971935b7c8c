//! Who may do what with a mailbox of the account. The rights are bits of `types::Rights`; `grantee_since` is when the
//! grantee's account was made, which tells it from another with the same number.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_backend: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
CREATE TABLE mailbox_grant (
    account_id BIGINT NOT NULL,
    grantee_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    grantee_since BIGINT NOT NULL,
    rights INTEGER NOT NULL,
    subscribed BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, grantee_id, mailbox_id)
) {clustered};
";
