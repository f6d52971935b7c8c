//! The change log: what happened after a modseq, read from the indexes by modseq.

use sea_orm::{ConnectionTrait, DbErr, Statement};
use storage::{Changes, Removed, Result};
use types::{AccountId, MailboxId, MessageId, ModSeq, Uid};

use crate::{
    connect::{Conn, FromRow as _, Row},
    entity::shard::{mailbox, message, tombstone},
    error::failed,
    rows,
};

/// Finds the last modseq of which everything fits, and everything up to it, by one statement.
pub(super) async fn changes(conn: &Conn, account: AccountId, since: ModSeq, limit: u32) -> Result<Changes> {
    let skip = i64::from(limit.max(1)) - 1;
    let values = [account.0.into(), since.0.into(), skip.into()];
    let statement = Statement::from_sql_and_values(conn.get_database_backend(), sql(), values);
    let mut end: Option<(i64, i64)> = None;
    let (mut messages, mut removed, mut mailboxes) = (Vec::new(), Vec::new(), Vec::new());
    // There are few, unless somebody has been away for long.
    for line in conn.each_row(statement, 1, take).await.map_err(failed)? {
        let (Some(upto), Some(latest)) = (line.upto, line.latest) else { continue };
        end = Some((upto, latest));
        match line.change {
            Some(Change::Message(row)) => messages.push(*row),
            Some(Change::Removed(row)) => removed.push(row),
            Some(Change::Mailbox(row)) => mailboxes.push(row),
            None => {}
        }
    }
    // What happened by one change is in the same order on every back end.
    messages.sort_unstable_by_key(|row| (row.modseq, row.id));
    removed.sort_unstable_by_key(|row| (row.modseq, row.message_id, row.mailbox_id));
    mailboxes.sort_unstable_by_key(|row| (row.modseq, row.id));
    let (upto, latest) = end.unwrap_or((since.0, since.0));
    Ok(Changes {
        upto: ModSeq(upto),
        more: upto < latest,
        messages: messages.into_iter().map(rows::message).collect::<Result<_>>()?,
        removed: removed.iter().map(view).collect(),
        mailboxes: mailboxes.iter().filter(|row| !row.deleted).map(rows::mailbox).collect(),
        removed_mailboxes: mailboxes.iter().filter(|row| row.deleted).map(|row| MailboxId(row.id)).collect(),
    })
}

/// Where the piece ends and where the log does, and what the row tells.
struct Line {
    upto: Option<i64>,
    latest: Option<i64>,
    change: Option<Change>,
}

enum Change {
    Message(Box<message::Model>),
    Removed(tombstone::Model),
    Mailbox(mailbox::Model),
}

fn take(row: &Row<'_>) -> Result<Line, DbErr> {
    // Behind both ends are the columns of the three tables; the first is the account of what is there.
    let mut first = 2;
    let mut place = |columns: &[&str]| {
        let place = first;
        first += columns.len();
        row.get::<Option<i64>>(place).map(|account| account.map(|_| place))
    };
    let message = place(message::Model::COLUMNS)?;
    let removed = place(tombstone::Model::COLUMNS)?;
    let mailbox = place(mailbox::Model::COLUMNS)?;
    let change = match (message, removed, mailbox) {
        (Some(at), ..) => Some(Change::Message(Box::new(message::Model::from_row(row, at)?))),
        (None, Some(at), _) => Some(Change::Removed(tombstone::Model::from_row(row, at)?)),
        (None, None, Some(at)) => Some(Change::Mailbox(mailbox::Model::from_row(row, at)?)),
        (None, None, None) => None,
    };
    Ok(Line { upto: row.get(0)?, latest: row.get(1)?, change })
}

/// Every row is a message, a tombstone or a mailbox; the columns of the other two are NULL, from joins that find nothing.
/// There is a row even if there is none of them, for the end of the piece.
fn sql() -> String {
    let columns = [
        "piece.upto".to_owned(),
        "piece.latest".to_owned(),
        message::Model::columns("m"),
        tombstone::Model::columns("t"),
        mailbox::Model::columns("b"),
    ];
    let columns = columns.join(", ");
    let full = |table: &str| {
        format!(
            "SELECT * FROM (SELECT modseq FROM {table} WHERE account_id = $1 AND modseq > $2 \
             ORDER BY modseq LIMIT 1 OFFSET $3) AS {table}_full"
        )
    };
    let part = |[one, second, third]: [&str; 3]| {
        // Not `FALSE`: SQLite would walk through the account's whole table to apply that to each row.
        let none = |table: &str| {
            let (_, alias) = table.split_once(' ').unwrap_or_default();
            format!("LEFT JOIN {table} ON {alias}.account_id = NULL")
        };
        let (_, alias) = one.split_once(' ').unwrap_or_default();
        format!(
            "SELECT {columns} FROM piece LEFT JOIN {one} ON {alias}.account_id = $1 \
             AND {alias}.modseq > $2 AND {alias}.modseq <= piece.upto {} {}",
            none(second),
            none(third)
        )
    };
    format!(
        "WITH piece AS (SELECT MIN(modseq) AS upto, MAX(modseq) AS latest FROM \
         (SELECT modseq FROM account WHERE account_id = $1 AND modseq > $2 \
         UNION ALL {} UNION ALL {}) AS ends) {} UNION ALL {} UNION ALL {}",
        full("message"),
        full("tombstone"),
        part(["message m", "tombstone t", "mailbox b"]),
        part(["tombstone t", "message m", "mailbox b"]),
        part(["mailbox b", "message m", "tombstone t"]),
    )
}

fn view(row: &tombstone::Model) -> Removed {
    Removed {
        id: MessageId(row.message_id),
        mailbox: MailboxId(row.mailbox_id),
        uid: Uid(u32::try_from(row.uid).unwrap_or(0)),
        modseq: ModSeq(row.modseq),
        expunged: row.expunged,
    }
}
