//! A mailbox as mail programs see it: everything in it, or what has become different.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::{Listing, Mailbox, Result};
use types::{ModSeq, Uid};

use crate::{
    connect::{Conn, FromRow as _, Row},
    error::failed,
    rows::{self, ListedRow},
};

/// In order of UIDs, which is the order of an index.
const ALL: &str = "FROM message WHERE account_id = $1 AND mailbox_id = $2 ORDER BY uid";

/// By the index of the change log, which the plus signs keep both planners to: few rows have changed, but many may be
/// in the mailbox.
const CHANGED: &str = "FROM message WHERE account_id = $1 AND modseq > $3 AND +mailbox_id = $2 ORDER BY uid";
const REMOVED: &str = "SELECT uid, modseq FROM tombstone \
    WHERE account_id = $1 AND modseq > $3 AND +mailbox_id = $2 ORDER BY uid";

pub(super) async fn listing(
    conn: &Conn,
    mailbox: Mailbox,
    forgotten: ModSeq,
    since: ModSeq,
) -> Result<Listing> {
    let statement = |sql: &str, since: Option<ModSeq>| {
        let values = [mailbox.account.0, mailbox.id.0].into_iter().chain(since.map(|since| since.0));
        Statement::from_sql_and_values(conn.get_database_backend(), sql, values.map(Into::into))
    };
    let since = (since.0 > 0).then_some(since);
    let mut known = HashMap::new();
    let listed = move |row: &Row<'_>| Ok(rows::listed(ListedRow::from_row(row, 0)?, &mut known));
    let from = if since.is_some() { CHANGED } else { ALL };
    let wanted = statement(&format!("SELECT {} {from}", ListedRow::columns("message")), since);
    let total = usize::try_from(mailbox.total).unwrap_or(usize::MAX);
    // What has changed since then is little as a rule.
    let expected = if since.is_some() { 0 } else { total };
    let messages = conn.each_row(wanted, expected, listed).await.map_err(failed)?;
    let mut removed = Vec::new();
    if since.is_some() {
        let gone = |row: &Row<'_>| -> Result<_, DbErr> {
            let uid: i64 = row.get(0)?;
            Ok((Uid(u32::try_from(uid).unwrap_or(0)), ModSeq(row.get(1)?)))
        };
        removed = conn.each_row(statement(REMOVED, since), expected, gone).await.map_err(failed)?;
    }
    Ok(Listing { mailbox, forgotten, messages, removed })
}
