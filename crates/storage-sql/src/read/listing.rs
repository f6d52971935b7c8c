//! A mailbox as mail programs see it: everything in it, or what has become different.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use storage::{Listing, Mailbox, Result};
use types::{ModSeq, Uid};

use crate::{connect::Conn, error::failed, rows};

/// In order of UIDs, which is the order of an index.
const ALL: &str = "SELECT id, uid, modseq, flags, keywords, received_at, sent_at, size_bytes FROM message \
    WHERE account_id = $1 AND mailbox_id = $2 ORDER BY uid";

/// By the index of the change log, which the plus signs keep both planners to: few rows have changed, but many may be
/// in the mailbox.
const CHANGED: &str = "SELECT id, uid, modseq, flags, keywords, received_at, sent_at, size_bytes FROM message \
    WHERE account_id = $1 AND modseq > $3 AND +mailbox_id = $2 ORDER BY uid";
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
    let listed = |row| Ok(rows::listed(rows::ListedRow::from_query_result(&row, "")?, &mut known));
    let wanted = statement(if since.is_some() { CHANGED } else { ALL }, since);
    let messages = conn.each_row(wanted, listed).await.map_err(failed)?;
    let mut removed = Vec::new();
    if since.is_some() {
        for row in conn.query_all_raw(statement(REMOVED, since)).await.map_err(failed)? {
            let uid: i64 = row.try_get("", "uid").map_err(failed)?;
            let modseq = ModSeq(row.try_get("", "modseq").map_err(failed)?);
            removed.push((Uid(u32::try_from(uid).unwrap_or(0)), modseq));
        }
    }
    Ok(Listing { mailbox, forgotten, messages, removed })
}
