//! Bodies and their users: a body is there as long as a message or a queue entry uses it.
//!
//! Its own row tells of those that it was written for. On SQLite whoever comes or goes later is counted in a small row
//! beside it, since a row with a mail in it is dear to write. PostgreSQL keeps the mail beside the row, so the row itself
//! counts there, as nodes of an earlier version do that share the database.

use std::collections::BTreeMap;

use sea_orm::{DbBackend, EntityTrait, QuerySelect, Statement, prelude::Uuid};
use storage::{Error, Result};

use crate::{
    connect::{Conn, Row},
    entity::shard::{body, body_blob, body_share, signature},
    error::failed,
    open::Open,
    statement::{Conflict, Writes, array, insert, lists, with_wanted},
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
    let size = body::Entity::find_by_id((account, id)).select_only().column(body::Column::SizeBytes);
    let size = open.conn.column(&size, 1).await.map_err(failed)?.pop();
    let size =
        size.ok_or_else(|| Error::Backend(format!("account {account} has no body {id} to share").into()))?;
    add_users(&open.conn, vec![((account, id), 1)]).await?;
    Ok(size)
}

/// So many more users, or fewer, of bodies that were written.
pub(crate) async fn add_users(conn: &Conn, users: Vec<((i64, Uuid), i64)>) -> Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    if conn.is_postgres() {
        let values = [
            array(users.iter().map(|((account, _), _)| *account), 0),
            array(users.iter().map(|((_, id), _)| *id), Uuid::nil()),
            array(users.iter().map(|(_, more)| *more), 0),
        ];
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, ADD_USERS, values);
        return conn.execute(statement).await.map(drop).map_err(failed);
    }
    let rows = users.into_iter().map(|((account_id, body_id), users)| body_share::Model {
        account_id,
        body_id,
        users,
    });
    insert::<body_share::Entity>(conn, rows.collect(), Conflict::Adds(body_share::Column::Users)).await
}

const ADD_USERS: &str = "UPDATE body SET refs = refs + used.users FROM unnest($1, $2, $3) AS used (account, id, users) \
    WHERE body.account_id = used.account AND body.id = used.id";

/// How many use each of those of these bodies that are there.
pub(crate) async fn users(conn: &Conn, bodies: &[(i64, Uuid)]) -> Result<BTreeMap<(i64, Uuid), i64>> {
    let mut users = BTreeMap::new();
    for list in lists(conn, bodies) {
        let user = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
        let found = conn.each_row(with_wanted(conn, &list, USERS), list.len(), user);
        users.extend(found.await.map_err(failed)?);
    }
    Ok(users)
}

const USERS: &str = "SELECT body.account_id, body.id, \
    CAST(body.refs + COALESCE(more.users, 0) AS BIGINT) FROM wanted CROSS JOIN body \
    LEFT JOIN body_share AS more ON more.account_id = body.account_id AND more.body_id = body.id \
    WHERE body.account_id = wanted.a AND body.id = wanted.b";

/// Notes that a user leaves each of these bodies.
pub(super) fn release(open: &mut Open, account: i64, bodies: impl Iterator<Item = Uuid>) {
    for body in bodies {
        *open.waiting.leaving.entry((account, body)).or_default() += 1;
    }
}

/// Takes so many users from each of these bodies (which were written); those without any go.
pub(crate) async fn let_go(conn: &Conn, leaving: BTreeMap<(i64, Uuid), i64>) -> Result<()> {
    if leaving.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = leaving.keys().copied().collect();
    let users = users(conn, &keys).await?;
    let is_used = |(key, leaving): &((i64, Uuid), i64)| users.get(key).is_some_and(|users| users > leaving);
    let (used, unused): (Vec<_>, Vec<_>) = leaving.into_iter().partition(is_used);
    add_users(conn, used.into_iter().map(|(key, leaving)| (key, -leaving)).collect()).await?;
    let unused: Vec<_> = unused.into_iter().map(|(key, _)| key).collect();
    let mut writes = Writes::new(conn);
    writes.remove::<body_blob::Entity, _>("body_id", &unused);
    writes.remove::<signature::Entity, _>("body_id", &unused);
    writes.remove::<body_share::Entity, _>("body_id", &unused);
    writes.remove::<body::Entity, _>("id", &unused);
    writes.run().await.map(|_| ())
}
