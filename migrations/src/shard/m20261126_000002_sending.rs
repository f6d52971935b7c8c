//! What the queue keeps for sending: which mail goes before others, where an operator sends it, and whether the sender
//! was told that it takes long.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_: DbBackend) -> Vec<&'static str> {
    vec![SCHEMA]
}

const SCHEMA: &str = "
ALTER TABLE queue_entry ADD COLUMN urgent BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE queue_entry ADD COLUMN via TEXT;
ALTER TABLE queue_recipient ADD COLUMN warned BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX queue_urgent ON queue_entry (due_at) WHERE held = FALSE AND urgent = TRUE;
";
