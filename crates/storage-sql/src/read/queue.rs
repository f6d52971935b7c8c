//! Reading the queue.

use std::time::Duration;

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    Statement,
    prelude::Uuid,
    sea_query::{Expr, LockBehavior, LockType},
};
use storage::{QueueEntry, QueueFilter, QueueLengths, Result};
use types::{AccountId, QueueId, Timestamp};

use crate::{
    connect::{Conn, Row},
    entity::shard::{queue_entry, queue_recipient},
    error::failed,
    rows,
    statement::{among, find, find_to_change, lists},
};

/// The rows of an entry.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) row: queue_entry::Model,
    /// In order.
    pub(crate) recipients: Vec<queue_recipient::Model>,
}

impl Found {
    pub(crate) const fn key(&self) -> (i64, Uuid) {
        (self.row.account_id, self.row.id)
    }

    pub(crate) fn view(&self) -> Result<QueueEntry> {
        rows::queue_entry(&self.row, &self.recipients)
    }
}

pub(crate) async fn entry(conn: &Conn, account: AccountId, id: QueueId) -> Result<Option<Found>> {
    let row = conn.one(&queue_entry::Entity::find_by_id((account.0, id.0))).await.map_err(failed)?;
    Ok(with_recipients(conn, row.into_iter().collect()).await?.pop())
}

/// Those of these that are there, kept as they are until the transaction ends.
pub(crate) async fn entries_to_change(conn: &Conn, keys: &[(i64, Uuid)]) -> Result<Vec<Found>> {
    let mut rows = Vec::new();
    for list in lists(conn, keys) {
        rows.extend(find_to_change::<queue_entry::Entity, _>(conn, "id", &list).await?);
    }
    rows.sort_unstable_by_key(|row| (row.account_id, row.id));
    rows.dedup_by_key(|row| (row.account_id, row.id));
    with_recipients(conn, rows).await
}

pub(crate) async fn list(conn: &Conn, filter: &QueueFilter) -> Result<Vec<QueueEntry>> {
    let mut query = queue_entry::Entity::find();
    if let Some(account) = filter.account {
        query = query.filter(queue_entry::Column::AccountId.eq(account.0));
    }
    if let Some((account, id)) = filter.after {
        let same = Condition::all()
            .add(queue_entry::Column::AccountId.eq(account.0))
            .add(queue_entry::Column::Id.gt(id.0));
        query = query.filter(Condition::any().add(queue_entry::Column::AccountId.gt(account.0)).add(same));
    }
    let query = query
        .order_by_asc(queue_entry::Column::AccountId)
        .order_by_asc(queue_entry::Column::Id)
        .limit(u64::from(filter.limit));
    let found = conn.all(&query, rows::expected(filter.limit)).await.map_err(failed)?;
    with_recipients(conn, found).await?.iter().map(Found::view).collect()
}

/// Which entries go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Urgent,
    /// Those that have been due for so long that it is their turn, whatever they are: to a part of what is claimed.
    Aged,
    /// Those that are not patient, the urgent ones among them.
    Ordinary,
    All,
}

/// The accounts of the entries that are due for the longest time, one for each entry.
pub(crate) async fn accounts_due(conn: &Conn, which: Which, now: Timestamp, limit: u32) -> Result<Vec<i64>> {
    let found = entries_due(which, now, limit).select_only().column(queue_entry::Column::AccountId);
    conn.column(&found, rows::expected(limit)).await.map_err(failed)
}

/// Due entries of these accounts that nobody else is about to take, oldest due first; nobody else can take them until
/// the transaction ends.
pub(crate) async fn due(
    conn: &Conn,
    accounts: Vec<i64>,
    which: Which,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Found>> {
    let mut found =
        entries_due(which, now, limit).lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    // On SQLite nobody else has written anything since they were found.
    if conn.is_postgres() {
        found = found.filter(among(conn, queue_entry::Column::AccountId, accounts));
    }
    with_recipients(conn, conn.all(&found, rows::expected(limit)).await.map_err(failed)?).await
}

fn entries_due(which: Which, now: Timestamp, limit: u32) -> Select<queue_entry::Entity> {
    let due = queue_entry::Entity::find()
        .filter(Expr::cust("held = FALSE"))
        .filter(Expr::cust(LIVES_HERE))
        .filter(queue_entry::Column::DueAt.lte(now.millis()))
        .order_by_asc(queue_entry::Column::DueAt)
        .limit(u64::from(limit));
    match which {
        Which::Aged => due.filter(queue_entry::Column::DueAt.lte(now.minus(AGED).millis())),
        // As the indexes have it.
        Which::Urgent => due.filter(Expr::cust("urgent = TRUE")),
        Which::Ordinary => due.filter(Expr::cust("patient = FALSE")),
        Which::All => due,
    }
}

/// Nobody's patience is endless: after this, mail takes turns by age alone with all that is not urgent.
const AGED: Duration = Duration::from_secs(3_600);

pub(crate) async fn next_due(conn: &Conn) -> Result<Option<Timestamp>> {
    let found = queue_entry::Entity::find()
        .select_only()
        .column(queue_entry::Column::DueAt)
        .filter(Expr::cust("held = FALSE"))
        .filter(Expr::cust(LIVES_HERE))
        .order_by_asc(queue_entry::Column::DueAt)
        .limit(1);
    Ok(conn.column(&found, 1).await.map_err(failed)?.pop().map(Timestamp::from_millis))
}

pub(crate) async fn lengths(conn: &Conn, now: Timestamp) -> Result<QueueLengths> {
    let count = |what: &str| format!("CAST(COALESCE(sum(CASE WHEN {what} THEN 1 ELSE 0 END), 0) AS BIGINT)");
    let leased = "held = FALSE AND COALESCE(leased_until, 0) > $1";
    let free = "held = FALSE AND COALESCE(leased_until, 0) <= $1";
    let counts = [
        count(&format!("{free} AND next_attempt_at <= $1")),
        count(&format!("{free} AND next_attempt_at > $1")),
        count("held = TRUE"),
        count(leased),
    ];
    let sql = format!("SELECT {} FROM queue_entry WHERE {LIVES_HERE}", counts.join(", "));
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, [now.millis().into()]);
    let number = |row: &Row<'_>, at| row.get(at).map(rows::count);
    let lengths = move |row: &Row<'_>| {
        let [due, waiting, held, leased] =
            [number(row, 0)?, number(row, 1)?, number(row, 2)?, number(row, 3)?];
        Ok(QueueLengths { due, waiting, held, leased })
    };
    Ok(conn.each_row(statement, 1, lengths).await.map_err(failed)?.pop().unwrap_or_default())
}

async fn with_recipients(conn: &Conn, entries: Vec<queue_entry::Model>) -> Result<Vec<Found>> {
    let keys: Vec<_> = entries.iter().map(|row| (row.account_id, row.id)).collect();
    let mut recipients = Vec::new();
    for list in lists(conn, &keys) {
        let found = find::<queue_recipient::Entity, _>(conn, "queue_id", &list);
        recipients.extend(found.await?);
    }
    recipients.sort_unstable_by_key(|row| (row.account_id, row.queue_id, row.position));
    recipients.dedup_by_key(|row| (row.account_id, row.queue_id, row.position));
    let of = |row: &queue_entry::Model| {
        let key = (row.account_id, row.id);
        let start = recipients.partition_point(|other| (other.account_id, other.queue_id) < key);
        let rest = recipients.get(start..).unwrap_or_default();
        rest.iter().take_while(|other| (other.account_id, other.queue_id) == key).cloned().collect()
    };
    Ok(entries.into_iter().map(|row| Found { recipients: of(&row), row }).collect())
}

/// Entries of accounts that were moved away, or are on their way, are nobody's here; nor are those of accounts that are
/// not set up, which a copy that was broken off leaves behind.
/// (A value rather than EXISTS, so that no planner makes a join of it and leaves the order of what is due.)
const LIVES_HERE: &str =
    "(SELECT account.fenced FROM account WHERE account.account_id = queue_entry.account_id) = FALSE";
