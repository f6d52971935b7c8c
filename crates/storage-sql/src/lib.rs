//! The storage ports over SQL databases through SeaORM: SQLite files, or databases of PostgreSQL servers. Its entities
//! stay private.
//!
//! **Invariant:** what is specific to a back end is in `connect`, `error`, `schema`, `statement` and `open::load`;
//! everything else is portable SQL.
//!
//! - [`SqlDirectory`]: domains, accounts, addresses, sessions, the bucket map, running nodes.
//! - [`SqlShards`]: the mail. Each shard has writer tasks that gather the units which wait for them and commit those
//!   together (`writer`), and connections that read consistent snapshots beside them.

mod connect;
mod deferred;
mod directory;
mod entity;
mod error;
mod fence;
mod identity;
mod mark;
mod open;
#[cfg(test)]
mod plans;
mod read;
mod readdress;
mod replica;
mod rolls;
mod rows;
mod schema;
mod shards;
mod stamp;
mod statement;
mod url;
mod write;
mod writer;

use std::sync::Arc;

use storage::{Directory, Result, Shards};
use types::ShardId;

pub use connect::{Options, Watch};
pub use directory::SqlDirectory;
pub use readdress::{readdress_shard, remove_shard};
pub use schema::{Pending, Schema, added_shards, pending_migrations};
pub use shards::SqlShards;
pub use url::{DatabaseUrl, PostgresUrl};

/// The databases of a service.
#[derive(Clone)]
pub struct Databases {
    pub directory: Arc<dyn Directory>,
    pub shards: Arc<dyn Shards>,
}

/// Opens the databases of a service, making SQLite files where they are missing and bringing all up to this version.
pub async fn open(
    directory: &DatabaseUrl,
    shards: &[(ShardId, DatabaseUrl)],
    options: &Options,
) -> Result<Databases> {
    let directory = Arc::new(SqlDirectory::open(directory, options).await?);
    let shards = SqlShards::follow(Arc::clone(&directory), shards, options).await?;
    Ok(Databases { directory, shards })
}
