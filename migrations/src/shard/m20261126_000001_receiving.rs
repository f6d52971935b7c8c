//! What senders ask for with queued mail: as JSON, for the mail and for each recipient. NULL: nothing.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
ALTER TABLE queue_entry ADD COLUMN terms TEXT;
ALTER TABLE queue_recipient ADD COLUMN terms TEXT;
";
