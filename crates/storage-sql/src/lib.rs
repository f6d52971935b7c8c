//! The storage ports over SQL databases through SeaORM; its entities stay private.
//!
//! **Invariant:** what is specific to a back end is in `connect` and `error`; everything else is portable SQL.
//!
//! - [`SqlDirectory`]: domains, accounts, addresses, sessions, the bucket map.
//! - [`SqlShards`]: the mail. Each shard has one writer task that gathers the units which wait for it and commits them
//!   together (`writer`), and a few connections that read consistent snapshots beside it.

mod connect;
mod directory;
mod entity;
mod error;
mod open;
#[cfg(test)]
mod plans;
mod read;
mod rows;
mod shards;
mod statement;
mod write;
mod writer;

use std::{path::Path, sync::Arc};

use storage::{Directory, Result, Shards};
use types::ShardId;

pub use connect::Options;
pub use directory::SqlDirectory;
pub use shards::SqlShards;

/// The databases of a service.
#[derive(Clone)]
pub struct Databases {
    pub directory: Arc<dyn Directory>,
    pub shards: Arc<dyn Shards>,
}

/// Opens the SQLite files of a service, making them where they are missing and bringing them up to this version.
/// The first shard is number 0.
pub async fn open(directory: &Path, shards: &[impl AsRef<Path>]) -> Result<Databases> {
    let directory = Arc::new(SqlDirectory::open(directory, &Options::default()).await?);
    let numbered: Vec<_> =
        (0..).map(ShardId).zip(shards.iter().map(|path| path.as_ref().to_owned())).collect();
    let ids: Vec<_> = numbered.iter().map(|(id, _)| *id).collect();
    let map = directory.bucket_map(&ids).await?;
    let shards = Arc::new(SqlShards::open(&numbered, map, &Options::default()).await?);
    Ok(Databases { directory, shards })
}

/// Steps of the schema that the database at `path` still lacks; nothing is changed.
/// A missing file lacks all of them.
pub async fn pending_migrations(path: &Path, schema: Schema) -> Result<Vec<String>> {
    connect::pending_migrations(path, schema).await
}

/// Which schema a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    Directory,
    Shard,
}
