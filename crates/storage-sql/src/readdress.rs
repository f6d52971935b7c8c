//! Changing how the database of an added shard is reached, and giving a shard up. Only the directory is opened, and the
//! database at the new URL: the old one may not let us in any more.

use storage::{Error, Moves as _, Result, moves::Removal};
use types::{Secret, ShardId};

use crate::{DatabaseUrl, Options, Schema, SqlDirectory, connect::Database, identity};

/// Has the nodes reach an added shard by this URL from now on; an error if that is not the shard's database.
pub async fn readdress_shard(
    directory: &DatabaseUrl,
    id: ShardId,
    url: &Secret,
    options: &Options,
) -> Result<()> {
    let parsed: DatabaseUrl = url.expose().parse().map_err(|error: String| Error::Backend(error.into()))?;
    let directory = SqlDirectory::open(directory, options).await?;
    if !directory.added_shards().await?.iter().any(|added| added.id == id) {
        return Err(unknown(id));
    }
    let service = directory.service_id().await?;
    // As it is: what turns out to be another database is left alone.
    let pool = Database::new(Schema::Shard, "the new URL", &parsed, options).readers();
    let known = identity::known(&pool, &service, &parsed).await;
    pool.close().await;
    match known {
        Ok(Some(known)) if known == id => {}
        Ok(Some(known)) => return Err(refused(format!("{parsed} is shard {known}, not shard {id}"))),
        Ok(None) => {
            return Err(refused(format!("{parsed} is not shard {id}, but a shard of no service yet")));
        }
        Err(Error::Backend(reason) | Error::Unavailable(reason)) => {
            return Err(refused(format!("{parsed} cannot be read as shard {id}: {reason}")));
        }
        Err(other) => return Err(other),
    }
    if directory.set_shard_url(id, url).await? { Ok(()) } else { Err(unknown(id)) }
}

/// Gives up a shard that was added and where no bucket lives; its database stays as it is.
pub async fn remove_shard(directory: &DatabaseUrl, id: ShardId, options: &Options) -> Result<()> {
    let directory = SqlDirectory::open(directory, options).await?;
    match directory.remove_shard(id).await? {
        Removal::Removed => Ok(()),
        Removal::Unknown => Err(unknown(id)),
        Removal::Home(buckets) => Err(refused(format!(
            "buckets {0} live on shard {id}: move them first, with `magpie shard move --buckets {0} --to ...`",
            types::Bucket::ranges(&buckets)
        ))),
        Removal::Moving(buckets) => Err(refused(format!(
            "buckets {} are on their way to or from shard {id}, or moved a moment ago and their old rows are not \
             removed yet: see `magpie shard list`, and try again when they are not in it",
            types::Bucket::ranges(&buckets)
        ))),
    }
}

fn unknown(id: ShardId) -> Error {
    refused(format!(
        "shard {id} is none that was added; those of the configuration are changed there, in shards.urls"
    ))
}

fn refused(text: String) -> Error {
    Error::Backend(text.into())
}
