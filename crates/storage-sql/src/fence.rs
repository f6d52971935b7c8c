//! Fences: buckets that this shard does not answer for. See [`storage::Transaction::fence`].
//!
//! Whoever writes to an account holds its row (`open::load`), and the row says whether it is fenced: so a fence that is
//! put up waits for the writers before it, and is seen by those after it. An account without a row is asked of the table
//! `fence`, under a lock that a new fence waits for: so nobody sets up an account that the fence would overlook.

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
    sea_query::Expr,
};
use storage::{AccountState, Error, Fence, Result, Totals};
use types::{AccountId, Bucket};

use crate::{
    connect::{Conn, Row},
    deferred,
    entity::shard::{account, fence, placement},
    error::failed,
    open::Open,
    rows,
    statement::{Conflict, among, insert, lists},
};

/// Accounts that are looked at by one statement.
const ACCOUNTS: u64 = 5_000;

/// Whether an account without a row may get one.
pub(crate) async fn check_placing(conn: &Conn, account: i64) -> Result<()> {
    hold_back(conn).await?;
    let bucket = Bucket::of(AccountId(account));
    if find(conn, bucket).await?.is_some() { Err(Error::Moving) } else { Ok(()) }
}

/// Has new fences wait until the commit.
pub(crate) async fn hold_back(conn: &Conn) -> Result<()> {
    if conn.is_postgres() {
        conn.execute_unprepared("LOCK TABLE fence IN SHARE MODE").await.map_err(failed)?;
    }
    Ok(())
}

pub(crate) async fn find(conn: &Conn, bucket: Bucket) -> Result<Option<Fence>> {
    let row = conn.one(&fence::Entity::find_by_id(i32::from(bucket.0))).await.map_err(failed)?;
    Ok(row.map(view))
}

/// The same, and nobody else changes or lifts it until the commit.
pub(crate) async fn held(conn: &Conn, bucket: Bucket) -> Result<Option<Fence>> {
    let row = conn.one(&fence::Entity::find_by_id(i32::from(bucket.0)).lock_exclusive()).await;
    Ok(row.map_err(failed)?.map(view))
}

pub(crate) async fn open_ones(conn: &Conn) -> Result<Vec<(Bucket, String)>> {
    let open =
        fence::Entity::find().filter(fence::Column::Closed.eq(false)).order_by_asc(fence::Column::Bucket);
    let bucket = |stored| u16::try_from(stored).map_err(|_| Error::Corrupt("a bucket".to_owned()));
    let view = |row: fence::Model| Ok((Bucket(bucket(row.bucket)?), row.mover));
    conn.all(&open, 1).await.map_err(failed)?.into_iter().map(view).collect()
}

fn view(row: fence::Model) -> Fence {
    Fence { mover: row.mover, closed: row.closed }
}

pub(crate) async fn put_up(open: &mut Open, bucket: Bucket, mover: &str) -> Result<bool> {
    if find(&open.conn, bucket).await?.is_some_and(|fence| fence.closed) {
        return Ok(false);
    }
    open.flush().await?;
    if !open.conn.is_postgres() {
        deferred::settle_all(open, &members(&open.conn, bucket).await?).await?;
    }
    // Before the table is written to, in the order in which everybody takes them: a writer that holds one of the
    // accounts may be waiting for the table.
    for list in lists(&open.conn, &members(&open.conn, bucket).await?) {
        let owners = account::Entity::find()
            .select_only()
            .column(account::Column::AccountId)
            .filter(among(&open.conn, account::Column::AccountId, list))
            .order_by_asc(account::Column::AccountId)
            .lock_exclusive();
        open.conn.column::<i64>(&owners, 1).await.map_err(failed)?;
    }
    let sql = "INSERT INTO fence (bucket, closed, mover) VALUES ($1, FALSE, $2) \
               ON CONFLICT (bucket) DO UPDATE SET mover = excluded.mover WHERE fence.closed = FALSE";
    let values = [i32::from(bucket.0).into(), mover.into()];
    let statement = Statement::from_sql_and_values(open.conn.get_database_backend(), sql, values);
    let put = open.conn.execute(statement).await.map_err(failed)? > 0;
    if put {
        mark(open, bucket, true).await?;
    }
    Ok(put)
}

pub(crate) async fn receive(open: &mut Open, bucket: Bucket, mover: &str) -> Result<bool> {
    open.flush().await?;
    if held(&open.conn, bucket).await?.is_none() && !accounts(&open.conn, bucket).await?.is_empty() {
        return Ok(false);
    }
    let row = fence::Model { bucket: i32::from(bucket.0), closed: false, mover: mover.to_owned() };
    let columns = [fence::Column::Closed, fence::Column::Mover];
    insert::<fence::Entity>(&open.conn, vec![row], Conflict::Replaces(&columns)).await?;
    mark(open, bucket, true).await?;
    Ok(true)
}

pub(crate) async fn close(open: &mut Open, bucket: Bucket, mover: &str) -> Result<bool> {
    open.wrote();
    let closed = fence::Entity::update_many()
        .col_expr(fence::Column::Closed, Expr::value(true))
        .filter(fence::Column::Bucket.eq(i32::from(bucket.0)))
        .filter(fence::Column::Mover.eq(mover));
    Ok(open.conn.change(&closed).await.map_err(failed)? > 0)
}

pub(crate) async fn lift(open: &mut Open, bucket: Bucket, mover: &str) -> Result<bool> {
    open.flush().await?;
    let lifted = fence::Entity::delete_many()
        .filter(fence::Column::Bucket.eq(i32::from(bucket.0)))
        .filter(fence::Column::Mover.eq(mover))
        .filter(fence::Column::Closed.eq(false));
    let lifted = open.conn.change(&lifted).await.map_err(failed)? > 0;
    if lifted {
        mark(open, bucket, false).await?;
    }
    Ok(lifted)
}

/// Writes the fence on the rows of the bucket's accounts, waiting for whoever holds them.
async fn mark(open: &mut Open, bucket: Bucket, fenced: bool) -> Result<()> {
    for list in lists(&open.conn, &members(&open.conn, bucket).await?) {
        let marked = account::Entity::update_many()
            .col_expr(account::Column::Fenced, Expr::value(fenced))
            .filter(among(&open.conn, account::Column::AccountId, list));
        open.conn.change(&marked).await.map_err(failed)?;
    }
    open.reload_all();
    Ok(())
}

/// The ids of the bucket's accounts, in order. Asked for by themselves, since a join would depend on what the planner
/// knows of tables that have just been filled.
pub(crate) async fn members(conn: &Conn, bucket: Bucket) -> Result<Vec<i64>> {
    let ids = placement::Entity::find()
        .select_only()
        .column(placement::Column::AccountId)
        .filter(placement::Column::Bucket.eq(i32::from(bucket.0)))
        .order_by_asc(placement::Column::AccountId);
    conn.column(&ids, 1).await.map_err(failed)
}

/// Each bucket of the range that has accounts is found by one step along the index.
pub(crate) async fn populated(conn: &Conn, first: Bucket, last: Bucket) -> Result<Vec<Bucket>> {
    let mut found = Vec::new();
    let mut from = i32::from(first.0);
    loop {
        let next = placement::Entity::find()
            .select_only()
            .column(placement::Column::Bucket)
            .filter(placement::Column::Bucket.gte(from))
            .filter(placement::Column::Bucket.lte(i32::from(last.0)))
            .order_by_asc(placement::Column::Bucket)
            .limit(1);
        let Some(next) = conn.column::<i32>(&next, 1).await.map_err(failed)?.pop() else { return Ok(found) };
        let bucket = u16::try_from(next).map_err(|_| Error::Corrupt("a bucket".to_owned()))?;
        found.push(Bucket(bucket));
        from = next + 1;
    }
}

/// The bucket's accounts, in order.
pub(crate) async fn accounts(conn: &Conn, bucket: Bucket) -> Result<Vec<AccountState>> {
    let ids = members(conn, bucket).await?;
    let mut found = Vec::with_capacity(ids.len());
    for list in lists(conn, &ids) {
        let expected = list.len();
        let rows = account::Entity::find().filter(among(conn, account::Column::AccountId, list));
        found.extend(conn.all(&rows, expected).await.map_err(failed)?.iter().map(rows::account_state));
    }
    found.sort_unstable_by_key(|state| state.id);
    found.dedup_by_key(|state| state.id);
    Ok(found)
}

pub(crate) async fn totals(conn: &Conn) -> Result<Totals> {
    let sql = "SELECT count(*), CAST(COALESCE(sum(messages), 0) AS BIGINT), \
         CAST(COALESCE(sum(used_bytes), 0) AS BIGINT), \
         CAST(COALESCE(sum(CASE WHEN indexed_modseq < modseq THEN 1 ELSE 0 END), 0) AS BIGINT), \
         (SELECT count(*) FROM queue_entry WHERE account_id IN \
         (SELECT account_id FROM account WHERE fenced = FALSE)) FROM account WHERE fenced = FALSE";
    let statement = Statement::from_string(conn.get_database_backend(), sql);
    let totals = |row: &Row<'_>| {
        let number = |at| row.get(at).map(rows::count);
        Ok(Totals {
            accounts: number(0)?,
            messages: number(1)?,
            used_bytes: number(2)?,
            unindexed: number(3)?,
            queued: number(4)?,
        })
    };
    Ok(conn.each_row(statement, usize::MAX, totals).await.map_err(failed)?.pop().unwrap_or_default())
}

/// Notes the bucket of accounts after this one that were set up before buckets were noted.
pub(crate) async fn place(open: &mut Open, after: Option<AccountId>) -> Result<Option<AccountId>> {
    open.flush().await?;
    open.wrote();
    let ids = account::Entity::find()
        .select_only()
        .column(account::Column::AccountId)
        .filter(account::Column::AccountId.gt(after.map_or(i64::MIN, |after| after.0)))
        .order_by_asc(account::Column::AccountId)
        .limit(ACCOUNTS);
    let ids: Vec<i64> = open.conn.column(&ids, 1).await.map_err(failed)?;
    let last = ids.last().copied().map(AccountId);
    let placed = |account_id: i64| placement::Model {
        account_id,
        bucket: i32::from(Bucket::of(AccountId(account_id)).0),
    };
    let rows = ids.into_iter().map(placed).collect();
    insert::<placement::Entity>(&open.conn, rows, Conflict::Stays).await?;
    Ok(last)
}

/// Removes some rows of an account that lives elsewhere; false if there are none.
pub(crate) async fn clear_some(open: &mut Open, account: AccountId, limit: u64) -> Result<bool> {
    open.flush().await?;
    open.wrote();
    macro_rules! clear {
        ($($table:ident: $($key:ident),+;)*) => {$(
            let sql = format!(
                "DELETE FROM {table} WHERE account_id = $1 AND ({key}) IN \
                 (SELECT {key} FROM {table} WHERE account_id = $1 LIMIT {limit})",
                table = stringify!($table),
                key = [$(stringify!($key)),+].join(", "),
            );
            let values = [account.0.into()];
            let statement = Statement::from_sql_and_values(open.conn.get_database_backend(), sql, values);
            if open.conn.execute(statement).await.map_err(failed)? > 0 {
                open.reload(account.0);
                return Ok(true);
            }
        )*};
    }
    clear!(
        queue_recipient: queue_id, position;
        queue_entry: id;
        upload: id;
        message: id;
        tombstone: mailbox_id, uid;
        thread_ref: ref_hash;
        signature: body_id;
        body_blob: body_id, blob_id;
        body_share: body_id;
        body: id;
        metadata: mailbox_id, name;
        mailbox_grant: grantee_id, mailbox_id;
        roll_part: mailbox_id, part;
        roll: mailbox_id;
        deferred: modseq, mailbox_id;
        mailbox: id;
        account: account_id;
        placement: account_id;
    );
    Ok(false)
}
