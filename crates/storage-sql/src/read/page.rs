//! Pages of lists, each a scan of one index.

use std::cmp::Reverse;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    Statement, Value, sea_query::Expr,
};
use storage::{Edition, Filter, Message, PageRequest, Paged, Result};
use types::{AccountId, ModSeq, UidValidity};

use crate::{
    connect::{Conn, FromRow as _, Row},
    entity::shard::message,
    error::failed,
    rows,
};

/// The query of a page.
pub(super) fn select(account: AccountId, request: &PageRequest) -> Select<message::Entity> {
    let mut query = message::Entity::find().filter(message::Column::AccountId.eq(account.0));
    if let Some(mailbox) = request.mailbox {
        query = query.filter(message::Column::MailboxId.eq(mailbox.0));
    }
    if let Some(before) = request.before {
        query = query.filter(message::Column::Id.lt(before.0));
    }
    for condition in conditions(request.filter) {
        query = query.filter(Expr::cust(condition));
    }
    query.order_by_desc(message::Column::Id).limit(u64::from(request.limit))
}

/// A page of a mailbox that is not as it is `known` to be.
pub(super) async fn if_new(
    conn: &Conn,
    account: AccountId,
    request: &PageRequest,
    known: Option<Edition>,
) -> Result<Option<Paged>> {
    let Some(mailbox) = request.mailbox else { return Ok(None) };
    let (validity, modseq) =
        known.map_or((-1, -1), |known| (i64::from(known.uid_validity.0), known.modseq.0));
    let mut values: Vec<Value> = vec![account.0.into(), mailbox.0.into(), validity.into(), modseq.into()];
    values.extend(request.before.map(|before| Value::from(before.0)));
    let sql = if_new_sql(conn.is_postgres(), request);
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let mut edition = None;
    let mut messages = Vec::new();
    let take = |row: &Row<'_>| -> Result<(i64, i64, Option<message::Model>), DbErr> {
        let is_there = row.get::<Option<i64>>(2)?.is_some();
        Ok((row.get(0)?, row.get(1)?, is_there.then(|| message::Model::from_row(row, 2)).transpose()?))
    };
    let expected = rows::expected(request.limit);
    for (validity, modseq, row) in conn.each_row(statement, expected, take).await.map_err(failed)? {
        let uid_validity = UidValidity(u32::try_from(validity).unwrap_or(0));
        edition = Some(Edition { uid_validity, modseq: ModSeq(modseq) });
        messages.extend(row.map(rows::message).transpose()?);
    }
    // What is joined is in no order.
    messages.sort_unstable_by_key(|message: &Message| Reverse(message.id));
    Ok(edition.map(|edition| Paged { edition, messages: (known != Some(edition)).then_some(messages) }))
}

/// A row for each message; one without a message where there is none, or none is to be read. Then none is looked for:
/// PostgreSQL rules out what is lateral by the mailbox alone; SQLite, which has no such thing, has no key to look with. (Were
/// the editions compared beside the key, it would do so for every message that there is.)
fn if_new_sql(is_postgres: bool, request: &PageRequest) -> String {
    let is_new = "box.uid_validity <> $3 OR box.modseq <> $4";
    let mut wanted = vec!["m.account_id = box.account_id".to_owned()];
    if is_postgres {
        wanted.extend(["m.mailbox_id = box.id".to_owned(), format!("({is_new})")]);
    } else {
        wanted.push(format!("m.mailbox_id = CASE WHEN {is_new} THEN box.id END"));
    }
    wanted.extend(request.before.map(|_| "m.id < $5".to_owned()));
    wanted.extend(conditions(request.filter).map(str::to_owned));
    let wanted = wanted.join(" AND ");
    let columns = format!(
        "SELECT box.uid_validity AS box_validity, box.modseq AS box_modseq, {} FROM mailbox AS box LEFT JOIN",
        message::Model::columns("m")
    );
    let the_mailbox = "WHERE box.account_id = $1 AND box.id = $2 AND box.deleted = FALSE";
    let end = format!("ORDER BY m.id DESC LIMIT {}", request.limit.max(1));
    if is_postgres {
        format!(
            "{columns} LATERAL (SELECT * FROM message AS m WHERE {wanted} {end}) AS m ON TRUE {the_mailbox}"
        )
    } else {
        format!("{columns} message AS m ON {wanted} {the_mailbox} {end}")
    }
}

/// Written as in the partial indexes, or they would not be used.
fn conditions(filter: Filter) -> impl Iterator<Item = &'static str> {
    [
        filter.unread.map(|yes| if yes { "(flags & 1) = 0" } else { "(flags & 1) = 1" }),
        filter.flagged.map(|yes| if yes { "(flags & 4) = 4" } else { "(flags & 4) = 0" }),
        filter.attachments.map(|yes| if yes { "has_attachments = TRUE" } else { "has_attachments = FALSE" }),
    ]
    .into_iter()
    .flatten()
}
