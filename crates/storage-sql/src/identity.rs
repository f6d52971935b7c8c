//! Which shard of which service a database is: written when it is first opened as one, and held against ever after, so
//! that a shard that is listed twice, or in another order, or belongs to another service, is never written to.

use sea_orm::EntityTrait;
use storage::{Error, Result};
use types::ShardId;

use crate::{
    DatabaseUrl,
    connect::Pool,
    entity::shard::identity,
    error::failed,
    statement::{Conflict, insert},
};

const ONE: i32 = 1;

/// The number under which it is a shard of this service; `None` if it is none of any.
pub(crate) async fn known(pool: &Pool, service: &str, url: &DatabaseUrl) -> Result<Option<ShardId>> {
    let row = pool.each().one(&identity::Entity::find_by_id(ONE)).await.map_err(failed)?;
    let Some(row) = row else { return Ok(None) };
    if row.service != service {
        return Err(refused(format!("{url} belongs to another service: name another database")));
    }
    let number = u16::try_from(row.shard_id).map_err(|_| Error::Corrupt(format!("the identity of {url}")))?;
    Ok(Some(ShardId(number)))
}

/// Sees to it that it is this shard of this service, and no other.
pub(crate) async fn assure(pool: &Pool, service: &str, id: ShardId, url: &DatabaseUrl) -> Result<()> {
    let row = identity::Model { one: ONE, service: service.to_owned(), shard_id: i32::from(id.0) };
    if known(pool, service, url).await?.is_none() {
        insert::<identity::Entity>(&pool.each(), vec![row], Conflict::Stays).await?;
    }
    match known(pool, service, url).await? {
        Some(known) if known != id => Err(refused(format!(
            "{url} is shard {known} of this service, but is listed as shard {id}: list each database once, in the order \
             in which they were added"
        ))),
        _ => Ok(()),
    }
}

fn refused(text: String) -> Error {
    Error::Backend(text.into())
}
