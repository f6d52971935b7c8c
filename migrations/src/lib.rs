//! The database schema, step by step; what a landed step does is never edited.
//!
//! **Invariant:** knows no crate of ours. Steps only add (expand) until no running version reads what a later step
//! takes away (contract). Each step is one text for all back ends: see `sql`.

mod directory;
mod plain;
mod shard;
mod sql;

use sea_orm_migration::{MigrationTrait, sea_orm::DbBackend};

pub use sea_orm_migration::MigratorTrait;

/// The schema of the directory.
#[derive(Debug)]
pub struct DirectoryMigrator;

/// The schema of every shard.
#[derive(Debug)]
pub struct ShardMigrator;

/// A step that can be read before it is run.
pub struct Step {
    migration: Box<dyn MigrationTrait>,
    text: sql::Text,
}

impl Step {
    /// A step that is nothing but its text. The name is the file's.
    fn new(name: &'static str, text: sql::Text) -> Self {
        Self { migration: Box::new(plain::Migration { name, text }), text }
    }

    /// What the database notes it as.
    #[must_use]
    pub fn name(&self) -> String {
        self.migration.name().to_owned()
    }

    /// Its statements on this back end.
    #[must_use]
    pub fn sql(&self, backend: DbBackend) -> Vec<String> {
        sql::statements(self.text, backend)
    }
}

/// The steps of the directory, in order.
#[must_use]
pub fn directory() -> Vec<Step> {
    use directory::{
        m20261122_000001_accounts as accounts, m20261122_000002_moving as moving,
        m20261122_000003_nodes as nodes, m20261126_000001_receiving as receiving,
        m20261126_000002_dkim as dkim, m20261127_000002_endings as endings, m20261127_000003_admin as admin,
        m20261127_000010_reports as reports, m20261127_000011_limits as limits,
        m20261127_000020_shares as shares, m20261128_000001_app_passwords as app_passwords,
    };
    vec![
        Step { migration: Box::new(accounts::Migration), text: accounts::text },
        Step { migration: Box::new(moving::Migration), text: moving::text },
        Step { migration: Box::new(nodes::Migration), text: nodes::text },
        Step::new("m20261126_000001_receiving", receiving::text),
        Step::new("m20261126_000002_dkim", dkim::text),
        Step::new("m20261127_000002_endings", endings::text),
        Step::new("m20261127_000003_admin", admin::text),
        Step::new("m20261127_000010_reports", reports::text),
        Step::new("m20261127_000011_limits", limits::text),
        Step::new("m20261127_000020_shares", shares::text),
        Step::new("m20261128_000001_app_passwords", app_passwords::text),
    ]
}

/// The steps of a shard, in order.
#[must_use]
pub fn shard() -> Vec<Step> {
    use shard::{
        m20261122_000001_mail as mail, m20261122_000002_moving as moving,
        m20261122_000003_storage as storage, m20261126_000001_receiving as receiving,
        m20261126_000002_sending as sending, m20261126_000004_writers as writers,
        m20261126_000005_imap as imap, m20261127_000001_signatures as signatures,
        m20261127_000002_metadata as metadata, m20261127_000003_patient as patient,
        m20261127_000020_grants as grants, m20261127_000050_body_share as body_share,
        m20261128_000001_rolls as rolls, m20261128_000010_deferred as deferred,
    };
    vec![
        Step { migration: Box::new(mail::Migration), text: mail::text },
        Step { migration: Box::new(moving::Migration), text: moving::text },
        Step { migration: Box::new(storage::Migration), text: storage::text },
        Step::new("m20261126_000001_receiving", receiving::text),
        Step::new("m20261126_000002_sending", sending::text),
        Step::new("m20261126_000004_writers", writers::text),
        Step::new("m20261126_000005_imap", imap::text),
        Step::new("m20261127_000001_signatures", signatures::text),
        Step::new("m20261127_000002_metadata", metadata::text),
        Step::new("m20261127_000003_patient", patient::text),
        Step::new("m20261127_000020_grants", grants::text),
        Step::new("m20261127_000050_body_share", body_share::text),
        Step::new("m20261128_000001_rolls", rolls::text),
        Step::new("m20261128_000010_deferred", deferred::text),
    ]
}

impl MigratorTrait for DirectoryMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        directory().into_iter().map(|step| step.migration).collect()
    }
}

impl MigratorTrait for ShardMigrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        shard().into_iter().map(|step| step.migration).collect()
    }
}
