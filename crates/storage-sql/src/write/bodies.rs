//! Bodies and their users: a body is there as long as a message or a queue entry uses it.
//!
//! Its own row tells of those that it was written for. On SQLite whoever comes or goes later is counted in a small row
//! beside it, since a row with a mail in it is dear to write. PostgreSQL keeps the mail beside the row, so the row itself
//! counts there, as nodes of an earlier version do that share the database.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait as _, DbBackend, EntityTrait, QueryFilter, QuerySelect, Statement,
    prelude::Uuid,
};
use storage::{Error, Result};

use crate::{
    connect::Conn,
    entity::shard::{body, body_blob, body_share, signature},
    error::failed,
    open::Open,
    statement::{Conflict, among, array, insert, lists},
};

/// Adds a body to what waits, or one more user of it.
pub(super) fn add_body(open: &mut Open, body: body::Model) {
    open.waiting.body_bytes += body.inline.len() + body.structure.len();
    let waiting = &mut open.waiting.bodies;
    waiting.entry((body.account_id, body.id)).and_modify(|there| there.refs += 1).or_insert(body);
}

pub(super) fn add_blobs(open: &mut Open, account: i64, body: &storage::Packed) {
    let blobs = body.blobs.iter().map(|blob| body_blob::Model {
        account_id: account,
        body_id: body.id.0,
        blob_id: blob.0.to_vec(),
    });
    open.waiting.blobs.extend(blobs);
}

/// One more user of a body, which waits or was written; its size.
pub(super) async fn share_body(open: &mut Open, account: i64, id: Uuid) -> Result<i64> {
    if let Some(body) = open.waiting.bodies.get_mut(&(account, id)) {
        body.refs += 1;
        return Ok(body.size_bytes);
    }
    let size = body::Entity::find_by_id((account, id))
        .select_only()
        .column(body::Column::SizeBytes)
        .into_tuple::<i64>()
        .one(&open.conn)
        .await
        .map_err(failed)?;
    let size =
        size.ok_or_else(|| Error::Backend(format!("account {account} has no body {id} to share").into()))?;
    add_users(open, account, [(id, 1)]).await?;
    Ok(size)
}

/// So many more users, or fewer, of bodies that were written.
pub(crate) async fn add_users(
    open: &Open,
    account: i64,
    users: impl IntoIterator<Item = (Uuid, i64)>,
) -> Result<()> {
    if open.conn.is_postgres() {
        let (ids, more): (Vec<_>, Vec<_>) = users.into_iter().unzip();
        if ids.is_empty() {
            return Ok(());
        }
        let values = [account.into(), array(ids, Uuid::nil()), array(more, 0)];
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, ADD_USERS, values);
        return open.conn.execute_raw(statement).await.map(|_| ()).map_err(failed);
    }
    let rows =
        users.into_iter().map(|(body_id, users)| body_share::Model { account_id: account, body_id, users });
    insert::<body_share::Entity>(&open.conn, rows.collect(), Conflict::Adds(body_share::Column::Users)).await
}

const ADD_USERS: &str = "UPDATE body SET refs = refs + used.users FROM unnest($2, $3) AS used (id, users) \
    WHERE body.account_id = $1 AND body.id = used.id";

/// How many use each of those of these bodies that are there.
pub(crate) async fn users(conn: &Conn, account: i64, ids: &[Uuid]) -> Result<BTreeMap<Uuid, i64>> {
    let mut users = BTreeMap::new();
    for list in lists(conn, ids) {
        let own = body::Entity::find()
            .select_only()
            .columns([body::Column::Id, body::Column::Refs])
            .filter(body::Column::AccountId.eq(account))
            .filter(among(conn, body::Column::Id, list.clone()))
            .into_tuple::<(Uuid, i64)>();
        users.extend(own.all(conn).await.map_err(failed)?);
        let more = body_share::Entity::find()
            .filter(body_share::Column::AccountId.eq(account))
            .filter(among(conn, body_share::Column::BodyId, list));
        for row in more.all(conn).await.map_err(failed)? {
            users.entry(row.body_id).and_modify(|users| *users += row.users);
        }
    }
    Ok(users)
}

/// Takes a user from each of these bodies (which were written); those without any go.
pub(crate) async fn release_bodies(
    open: &Open,
    account: i64,
    bodies: impl Iterator<Item = Uuid>,
) -> Result<()> {
    let mut leaving: BTreeMap<Uuid, i64> = BTreeMap::new();
    bodies.for_each(|body| *leaving.entry(body).or_default() += 1);
    let ids: Vec<_> = leaving.keys().copied().collect();
    let users = users(&open.conn, account, &ids).await?;
    let is_used = |(id, leaving): &(&Uuid, &i64)| users.get(id).is_some_and(|users| users > leaving);
    let (used, unused): (Vec<_>, Vec<_>) = leaving.iter().partition(is_used);
    add_users(open, account, used.into_iter().map(|(id, leaving)| (*id, -leaving))).await?;
    let unused: Vec<_> = unused.into_iter().map(|(id, _)| *id).collect();
    macro_rules! remove {
        ($list:ident: $($table:ident by $key:ident),*) => {$(
            let rows = $table::Entity::delete_many()
                .filter($table::Column::AccountId.eq(account))
                .filter(among(&open.conn, $table::Column::$key, $list.clone()));
            rows.exec(&open.conn).await.map_err(failed)?;
        )*};
    }
    for list in lists(&open.conn, &unused) {
        remove!(list: body_blob by BodyId, signature by BodyId, body_share by BodyId, body by Id);
    }
    Ok(())
}
