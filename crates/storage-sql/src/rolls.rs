//! Listings of large mailboxes as they were at some modseq, kept so that the first who asks need not read a row for each
//! message: what has changed since is all that is read besides. Only speed; they go with their mailbox, and are never
//! copied with an account.

mod packed;

use std::{collections::HashMap, iter};

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Statement};
use storage::{AccountState, Keep, Listed, Mailbox, Result};
use types::{AccountId, MailboxId, ModSeq, Sequence, Uid, sequence::Iter};

use self::packed::Unreadable;
use crate::{
    connect::{Conn, Row, from_row},
    entity::shard::{roll, roll_part},
    error::failed,
    open::Open,
    rows,
    statement::{Conflict, insert},
};

from_row!(roll::Model { account_id, mailbox_id, uid_validity, uid_next, modseq });

/// UIDs of a part: sixty kilobytes, which are written again when a message of it changes or comes.
const PART: u32 = 2_048;
/// Fewer rows than this are read as fast as what is kept.
const WORTH: u64 = 1_000;
/// A listing is kept anew when this part of it has changed.
const CHANGED_SHARE: u64 = 8;
/// The same when this part of it has been added, which leaves most parts as they are.
const ADDED_SHARE: u64 = 64;
/// Fewer new messages than this are not worth a commit.
const FEW_ADDED: u64 = 256;
/// Parts that one statement writes: a megabyte.
const PARTS_AT_ONCE: usize = 16;

/// Whether the listing of a mailbox of this size is worth keeping.
pub(crate) fn is_worth_keeping(total: u64) -> bool {
    total >= WORTH
}

/// Whether so many messages have changed that the listing of a mailbox of this size should be kept anew.
pub(crate) fn is_outdated(changed: u64, total: u64) -> bool {
    changed >= WORTH.max(total / CHANGED_SHARE)
}

/// The same of messages that were added.
fn is_outgrown(added: u64, total: u64) -> bool {
    is_worth_keeping(total) && added >= FEW_ADDED.max(total / ADDED_SHARE)
}

/// What is kept of a mailbox.
pub(crate) enum Found {
    /// Nothing that is of use.
    Nothing,
    /// It is damaged, or another version of this program has written it.
    Unreadable,
    Kept(Kept),
}

pub(crate) struct Kept {
    /// The account's last change then.
    pub(crate) as_of: ModSeq,
    pub(crate) messages: Vec<Listed>,
}

/// What is kept of the mailbox, if it is of use: what changed in the account since then is less than the mailbox.
pub(crate) async fn find(conn: &Conn, mailbox: &Mailbox, state: &AccountState) -> Result<Found> {
    if !is_worth_keeping(mailbox.total) {
        return Ok(Found::Nothing);
    }
    let head =
        conn.one(&roll::Entity::find_by_id((mailbox.account.0, mailbox.id.0))).await.map_err(failed)?;
    let Some(head) = head.filter(|head| head.uid_validity == i64::from(mailbox.uid_validity.0)) else {
        return Ok(Found::Nothing);
    };
    let as_of = ModSeq(head.modseq);
    let since = rows::count(state.modseq.0.saturating_sub(as_of.0));
    if as_of < state.forgotten || (mailbox.modseq > as_of && since > mailbox.total) {
        return Ok(Found::Nothing);
    }
    let sql = "SELECT part, messages FROM roll_part WHERE account_id = $1 AND mailbox_id = $2 ORDER BY part";
    let values = [mailbox.account.0, mailbox.id.0].map(Into::into);
    let wanted = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let part = |row: &Row<'_>| Ok((row.get::<i64>(0)?, row.get::<Vec<u8>>(1)?));
    let parts = conn.each_row(wanted, usize::MAX, part).await.map_err(failed)?;
    let mut messages = Vec::with_capacity(usize::try_from(mailbox.total).unwrap_or_default());
    for (number, bytes) in parts {
        match packed::unpack(first_uid(number), &bytes, &mut messages) {
            Ok(()) => {}
            Err(Unreadable::OtherVersion) => return Ok(Found::Unreadable),
            Err(Unreadable::Damaged(error)) => {
                let (account, mailbox) = (mailbox.account, mailbox.id);
                tracing::warn!(%account, %mailbox, error, "a kept listing is damaged; it is kept anew");
                return Ok(Found::Unreadable);
            }
        }
    }
    Ok(Found::Kept(Kept { as_of, messages }))
}

/// The mailboxes to which so much was added that what is kept of them should be kept anew.
pub(crate) async fn outgrown(conn: &Conn, account: AccountId) -> Result<Vec<MailboxId>> {
    let sql = "SELECT m.id, m.total, m.uid_next - COALESCE(r.uid_next, 1) FROM mailbox AS m \
         LEFT JOIN roll AS r ON r.account_id = m.account_id AND r.mailbox_id = m.id \
         AND r.uid_validity = m.uid_validity WHERE m.account_id = $1 AND m.deleted = FALSE";
    let wanted = Statement::from_sql_and_values(conn.get_database_backend(), sql, [account.0.into()]);
    let one = |row: &Row<'_>| Ok((MailboxId(row.get(0)?), row.get::<i64>(1)?, row.get::<i64>(2)?));
    let mut found = conn.each_row(wanted, 1, one).await.map_err(failed)?;
    found.retain(|(_, total, more)| {
        // Those that have left again are not read.
        let total = rows::count(*total);
        is_outgrown(rows::count(*more).min(total), total)
    });
    Ok(found.into_iter().map(|(id, ..)| id).collect())
}

/// Keeps a mailbox's listing. Nothing happens if the mailbox has gone, or a later one is kept.
pub(crate) async fn keep(
    open: &mut Open,
    mailbox: &Mailbox,
    messages: &Sequence<Listed>,
    as_of: ModSeq,
    how: Keep,
) -> Result<()> {
    let (account_id, mailbox_id) = (mailbox.account.0, mailbox.id.0);
    open.hold(mailbox.account).await?;
    let validity = i64::from(mailbox.uid_validity.0);
    if open.mailbox(account_id, mailbox_id).is_none_or(|row| row.uid_validity != validity) {
        return Ok(());
    }
    let forgotten = open.account(account_id)?.forgotten_modseq;
    let conn = &open.conn;
    let wanted = roll::Entity::find_by_id((account_id, mailbox_id));
    let head = conn.one(&wanted).await.map_err(failed)?;
    let mut there = HashMap::new();
    match head {
        // Before what is forgotten there may have been another history.
        Some(head) if head.uid_validity == validity && head.modseq >= forgotten && how == Keep::Changes => {
            if head.modseq >= as_of.0 {
                return Ok(());
            }
            there = marks(conn, account_id, mailbox_id).await?;
        }
        Some(_) => remove(conn, account_id, mailbox_id).await?,
        None => {}
    }
    let mut changed = Vec::new();
    for (number, part) in parts(messages) {
        let mark = Mark::of(part.clone());
        if there.remove(&number) == Some(mark) {
            continue;
        }
        let part: Vec<_> = part.cloned().collect();
        changed.push(roll_part::Model {
            account_id,
            mailbox_id,
            part: number,
            total: mark.total,
            newest: mark.newest,
            messages: packed::pack(first_uid(number), &part),
        });
        if changed.len() == PARTS_AT_ONCE {
            write_parts(conn, std::mem::take(&mut changed)).await?;
        }
    }
    write_parts(conn, changed).await?;
    if !there.is_empty() {
        conn.change(
            &of_mailbox(account_id, mailbox_id).filter(roll_part::Column::Part.is_in(there.into_keys())),
        )
        .await
        .map_err(failed)?;
    }
    let head = roll::Model {
        account_id,
        mailbox_id,
        uid_validity: validity,
        uid_next: i64::from(mailbox.uid_next.0),
        modseq: as_of.0,
    };
    use roll::Column::{Modseq, UidNext, UidValidity};
    insert::<roll::Entity>(conn, vec![head], Conflict::Replaces(&[UidValidity, UidNext, Modseq])).await?;
    open.wrote();
    Ok(())
}

async fn write_parts(conn: &Conn, parts: Vec<roll_part::Model>) -> Result<()> {
    use roll_part::Column::{Messages, Newest, Total};
    insert::<roll_part::Entity>(conn, parts, Conflict::Replaces(&[Total, Newest, Messages])).await
}

/// The messages of each part, with its number.
fn parts(messages: &Sequence<Listed>) -> impl Iterator<Item = (i64, Iter<'_, Listed>)> {
    let mut next = 0;
    iter::from_fn(move || {
        let number = messages.get(next)?.uid.0 / PART;
        let after = (number + 1).checked_mul(PART);
        let part = next..after.map_or(messages.len(), |first| messages.below(Uid(first)));
        next = part.end;
        Some((i64::from(number), messages.range(part)))
    })
}

/// Removes what is kept of a mailbox.
pub(crate) async fn remove(conn: &Conn, account: i64, mailbox: i64) -> Result<()> {
    let kept = conn
        .change(
            &roll::Entity::delete_many()
                .filter(roll::Column::AccountId.eq(account))
                .filter(roll::Column::MailboxId.eq(mailbox)),
        )
        .await
        .map_err(failed)?;
    if kept > 0 {
        conn.change(&of_mailbox(account, mailbox)).await.map_err(failed)?;
    }
    Ok(())
}

fn of_mailbox(account: i64, mailbox: i64) -> sea_orm::DeleteMany<roll_part::Entity> {
    roll_part::Entity::delete_many()
        .filter(roll_part::Column::AccountId.eq(account))
        .filter(roll_part::Column::MailboxId.eq(mailbox))
}

/// Tells a part from what it was before: UIDs never come back, and what changes gets a higher modseq.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    total: i64,
    newest: i64,
}

impl Mark {
    fn of(part: Iter<'_, Listed>) -> Self {
        let newest = part.clone().map(|message| message.modseq.0).max().unwrap_or_default();
        Self { total: i64::try_from(part.len()).unwrap_or(i64::MAX), newest }
    }
}

async fn marks(conn: &Conn, account: i64, mailbox: i64) -> Result<HashMap<i64, Mark>> {
    let sql = "SELECT part, total, newest FROM roll_part WHERE account_id = $1 AND mailbox_id = $2";
    let values = [account, mailbox].map(Into::into);
    let wanted = Statement::from_sql_and_values(conn.get_database_backend(), sql, values);
    let one = |row: &Row<'_>| Ok((row.get(0)?, Mark { total: row.get(1)?, newest: row.get(2)? }));
    Ok(conn.each_row(wanted, 1, one).await.map_err(failed)?.into_iter().collect())
}

/// The first UID that the part could have.
fn first_uid(part: i64) -> u32 {
    u32::try_from(part).unwrap_or_default().saturating_mul(PART)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_in_a_part() {
        let listed = |uid: u32| packed::listed(uid, 1, &[], None);
        let messages = Sequence::from([1, 2_047, 2_048, u32::MAX - 1, u32::MAX].map(listed).to_vec());
        let uids =
            |(number, part): (_, Iter<'_, Listed>)| (number, part.map(|message| message.uid.0).collect());
        let all: Vec<(_, Vec<_>)> = parts(&messages).map(uids).collect();
        assert_eq!(all, [(0, vec![1, 2_047]), (1, vec![2_048]), (2_097_151, vec![u32::MAX - 1, u32::MAX])]);
    }
}
