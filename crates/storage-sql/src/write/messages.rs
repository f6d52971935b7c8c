//! Messages: new ones wait in memory and are inserted together; changes rewrite the rows they concern.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Uuid, sea_query::Expr};
use storage::{Appended, Error, FlagChange, Message, NewMessage, Placement, Result, Source};
use types::{AccountId, MailboxId, MessageId, ModSeq, Role, Timestamp, Uid, api::Delivery};

use super::bodies::{add_blobs, add_body, release};
use crate::{
    entity::shard::{message, signature, thread_ref, tombstone},
    error::failed,
    open::Open,
    rows::{self, Spot},
    statement::{Conflict, Writes, among, insert, lists},
};

/// More kinds of changes than this are written row by row.
const MOST_KINDS: usize = 4;

pub(super) async fn append(open: &mut Open, mut new: NewMessage) -> Result<Appended> {
    let (account, key) = (new.account.0, (new.account.0, new.id.0));
    open.hold(new.account).await?;
    open.look_up(&[(new.account, new.id)], &[]).await?;
    if open.known.get(&key).copied().unwrap_or_default() {
        return Ok(Appended::Duplicate);
    }
    let mailbox_id = place(open, account, new.mailbox)?;
    let modseq = open.advance(account)?;
    let size = rows::stored(new.body.size_bytes);
    let row = open.change_mailbox(account, mailbox_id, modseq)?;
    let uid = row.uid_next;
    row.uid_next += 1;
    row.total += 1;
    row.unread += i64::from(new.flags.is_unread());
    row.size_bytes += size;
    let owner = open.account(account)?;
    owner.messages += 1;
    owner.used_bytes += size;
    open.known.insert(key, true);
    for hash in &new.refs {
        match open.threads.get_mut(&(account, *hash)) {
            Some(Some(_)) => continue,
            Some(none) => *none = Some(new.thread.0),
            // Not looked up: the database may know another thread for it, which then stays.
            None => {}
        }
        open.waiting.refs.push(thread_ref::Model {
            account_id: account,
            ref_hash: *hash,
            thread_id: new.thread.0,
            modseq,
        });
    }
    add_blobs(open, account, &new.body);
    if !new.signature.is_empty() {
        let bits = std::mem::take(&mut new.signature);
        open.waiting.body_bytes += bits.len();
        open.waiting.signatures.push(signature::Model { account_id: account, body_id: new.body.id.0, bits });
    }
    let (row, body) = rows::new_message(new, &rows::Place { mailbox: mailbox_id, uid, modseq })?;
    add_body(open, body);
    open.waiting.messages.push(row);
    open.flush_if_much().await?;
    let uid = Uid(u32::try_from(uid).map_err(|_| Error::Corrupt("the mailbox has no UIDs left".to_owned()))?);
    Ok(Appended::New { mailbox: MailboxId(mailbox_id), uid, modseq: ModSeq(modseq) })
}

/// The mailbox that is meant.
pub(super) fn place(open: &Open, account: i64, source: Source) -> Result<i64> {
    let role = |role: Role| {
        let stored = Some(rows::stored_role(role));
        let mut all = open.accounts.get(&account)?.mailboxes.values();
        all.find(|row| !row.deleted && row.role == stored).map(|row| row.id)
    };
    match source {
        Source::Mailbox(id) => open.mailbox(account, id.0).map(|row| row.id),
        Source::Role(wanted) => role(wanted).or_else(|| role(Role::Inbox)),
    }
    .ok_or_else(|| Error::Backend(format!("account {account} has no such mailbox").into()))
}

pub(super) async fn change_flags(
    open: &mut Open,
    account: AccountId,
    ids: &[MessageId],
    change: &FlagChange,
) -> Result<Vec<Placement>> {
    open.hold(account).await?;
    open.flush().await?;
    let mut found = open.spots(account, ids).await?;
    let mut changed = Vec::new();
    let mut modseq = None;
    for row in &mut found {
        let before = rows::flags(row.flags);
        let flags = before.changed(change.add, change.remove);
        let (add, remove) = (&change.add_keywords, &change.remove_keywords);
        let keywords = rows::stored_keywords(rows::keywords(&row.keywords), add, remove);
        if flags == before && keywords == row.keywords {
            continue;
        }
        let now = match modseq {
            Some(now) => now,
            None => *modseq.insert(open.advance(account.0)?),
        };
        let mailbox = open.change_mailbox(account.0, row.mailbox_id, now)?;
        mailbox.unread += i64::from(flags.is_unread()) - i64::from(before.is_unread());
        row.flags = rows::stored_flags(flags);
        row.keywords = keywords;
        row.modseq = now;
        changed.push(row.clone());
    }
    open.remember(account.0, &changed);
    rewrite_flags(open, account, changed).await?;
    Ok(found.iter().map(rows::placement).collect())
}

pub(super) async fn move_to(
    open: &mut Open,
    account: AccountId,
    ids: &[MessageId],
    to: MailboxId,
    now: Timestamp,
) -> Result<Vec<Message>> {
    open.hold(account).await?;
    open.flush().await?;
    place(open, account.0, Source::Mailbox(to))?;
    let found = open.read_message_rows(account, ids).await?;
    carry(open, account, found, |from| (from != to.0).then_some(to.0), now).await
}

pub(super) async fn renumber(
    open: &mut Open,
    account: AccountId,
    ids: &[MessageId],
    now: Timestamp,
) -> Result<Vec<Message>> {
    open.hold(account).await?;
    open.flush().await?;
    let mut found = open.read_message_rows(account, ids).await?;
    found.sort_unstable_by_key(|row| (row.mailbox_id, row.uid));
    carry(open, account, found, Some, now).await
}

/// Moves messages to the end of the mailbox that is said of the one where they are; `None`: they stay.
async fn carry(
    open: &mut Open,
    account: AccountId,
    mut found: Vec<message::Model>,
    to: impl Fn(i64) -> Option<i64>,
    now: Timestamp,
) -> Result<Vec<Message>> {
    let mut changed = Vec::new();
    let mut modseq = None;
    for row in &mut found {
        let Some(to) = to(row.mailbox_id) else { continue };
        let modseq = match modseq {
            Some(modseq) => modseq,
            None => *modseq.insert(open.advance(account.0)?),
        };
        leave(open, account.0, &Spot::from(&*row), modseq, false)?;
        let target = open.change_mailbox(account.0, to, modseq)?;
        row.mailbox_id = to;
        row.uid = target.uid_next;
        row.modseq = modseq;
        row.saved_at = Some(now.millis());
        target.uid_next += 1;
        target.total += 1;
        target.unread += i64::from(rows::flags(row.flags).is_unread());
        target.size_bytes += row.size_bytes;
        changed.push(row.clone());
    }
    open.remember(account.0, &changed.iter().map(Spot::from).collect::<Vec<_>>());
    use message::Column::{MailboxId, Modseq, SavedAt, Uid};
    rewrite(open, changed, [MailboxId, Uid, Modseq, SavedAt]).await?;
    found.into_iter().map(rows::message).collect()
}

pub(super) async fn expunge(open: &mut Open, account: AccountId, ids: &[MessageId]) -> Result<u64> {
    open.hold(account).await?;
    open.flush().await?;
    let found = open.spots(account, ids).await?;
    if found.is_empty() {
        return Ok(0);
    }
    open.forget_spots(account.0, &found);
    let modseq = open.advance(account.0)?;
    for row in &found {
        leave(open, account.0, row, modseq, true)?;
        let owner = open.account(account.0)?;
        owner.messages -= 1;
        owner.used_bytes -= row.size_bytes;
        open.known.insert((account.0, row.id), true);
    }
    let ids: Vec<_> = found.iter().map(|row| row.id).collect();
    for list in lists(&open.conn, &ids) {
        open.conn
            .change(
                &message::Entity::delete_many()
                    .filter(message::Column::AccountId.eq(account.0))
                    .filter(among(&open.conn, message::Column::Id, list)),
            )
            .await
            .map_err(failed)?;
    }
    release(open, account.0, found.iter().map(|row| row.body_id));
    Ok(rows::count(i64::try_from(found.len()).unwrap_or(i64::MAX)))
}

pub(super) async fn delivery(
    open: &mut Open,
    account: AccountId,
    id: MessageId,
) -> Result<Option<Vec<Delivery>>> {
    open.hold(account).await?;
    let spot = open.spots(account, &[id]).await?.pop();
    spot.map(|spot| rows::delivery(spot.id, spot.delivery.as_deref())).transpose()
}

pub(super) async fn set_delivery(
    open: &mut Open,
    account: AccountId,
    id: MessageId,
    delivery: &[Delivery],
) -> Result<()> {
    open.hold(account).await?;
    let delivery = rows::stored_delivery(delivery)?;
    let Some(mut spot) = open.spots(account, &[id]).await?.pop() else { return Ok(()) };
    if spot.delivery == delivery {
        return Ok(());
    }
    spot.delivery = delivery;
    spot.modseq = open.advance(account.0)?;
    open.change_mailbox(account.0, spot.mailbox_id, spot.modseq)?;
    open.remember(account.0, std::slice::from_ref(&spot));
    open.waiting.deliveries.insert((account.0, spot.id), (spot.delivery, spot.modseq));
    open.flush_if_much().await
}

/// What waits of [`set_delivery`]; by many values one statement.
pub(crate) fn write_deliveries(
    writes: &mut Writes<'_>,
    deliveries: BTreeMap<(i64, Uuid), (Option<String>, i64)>,
) {
    let told = deliveries.into_iter().map(|((account, id), (delivery, modseq))| {
        [account.into(), id.into(), delivery.into(), modseq.into()]
    });
    writes.update(
        "UPDATE message SET delivery = new.c, modseq = new.d",
        "message.account_id = new.a AND message.id = new.b",
        [false, false, true, false],
        told.collect(),
    );
}

pub(super) async fn sign(
    open: &mut Open,
    account: AccountId,
    signatures: &[(MessageId, Vec<u8>)],
) -> Result<()> {
    open.hold(account).await?;
    open.flush().await?;
    open.wrote();
    let ids: Vec<_> = signatures.iter().map(|(id, _)| *id).collect();
    let bits: BTreeMap<_, _> = signatures.iter().map(|(id, bits)| (id.0, bits)).collect();
    let found = open.spots(account, &ids).await?;
    // Copies of a message have one body.
    let mut rows: Vec<_> = found
        .iter()
        .filter_map(|row| Some((row.body_id, (*bits.get(&row.id)?).clone())))
        .map(|(body_id, bits)| signature::Model { account_id: account.0, body_id, bits })
        .collect();
    rows.sort_unstable_by_key(|row| row.body_id);
    rows.dedup_by_key(|row| row.body_id);
    insert::<signature::Entity>(&open.conn, rows, Conflict::Replaces(&[signature::Column::Bits])).await
}

/// Takes a message out of its mailbox's counts and leaves a tombstone.
fn leave(open: &mut Open, account: i64, row: &Spot, modseq: i64, expunged: bool) -> Result<()> {
    let mailbox = open.change_mailbox(account, row.mailbox_id, modseq)?;
    mailbox.total -= 1;
    mailbox.unread -= i64::from(rows::flags(row.flags).is_unread());
    mailbox.size_bytes -= row.size_bytes;
    open.waiting.tombstones.push(tombstone::Model {
        account_id: account,
        mailbox_id: row.mailbox_id,
        uid: row.uid,
        message_id: row.id,
        modseq,
        expunged,
    });
    Ok(())
}

/// Writes what was changed of flags. Most changes make all messages alike, and then nothing but these columns is sent.
async fn rewrite_flags(open: &Open, account: AccountId, changed: Vec<Spot>) -> Result<()> {
    use message::Column::{AccountId, Flags, Id, Keywords, Modseq};
    let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &changed {
        alike.entry((row.flags, row.modseq, row.keywords.as_str())).or_default().push(row.id);
    }
    if alike.len() > MOST_KINDS {
        return rewrite_each(open, account, &changed).await;
    }
    for ((flags, modseq, keywords), ids) in alike {
        for list in lists(&open.conn, &ids) {
            open.conn
                .change(
                    &message::Entity::update_many()
                        .col_expr(Flags, Expr::value(flags))
                        .col_expr(Keywords, Expr::value(keywords))
                        .col_expr(Modseq, Expr::value(modseq))
                        .filter(AccountId.eq(account.0))
                        .filter(among(&open.conn, Id, list)),
                )
                .await
                .map_err(failed)?;
        }
    }
    Ok(())
}

/// The same of many kinds, by whole rows.
async fn rewrite_each(open: &Open, account: AccountId, changed: &[Spot]) -> Result<()> {
    let ids: Vec<_> = changed.iter().map(|spot| MessageId(spot.id)).collect();
    let spots: BTreeMap<_, _> = changed.iter().map(|spot| (spot.id, spot)).collect();
    let mut rows = open.read_message_rows(account, &ids).await?;
    for row in &mut rows {
        let Some(spot) = spots.get(&row.id) else { continue };
        (row.flags, row.modseq) = (spot.flags, spot.modseq);
        row.keywords.clone_from(&spot.keywords);
    }
    use message::Column::{Flags, Keywords, Modseq};
    rewrite(open, rows, [Flags, Keywords, Modseq]).await
}

/// Writes these columns of rows that are there. Many different values are one statement this way.
async fn rewrite<const N: usize>(
    open: &Open,
    changed: Vec<message::Model>,
    columns: [message::Column; N],
) -> Result<()> {
    insert::<message::Entity>(&open.conn, changed, Conflict::Replaces(&columns)).await
}
