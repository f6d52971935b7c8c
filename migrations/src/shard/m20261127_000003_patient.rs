//! Which queued mail goes after all other that is due.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_backend: DbBackend) -> Vec<&'static str> {
    vec![PATIENT]
}

/// The default serves programs of the version before this step, which do not name the column. The index has what is not
/// patient, however much is.
const PATIENT: &str = "
ALTER TABLE queue_entry ADD COLUMN patient BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX queue_ordinary ON queue_entry (due_at) WHERE held = FALSE AND patient = FALSE;
";
