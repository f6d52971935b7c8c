//! Running nodes: claims on names, by the database's clock, so that no node's own clock matters.

use std::time::Duration;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, Statement,
    sea_query::{Expr, ExprTrait as _},
};
use storage::{Node, Result};
use types::Timestamp;

use crate::{connect::Conn, entity::directory::node, error::failed};

/// The database's clock in milliseconds.
fn clock(conn: &Conn) -> &'static str {
    match conn.get_database_backend() {
        DbBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        _ => "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
    }
}

pub(super) async fn time(conn: &Conn) -> Result<Timestamp> {
    let sql = format!("SELECT {} AS now", clock(conn));
    let row = conn.query_one_raw(Statement::from_string(conn.get_database_backend(), sql)).await;
    let now = row.map_err(failed)?.map(|row| row.try_get("", "now")).transpose().map_err(failed)?;
    Ok(Timestamp::from_millis(now.unwrap_or_default()))
}

/// One statement, so that of two nodes with the same name one is refused.
pub(super) async fn claim(conn: &Conn, name: &str, instance: &str, ttl: Duration) -> Result<bool> {
    let now = clock(conn);
    let sql = format!(
        "INSERT INTO node (name, instance, claimed_at, expires_at) VALUES ($1, $2, {now}, {now} + $3) \
         ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at, instance = excluded.instance, \
         claimed_at = CASE WHEN node.instance = excluded.instance THEN node.claimed_at ELSE excluded.claimed_at END \
         WHERE node.instance = excluded.instance OR node.expires_at <= excluded.claimed_at"
    );
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let values = [name.into(), instance.into(), ttl.into()];
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    Ok(conn.execute_raw(statement).await.map_err(failed)?.rows_affected() > 0)
}

pub(super) async fn release(conn: &Conn, name: &str, instance: &str) -> Result<()> {
    let own = node::Entity::delete_many()
        .filter(node::Column::Name.eq(name))
        .filter(node::Column::Instance.eq(instance));
    own.exec(conn).await.map_err(failed)?;
    Ok(())
}

pub(super) async fn living(conn: &Conn) -> Result<Vec<Node>> {
    let living = node::Entity::find()
        .filter(Expr::col(node::Column::ExpiresAt).gt(Expr::cust(clock(conn))))
        .order_by_asc(node::Column::Name);
    let view = |row: node::Model| Node {
        name: row.name,
        instance: row.instance,
        claimed_at: Timestamp::from_millis(row.claimed_at),
        expires_at: Timestamp::from_millis(row.expires_at),
    };
    Ok(living.all(conn).await.map_err(failed)?.into_iter().map(view).collect())
}
