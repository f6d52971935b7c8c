//! Making a database a shard while nodes run.
//!
//! The number is won in the directory first, where one of several that want it gets it, and written into the database
//! then: a number that is in a database and not in the directory could be given to another one. Nodes may open the new
//! shard in between, and write the same number. Two that add the same database at once win two numbers; the first to
//! write its own keeps it, and the other is given up.

use std::sync::Arc;

use storage::{
    Error, Moves as _, Result, Shards as _,
    moves::{AddedShard, Removal},
};
use types::{Secret, ShardId, Timestamp};

use super::{SqlShards, one::Shard};
use crate::{
    DatabaseUrl, Schema, SqlDirectory,
    connect::{Database, Pool},
    error::why,
    identity,
};

/// Others that want a number at the same time, at the most.
const TRIES: usize = 64;

pub(super) async fn add(shards: &SqlShards, url: &Secret, now: Timestamp) -> Result<ShardId> {
    let directory =
        shards.directory.as_ref().ok_or_else(|| refused("the shards are not those of a service"))?;
    shards.refresh().await?;
    let parsed: DatabaseUrl = url.expose().parse().map_err(|error: String| Error::Backend(error.into()))?;
    check_kind(shards, &parsed)?;
    check_folder(&parsed)?;
    let service = directory.service_id().await?;
    let database = Database::new(Schema::Shard, "to be added", &parsed, &shards.opener.options);
    database.open(shards.opener.options.patience).await?;
    let adding = Adding { shards, directory, service, parsed, url, pool: database.writers() };
    let added = adding.run(now).await;
    adding.pool.close().await;
    let id = added?;
    shards.refresh().await?;
    Ok(id)
}

/// A file is on one machine: another node would make one of its own, and take mail into it.
fn check_kind(shards: &SqlShards, added: &DatabaseUrl) -> Result<()> {
    let is_file = |url: &DatabaseUrl| matches!(url, DatabaseUrl::Sqlite(_));
    let same_kind = |shard: &Arc<Shard>| shard.url().is_none_or(|url| is_file(url) == is_file(added));
    if shards.view().shards.values().all(same_kind) {
        return Ok(());
    }
    Err(refused(format!(
        "{added} is not a database of the kind of the other shards, and cannot be one of them"
    )))
}

/// A folder that is missing is misspelt, or a disk that is not mounted.
fn check_folder(added: &DatabaseUrl) -> Result<()> {
    let DatabaseUrl::Sqlite(path) = added else { return Ok(()) };
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(refused(format!("{added}: there is no folder {}", folder.display())))
        }
        _ => Ok(()),
    }
}

struct Adding<'a> {
    shards: &'a SqlShards,
    directory: &'a SqlDirectory,
    service: String,
    parsed: DatabaseUrl,
    url: &'a Secret,
    pool: Pool,
}

impl Adding<'_> {
    async fn run(&self, now: Timestamp) -> Result<ShardId> {
        let id = match self.known().await? {
            // It was this shard and was given up, or an attempt to add it was broken off.
            Some(id) => {
                self.check_free(id).await?;
                self.directory.add_shard(id, self.url, now).await?;
                id
            }
            None => self.win(now).await?,
        };
        match identity::assure(&self.pool, &self.service, id, &self.parsed).await {
            Ok(()) => Ok(id),
            Err(error) => Err(self.give_up(id, error).await),
        }
    }

    async fn known(&self) -> Result<Option<ShardId>> {
        identity::known(&self.pool, &self.service, &self.parsed).await
    }

    /// An error if a shard of this number is there: this database, or another one.
    async fn check_free(&self, id: ShardId) -> Result<()> {
        let is_same = |url: &Secret| url.expose().parse::<DatabaseUrl>().is_ok_and(|url| url == self.parsed);
        let added = self.directory.added_shards().await?;
        match added.iter().find(|added| added.id == id) {
            Some(AddedShard { url, .. }) if !is_same(url) => Err(refused(format!(
                "{} says that it is shard {id} of this service, which is reached at another URL: if it is the same \
                 database, nothing is to be done (or see `magpie shard set-url`); if not, name another one",
                self.parsed
            ))),
            Some(_) => Err(Error::Exists("the shard")),
            None if self.shards.configured.contains_key(&id) => Err(Error::Exists("the shard")),
            None => Ok(()),
        }
    }

    /// Takes the next number that nobody has or had.
    async fn win(&self, now: Timestamp) -> Result<ShardId> {
        for _ in 0..TRIES {
            let listed = self.shards.configured.keys().last().copied();
            let last = listed.max(self.directory.last_shard().await?);
            let next = last.map_or(Some(0), |last| last.0.checked_add(1)).map(ShardId);
            let next = next.ok_or_else(|| refused("there are as many shards as there can be"))?;
            match self.directory.add_shard(next, self.url, now).await {
                // Another one was faster.
                Err(Error::Exists(_)) => {}
                added => return added.map(|()| next),
            }
        }
        Err(Error::Unavailable("others add shards all the time".into()))
    }

    /// Takes the number back, since the database is another shard by now, or cannot be written to.
    async fn give_up(&self, id: ShardId, error: Error) -> Error {
        let is_other = matches!(self.known().await, Ok(Some(known)) if known != id);
        match self.directory.remove_shard(id).await {
            Ok(Removal::Removed | Removal::Unknown) if is_other => Error::Exists("the shard"),
            Ok(Removal::Removed | Removal::Unknown) => error,
            Ok(Removal::Home(_) | Removal::Moving(_)) => {
                refused(format!("{}; buckets are on their way to shard {id} already", why(&error)))
            }
            Err(undone) => refused(format!(
                "{}; and the directory still has it as shard {id} ({}): `magpie shard remove {id}` takes it out",
                why(&error),
                why(&undone)
            )),
        }
    }
}

fn refused(text: impl Into<String>) -> Error {
    Error::Backend(text.into().into())
}
