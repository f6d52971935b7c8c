//! Which mailboxes a person's mail programs show.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_backend: DbBackend) -> Vec<&'static str> {
    vec![SUBSCRIBED]
}

/// The default serves programs of the version before this step, which do not name the column.
const SUBSCRIBED: &str = "
ALTER TABLE mailbox ADD COLUMN subscribed BOOLEAN NOT NULL DEFAULT TRUE;
";
