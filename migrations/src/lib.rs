//! The database schema, step by step; a landed step is never edited.
//!
//! **Invariant:** knows no crate of ours. Steps only add (expand) until no running version reads what a later step
//! takes away (contract). Each step is one text for all back ends: see `sql`.

mod directory;
mod shard;
mod sql;

pub use sea_orm_migration::MigratorTrait;

/// The schema of the directory.
#[derive(Debug)]
pub struct DirectoryMigrator;

/// The schema of every shard.
#[derive(Debug)]
pub struct ShardMigrator;

impl MigratorTrait for DirectoryMigrator {
    fn migrations() -> Vec<Box<dyn sea_orm_migration::MigrationTrait>> {
        vec![
            Box::new(directory::m20261122_000001_accounts::Migration),
            Box::new(directory::m20261122_000002_moving::Migration),
        ]
    }
}

impl MigratorTrait for ShardMigrator {
    fn migrations() -> Vec<Box<dyn sea_orm_migration::MigrationTrait>> {
        vec![
            Box::new(shard::m20261122_000001_mail::Migration),
            Box::new(shard::m20261122_000002_moving::Migration),
        ]
    }
}
