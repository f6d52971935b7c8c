//! A mailbox as mail programs see it: everything in it, or what has become different.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::{AccountState, Keep, Listed, Listing, Mailbox, Result};
use types::{ModSeq, Sequence, Uid};

use crate::{
    connect::{Conn, FromRow as _, Row},
    error::failed,
    rolls::{self, Found},
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
pub(super) async fn whole(conn: &Conn, mailbox: Mailbox, state: &AccountState) -> Result<Listing> {
    let kept = match rolls::find(conn, &mailbox, state).await? {
        Found::Kept(kept) => kept,
        Found::Nothing => {
            let keep = rolls::is_worth_keeping(mailbox.total).then_some(Keep::Changes);
            return by_rows(conn, mailbox, state, keep).await;
        }
        Found::Unreadable => return by_rows(conn, mailbox, state, Some(Keep::Anew)).await,
    };
    let total = mailbox.total;
    let listing = if mailbox.modseq <= kept.as_of {
        Listing { messages: kept.messages.into(), ..nothing(mailbox, state) }
    } else {
        let mut news = changed(conn, mailbox, state, kept.as_of).await?;
        let read = news.messages.len() + news.removed.len();
        let is_outdated = rolls::is_outdated(u64::try_from(read).unwrap_or(u64::MAX), total);
        news.keep = is_outdated.then_some(Keep::Changes);
        news.over(&kept.messages.into())
    };
    if u64::try_from(listing.messages.len()) == Ok(total) {
        return Ok(listing);
    }
    let Mailbox { account, id, .. } = listing.mailbox;
    tracing::warn!(%account, mailbox = %id, "a kept listing is not what is in the mailbox; it is kept anew");
    by_rows(conn, listing.mailbox, state, Some(Keep::Anew)).await
}

async fn by_rows(conn: &Conn, mailbox: Mailbox, state: &AccountState, keep: Option<Keep>) -> Result<Listing> {
    let expected = usize::try_from(mailbox.total).unwrap_or(usize::MAX);
    let messages = messages(conn, &mailbox, ALL, None, expected).await?.into();
    Ok(Listing { messages, keep, ..nothing(mailbox, state) })
}

fn nothing(mailbox: Mailbox, state: &AccountState) -> Listing {
    let (messages, removed) = (Sequence::default(), Vec::new());
    Listing { mailbox, forgotten: state.forgotten, messages, removed, as_of: state.modseq, keep: None }
}

/// What has become different.
pub(super) async fn changed(
    conn: &Conn,
    mailbox: Mailbox,
    state: &AccountState,
    since: ModSeq,
) -> Result<Listing> {
    // That is little as a rule: it is read at once.
    let messages = messages(conn, &mailbox, CHANGED, Some(since), 0).await?.into();
    let gone = |row: &Row<'_>| -> Result<_, DbErr> {
        let uid: i64 = row.get(0)?;
        Ok((Uid(u32::try_from(uid).unwrap_or(0)), ModSeq(row.get(1)?)))
    };
    let removed = statement(conn, &mailbox, REMOVED, Some(since));
    let removed = conn.each_row(removed, 0, gone).await.map_err(failed)?;
    Ok(Listing { messages, removed, ..nothing(mailbox, state) })
}

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
