//! Changes of many messages that are written to their rows later: what a mail program does to a thousand messages at once
//! is one small row of the table `deferred`, durable like everything, and what their rows lack is written when
//! somebody is going to use them, or soon. What is changed again meanwhile is written once.
//!
//! Accounts and mailboxes (their counts and modseqs) are always as they should be. Rows of messages and tombstones are not
//! while their account *owes* something.
//!
//! **Invariant:** nobody uses rows of messages or tombstones of an account that owes, but for what never changes (bodies
//! and what was made of them, which leave with their row). Who writes has it written first, in the same transaction
//! ([`Open::settled`]); who reads has the shard's writer do so, and looks anew. So who reads what was just changed needs room
//! on the disk as who writes does.
//!
//! Only on SQLite, where a row with its indexes is dear to write and asking whether an account owes is next to free. On
//! PostgreSQL each reader's question would be a round trip, and nothing is ever deferred.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use async_trait::async_trait;
use sea_orm::{ColumnTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect, Statement, prelude::Uuid};
use serde::{Deserialize, Serialize};
use storage::{ErasedUnit, Error, Needs, Result, Transaction};
use types::AccountId;

use crate::{
    connect::{Conn, FromRow as _, Row, from_row},
    entity::shard::deferred,
    error::failed,
    open::Open,
    rows::Spot,
    statement::{Conflict, among, insert, lists},
    write::messages::take_out,
};

from_row!(deferred::Model { account_id, modseq, mailbox_id, messages, change });

/// An account that owes more messages than this has them written first: whoever comes next must not wait long.
const MOST_OWED: usize = 4_096;

/// A message whose flags or keywords have changed, as they are now.
#[derive(Debug, Clone)]
pub(crate) struct Marked {
    pub(crate) id: Uuid,
    pub(crate) mailbox_id: i64,
    pub(crate) uid: i64,
    pub(crate) flags: i32,
    pub(crate) keywords: String,
}

/// What a change did to messages of a mailbox.
#[derive(Debug, Serialize, Deserialize)]
enum Change {
    Marked(Vec<Kind>),
    Expunged(Vec<(i64, i64)>),
}

/// UIDs, as the first and the last of each run, of messages that have these flags and keywords since.
#[derive(Debug, Serialize, Deserialize)]
struct Kind {
    flags: i32,
    keywords: String,
    uids: Vec<(i64, i64)>,
}

/// Whether a change of so many messages is one that is written later.
pub(crate) const fn is_worth_it(open: &Open, messages: usize) -> bool {
    messages >= open.defer_from
}

/// Notes what messages are like since the modseq; each of them is once among them.
pub(crate) async fn mark(open: &mut Open, account: i64, modseq: i64, marked: &[Marked]) -> Result<()> {
    let mut mailboxes: BTreeMap<i64, BTreeMap<(i32, &str), Vec<i64>>> = BTreeMap::new();
    for message in marked {
        let kinds = mailboxes.entry(message.mailbox_id).or_default();
        kinds.entry((message.flags, &message.keywords)).or_default().push(message.uid);
    }
    for (mailbox, kinds) in mailboxes {
        let messages = kinds.values().map(Vec::len).sum();
        let kind = |((flags, keywords), uids): ((i32, &str), Vec<i64>)| Kind {
            flags,
            keywords: keywords.to_owned(),
            uids: runs(uids),
        };
        let change = Change::Marked(kinds.into_iter().map(kind).collect());
        defer(open, account, (modseq, mailbox), messages, &change).await?;
    }
    Ok(())
}

/// Notes that the messages with these UIDs have gone for good with this modseq.
pub(crate) async fn expunge(
    open: &mut Open,
    account: i64,
    (modseq, mailbox): (i64, i64),
    uids: Vec<i64>,
) -> Result<()> {
    let messages = uids.len();
    defer(open, account, (modseq, mailbox), messages, &Change::Expunged(runs(uids))).await
}

async fn defer(
    open: &mut Open,
    account: i64,
    (modseq, mailbox): (i64, i64),
    messages: usize,
    change: &Change,
) -> Result<()> {
    if open.owed(account).saturating_add(messages) > MOST_OWED {
        settle(open, account).await?;
    }
    let row = deferred::Model {
        account_id: account,
        modseq,
        mailbox_id: mailbox,
        messages: i64::try_from(messages).unwrap_or(i64::MAX),
        change: serde_json::to_string(change).map_err(|error| Error::Backend(error.into()))?,
    };
    insert::<deferred::Entity>(&open.conn, vec![row], Conflict::Fails).await?;
    open.owes(account, messages);
    Ok(())
}

/// Whether the account owes something.
pub(crate) async fn is_owed(conn: &Conn, account: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM deferred WHERE account_id = ? LIMIT 1";
    let wanted = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [account.into()]);
    Ok(!conn.each_row(wanted, 1, |_| Ok(())).await.map_err(failed)?.is_empty())
}

/// The next account after this one that owes something.
pub(crate) async fn owing(conn: &Conn, after: Option<i64>) -> Result<Option<i64>> {
    let sql = "SELECT account_id FROM deferred WHERE account_id > ? ORDER BY account_id LIMIT 1";
    let values = [after.unwrap_or(i64::MIN).into()];
    let wanted = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
    Ok(conn.each_row(wanted, 1, |row| row.get(0)).await.map_err(failed)?.pop())
}

/// Writes what those of these accounts owe that owe something.
pub(crate) async fn settle_all(open: &mut Open, accounts: &[i64]) -> Result<()> {
    let mut owing: Vec<i64> = Vec::new();
    for list in lists(&open.conn, accounts) {
        let found = deferred::Entity::find()
            .select_only()
            .column(deferred::Column::AccountId)
            .distinct()
            .filter(among(&open.conn, deferred::Column::AccountId, list));
        owing.extend(open.conn.column::<i64>(&found, 1).await.map_err(failed)?);
    }
    open.load(owing.clone()).await?;
    for account in owing {
        settle(open, account).await?;
    }
    Ok(())
}

/// Writes to the rows of messages what the account owes; nothing that anybody is told of. The account is held.
pub(crate) async fn settle(open: &mut Open, account: i64) -> Result<()> {
    // What was changed may wait to be inserted.
    open.flush().await?;
    let of_account = deferred::Entity::find().filter(deferred::Column::AccountId.eq(account));
    let mut changes = open.conn.all(&of_account, 1).await.map_err(failed)?;
    changes.sort_unstable_by_key(|row| (row.modseq, row.mailbox_id));
    let (mut marks, mut gone) = (BTreeMap::new(), Vec::new());
    for deferred::Model { modseq, mailbox_id, change, .. } in changes {
        let change = serde_json::from_str(&change)
            .map_err(|error| Error::Corrupt(format!("a deferred change of account {account}: {error}")))?;
        match change {
            Change::Marked(kinds) => {
                for Kind { flags, keywords, uids } in kinds {
                    let mark = Mark { flags, keywords: keywords.into(), modseq };
                    let uids = uids.into_iter().flat_map(|(first, last)| first..=last);
                    marks.extend(uids.map(|uid| ((mailbox_id, uid), mark.clone())));
                }
            }
            Change::Expunged(uids) => {
                for (first, last) in uids {
                    let keys = (mailbox_id, first)..=(mailbox_id, last);
                    marks.extract_if(keys, |_, _| true).for_each(drop);
                    gone.push((mailbox_id, first..=last, modseq));
                }
            }
        }
    }
    write_marks(&open.conn, account, marks).await?;
    for (mailbox, uids, modseq) in gone {
        remove(open, account, mailbox, &uids, modseq).await?;
    }
    open.flush().await?;
    let settled = deferred::Entity::delete_many().filter(deferred::Column::AccountId.eq(account));
    open.conn.change(&settled).await.map_err(failed)?;
    open.owes_nothing(account);
    Ok(())
}

/// What a message is like since a modseq.
#[derive(Debug, Clone, PartialEq)]
struct Mark {
    flags: i32,
    keywords: Arc<str>,
    modseq: i64,
}

/// Neighbours that have become alike are written by one statement.
async fn write_marks(conn: &Conn, account: i64, marks: BTreeMap<(i64, i64), Mark>) -> Result<()> {
    let marks: Vec<_> = marks.into_iter().collect();
    for run in marks.chunk_by(|((box_a, a), before), ((box_b, b), after)| {
        box_a == box_b && a + 1 == *b && before == after
    }) {
        let (Some(((mailbox, first), mark)), Some(((_, last), _))) = (run.first(), run.last()) else {
            continue;
        };
        let sql = "UPDATE message SET flags = ?, keywords = ?, modseq = ? \
             WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?";
        let values = [
            mark.flags.into(),
            mark.keywords.as_ref().into(),
            mark.modseq.into(),
            account.into(),
            (*mailbox).into(),
            (*first).into(),
            (*last).into(),
        ];
        let update = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
        let written = conn.execute(update).await.map_err(failed)?;
        if written != run.len() as u64 {
            // Nothing can be done about it, and nobody should be kept from the others.
            tracing::error!(
                account,
                mailbox,
                first,
                last,
                written,
                "messages whose flags have changed are not there"
            );
        }
    }
    Ok(())
}

async fn remove(
    open: &mut Open,
    account: i64,
    mailbox: i64,
    uids: &RangeInclusive<i64>,
    modseq: i64,
) -> Result<()> {
    let values = || [account.into(), mailbox.into(), (*uids.start()).into(), (*uids.end()).into()];
    let of_these = "FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?";
    let sql = format!("SELECT {} {of_these}", Spot::columns("message"));
    let wanted = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values());
    let spots =
        open.conn.each_row(wanted, 1, |row: &Row<'_>| Spot::from_row(row, 0)).await.map_err(failed)?;
    let all = Statement::from_sql_and_values(DbBackend::Sqlite, format!("DELETE {of_these}"), values());
    open.conn.execute(all).await.map_err(failed)?;
    take_out(open, account, &spots, modseq);
    Ok(())
}

/// Numbers, each once, as the first and the last of each run.
fn runs(mut numbers: Vec<i64>) -> Vec<(i64, i64)> {
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    runs.filter_map(|run| Some((*run.first()?, *run.last()?))).collect()
}

/// Has what an account owes written, for somebody who is going to read it.
pub(crate) struct Settle(pub(crate) AccountId);

#[async_trait]
impl ErasedUnit for Settle {
    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.placements(self.0, &[]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_runs() {
        assert_eq!(runs(vec![7, 1, 2, 3, 9, 8, 20]), [(1, 3), (7, 9), (20, 20)]);
        assert!(runs(Vec::new()).is_empty());
    }
}
