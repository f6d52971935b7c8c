//! Which accounts are operators'.

use sea_orm_migration::sea_orm::DbBackend;

pub(crate) fn text(_backend: DbBackend) -> Vec<&'static str> {
    vec![ADMIN]
}

/// The default serves programs of the version before this step, which do not name the column.
const ADMIN: &str = "
ALTER TABLE account ADD COLUMN admin BOOLEAN NOT NULL DEFAULT FALSE;
";
