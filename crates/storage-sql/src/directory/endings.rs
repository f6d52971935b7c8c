//! Ends of sessions, and the notes of them.

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Statement,
};
use storage::{Ending, Error, Result};
use types::AccountId;

use crate::{
    connect::{Conn, Pool},
    entity::directory::session,
    error::failed,
};

/// Notes that are kept: far more than come in an hour, after which a node has forgotten all sessions that it knew.
const KEPT: i64 = 100_000;
/// Notes that are read at once.
const AT_ONCE: i64 = 10_000;

/// Ends all sessions of the account, and notes it.
pub(super) async fn end_all(writers: &Pool, account: AccountId) -> Result<(i64, Vec<[u8; 32]>)> {
    let theirs = session::Column::AccountId.eq(account.0);
    let tx = writers.begin().await.map_err(failed)?;
    let ended = session::Entity::find()
        .select_only()
        .column(session::Column::TokenHash)
        .filter(theirs.clone())
        .into_tuple::<Vec<u8>>()
        .all(&tx)
        .await
        .map_err(failed)?;
    session::Entity::delete_many().filter(theirs).exec(&tx).await.map_err(failed)?;
    let number = note(&tx, account, true).await?;
    tx.commit().await.map_err(failed)?;
    let damaged = |_| Error::Corrupt("the hash of a session's token".to_owned());
    let tokens: Result<_> = ended.into_iter().map(|hash| hash.try_into().map_err(damaged)).collect();
    Ok((number, tokens?))
}

/// Ends this session, and notes it.
pub(super) async fn end_one(writers: &Pool, token_hash: &[u8; 32]) -> Result<Option<Ending>> {
    let tx = writers.begin().await.map_err(failed)?;
    let found = session::Entity::find_by_id(token_hash.to_vec()).one(&tx).await.map_err(failed)?;
    let Some(found) = found else { return Ok(None) };
    session::Entity::delete_by_id(token_hash.to_vec()).exec(&tx).await.map_err(failed)?;
    let account = AccountId(found.account_id);
    let number = note(&tx, account, false).await?;
    tx.commit().await.map_err(failed)?;
    Ok(Some(Ending { number, account, whole: false }))
}

/// One at a time, so that who asks for what came after a number misses no lower one that is committed later.
pub(super) async fn note(tx: &Conn, account: AccountId, whole: bool) -> Result<i64> {
    if tx.is_postgres() {
        let lock = "LOCK TABLE session_end IN SHARE ROW EXCLUSIVE MODE";
        tx.execute_unprepared(lock).await.map_err(failed)?;
    }
    let sql = "INSERT INTO session_end (number, account_id, whole) \
               SELECT COALESCE(MAX(number), 0) + 1, CAST($1 AS BIGINT), CAST($2 AS BOOLEAN) \
               FROM session_end RETURNING number";
    let values = [account.0.into(), whole.into()];
    let note = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
    let noted = tx.query_one_raw(note).await.map_err(failed)?;
    let noted = noted.ok_or_else(|| Error::Corrupt("a note without a number".to_owned()))?;
    noted.try_get("", "number").map_err(failed)
}

/// See [`storage::Directory::ended_since`].
pub(super) async fn since(conn: &Conn, number: Option<i64>) -> Result<(i64, Vec<Ending>)> {
    #[derive(FromQueryResult)]
    struct Row {
        number: i64,
        account_id: i64,
        whole: bool,
    }
    let (order, values) = match number {
        Some(number) => ("WHERE number > $1 ORDER BY number LIMIT $2", vec![number.into(), AT_ONCE.into()]),
        None => ("ORDER BY number DESC LIMIT $1", vec![1_i64.into()]),
    };
    let sql = format!("SELECT number, account_id, whole FROM session_end {order}");
    let notes = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let notes = Row::find_by_statement(notes).all(conn).await.map_err(failed)?;
    let newest = notes.last().map(|note| note.number).or(number).unwrap_or_default();
    let ending =
        |note: &Row| Ending { number: note.number, account: AccountId(note.account_id), whole: note.whole };
    Ok((newest, if number.is_some() { notes.iter().map(ending).collect() } else { Vec::new() }))
}

/// Removes old notes.
pub(super) async fn forget(conn: &Conn) -> Result<()> {
    let sql = "DELETE FROM session_end WHERE number <= (SELECT MAX(number) FROM session_end) - $1";
    let old = Statement::from_sql_and_values(conn.get_database_backend(), sql, [KEPT.into()]);
    conn.execute_raw(old).await.map_err(failed)?;
    Ok(())
}
