//! A mailbox as mail programs see it: everything in it, or what has become different.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::{Listed, Listing, Mailbox, Result};
use types::{ModSeq, Uid};

use crate::{
    connect::{Conn, FromRow as _, Row},
    error::failed,
    rolls,
    rows::{self, ListedRow},
};

/// In order of UIDs, which is the order of an index.
const ALL: &str = "FROM message WHERE account_id = $1 AND mailbox_id = $2 ORDER BY uid";

/// By the index of the change log, which the plus signs keep both planners to: few rows have changed, but many may be
/// in the mailbox.
const CHANGED: &str = "FROM message WHERE account_id = $1 AND modseq > $3 AND +mailbox_id = $2 ORDER BY uid";
const REMOVED: &str = "SELECT uid, modseq FROM tombstone \
    WHERE account_id = $1 AND modseq > $3 AND +mailbox_id = $2 ORDER BY uid";

/// Everything: what is kept with what has changed since then, or all rows.
pub(super) async fn whole(
    conn: &Conn,
    mailbox: Mailbox,
    latest: ModSeq,
    forgotten: ModSeq,
) -> Result<Listing> {
    let Some(kept) = rolls::find(conn, &mailbox, latest, forgotten).await? else {
        let expected = usize::try_from(mailbox.total).unwrap_or(usize::MAX);
        let messages = messages(conn, &mailbox, ALL, None, expected).await?;
        let outgrown = rolls::is_outgrown(mailbox.total, mailbox.total);
        return Ok(Listing { mailbox, forgotten, messages, removed: Vec::new(), outgrown });
    };
    if mailbox.modseq <= kept.modseq {
        return Ok(Listing {
            mailbox,
            forgotten,
            messages: kept.messages,
            removed: Vec::new(),
            outgrown: false,
        });
    }
    let mut news = changed(conn, mailbox, forgotten, kept.modseq).await?;
    let read = news.messages.len() + news.removed.len();
    news.outgrown = rolls::is_outgrown(u64::try_from(read).unwrap_or(u64::MAX), news.mailbox.total);
    Ok(news.over(kept.messages.into_iter()))
}

/// What has become different.
pub(super) async fn changed(
    conn: &Conn,
    mailbox: Mailbox,
    forgotten: ModSeq,
    since: ModSeq,
) -> Result<Listing> {
    // That is little as a rule.
    let messages = messages(conn, &mailbox, CHANGED, Some(since), FEW).await?;
    let gone = |row: &Row<'_>| -> Result<_, DbErr> {
        let uid: i64 = row.get(0)?;
        Ok((Uid(u32::try_from(uid).unwrap_or(0)), ModSeq(row.get(1)?)))
    };
    let removed = statement(conn, &mailbox, REMOVED, Some(since));
    let removed = conn.each_row(removed, FEW, gone).await.map_err(failed)?;
    Ok(Listing { mailbox, forgotten, messages, removed, outgrown: false })
}

const FEW: usize = 0;

async fn messages(
    conn: &Conn,
    mailbox: &Mailbox,
    from: &str,
    since: Option<ModSeq>,
    expected: usize,
) -> Result<Vec<Listed>> {
    let mut known = HashMap::new();
    let listed = move |row: &Row<'_>| Ok(rows::listed(ListedRow::from_row(row, 0)?, &mut known));
    let wanted = statement(conn, mailbox, &format!("SELECT {} {from}", ListedRow::columns("message")), since);
    conn.each_row(wanted, expected, listed).await.map_err(failed)
}

fn statement(conn: &Conn, mailbox: &Mailbox, sql: &str, since: Option<ModSeq>) -> Statement {
    let values = [mailbox.account.0, mailbox.id.0].into_iter().chain(since.map(|since| since.0));
    Statement::from_sql_and_values(conn.get_database_backend(), sql, values.map(Into::into))
}
