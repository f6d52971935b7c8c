//! Messages: new ones wait in memory and are inserted together; changes rewrite the rows they concern.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Uuid, sea_query::Expr};
use storage::{Appended, Error, FlagChange, Listed, Message, NewMessage, Placement, Result, Source};
use types::{AccountId, Flags, MailboxId, MessageId, ModSeq, Role, Timestamp, Uid, api::Delivery};

use super::bodies::{add_blobs, add_body, release};
use crate::{
    deferred::{self, Marked},
    entity::shard::{message, signature, thread_ref, tombstone},
    error::failed,
    open::Open,
    rows::{self, Spot},
    statement::{Conflict, Writes, among, insert, lists},
};

/// Keywords as they are stored, and as they are listed.
type Keywords = (String, Arc<[String]>);

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
    open.settled(account).await?;
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
    if let Some(modseq) = modseq {
        let marked = |spot: Spot| Marked {
            id: spot.id,
            mailbox_id: spot.mailbox_id,
            uid: spot.uid,
            flags: spot.flags,
            keywords: spot.keywords,
        };
        write_marks(open, account, modseq, changed.into_iter().map(marked).collect()).await?;
    }
    Ok(found.iter().map(rows::placement).collect())
}

pub(super) async fn change_listed(
    open: &mut Open,
    account: AccountId,
    mailbox: MailboxId,
    mut messages: Vec<Listed>,
    change: &FlagChange,
) -> Result<Vec<Listed>> {
    open.hold(account).await?;
    let mut keywords: HashMap<Arc<[String]>, Keywords> = HashMap::new();
    let (mut marked, mut modseq, mut unread) = (Vec::new(), None, 0);
    for message in &mut messages {
        let (stored, keywords) = keywords.entry(Arc::clone(&message.keywords)).or_insert_with_key(|before| {
            let stored =
                rows::stored_keywords(before.to_vec(), &change.add_keywords, &change.remove_keywords);
            let after = rows::keywords(&stored);
            (stored, if after == **before { Arc::clone(before) } else { after.into() })
        });
        let (before, flags) = (message.flags, message.flags.changed(change.add, change.remove));
        if flags == before && *keywords == message.keywords {
            continue;
        }
        let now = match modseq {
            Some(now) => now,
            None => *modseq.insert(open.advance(account.0)?),
        };
        unread += i64::from(flags.is_unread()) - i64::from(before.is_unread());
        (message.modseq, message.flags, message.keywords) = (ModSeq(now), flags, Arc::clone(keywords));
        marked.push(Marked {
            id: message.id.0,
            mailbox_id: mailbox.0,
            uid: message.uid.0.into(),
            flags: rows::stored_flags(flags),
            keywords: stored.clone(),
        });
    }
    if let Some(modseq) = modseq {
        open.change_mailbox(account.0, mailbox.0, modseq)?.unread += unread;
        open.forget_spots(account.0, marked.iter().map(|message| message.id));
        write_marks(open, account, modseq, marked).await?;
    }
    Ok(messages)
}

pub(super) async fn move_to(
    open: &mut Open,
    account: AccountId,
    ids: &[MessageId],
    to: MailboxId,
    now: Timestamp,
) -> Result<Vec<Message>> {
    open.settled(account).await?;
    place(open, account.0, Source::Mailbox(to))?;
    let found = in_order(open.read_message_rows(account, ids).await?);
    carry(open, account, found, |from| (from != to.0).then_some(to.0), now).await
}

pub(super) async fn renumber(
    open: &mut Open,
    account: AccountId,
    ids: &[MessageId],
    now: Timestamp,
) -> Result<Vec<Message>> {
    open.settled(account).await?;
    let found = in_order(open.read_message_rows(account, ids).await?);
    carry(open, account, found, Some, now).await
}

/// As they are in their mailboxes. Ids do not tell: they are by when a mail was received, and not by when it came here.
fn in_order(mut found: Vec<message::Model>) -> Vec<message::Model> {
    found.sort_unstable_by_key(|row| (row.mailbox_id, row.uid));
    found
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
        leave(open, account.0, row.mailbox_id, modseq, (rows::flags(row.flags), row.size_bytes))?;
        open.waiting.tombstones.push(tombstone(account.0, &Spot::from(&*row), modseq, false));
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
    open.settled(account).await?;
    let found = open.spots(account, ids).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let modseq = open.advance(account.0)?;
    for row in &found {
        let flags = rows::flags(row.flags);
        leave(open, account.0, row.mailbox_id, modseq, (flags, row.size_bytes))?;
    }
    count_out(open, account.0, found.iter().map(|row| (row.id, row.size_bytes)))?;
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
    take_out(open, account.0, &found, modseq);
    Ok(rows::count(i64::try_from(found.len()).unwrap_or(i64::MAX)))
}

pub(super) async fn expunge_listed(
    open: &mut Open,
    account: AccountId,
    mailbox: MailboxId,
    messages: &[Listed],
) -> Result<()> {
    open.hold(account).await?;
    if messages.is_empty() {
        return Ok(());
    }
    if !deferred::is_worth_it(open, messages.len()) {
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        return expunge(open, account, &ids).await.map(drop);
    }
    let modseq = open.advance(account.0)?;
    for message in messages {
        let size = rows::stored(message.size_bytes);
        leave(open, account.0, mailbox.0, modseq, (message.flags, size))?;
    }
    let gone = messages.iter().map(|message| (message.id.0, rows::stored(message.size_bytes)));
    count_out(open, account.0, gone)?;
    let uids = messages.iter().map(|message| message.uid.0.into()).collect();
    deferred::expunge(open, account.0, (modseq, mailbox.0), uids).await
}

/// Takes messages that go for good out of their account's counts.
fn count_out(open: &mut Open, account: i64, gone: impl Iterator<Item = (Uuid, i64)> + Clone) -> Result<()> {
    open.forget_spots(account, gone.clone().map(|(id, _)| id));
    for (id, size) in gone {
        let owner = open.account(account)?;
        owner.messages -= 1;
        owner.used_bytes -= size;
        open.known.insert((account, id), true);
    }
    Ok(())
}

/// Leaves tombstones of messages whose rows were removed for good, and their bodies to whoever else uses them.
pub(crate) fn take_out(open: &mut Open, account: i64, gone: &[Spot], modseq: i64) {
    open.waiting.tombstones.extend(gone.iter().map(|spot| tombstone(account, spot, modseq, true)));
    release(open, account, gone.iter().map(|spot| spot.body_id));
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
    open.settled(account).await?;
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

/// Takes a message with these flags and this size out of its mailbox's counts.
fn leave(
    open: &mut Open,
    account: i64,
    mailbox: i64,
    modseq: i64,
    (flags, size_bytes): (Flags, i64),
) -> Result<()> {
    let mailbox = open.change_mailbox(account, mailbox, modseq)?;
    mailbox.total -= 1;
    mailbox.unread -= i64::from(flags.is_unread());
    mailbox.size_bytes -= size_bytes;
    Ok(())
}

fn tombstone(account: i64, spot: &Spot, modseq: i64, expunged: bool) -> tombstone::Model {
    tombstone::Model {
        account_id: account,
        mailbox_id: spot.mailbox_id,
        uid: spot.uid,
        message_id: spot.id,
        modseq,
        expunged,
    }
}

/// Writes what was changed of flags, or has it written later. Most changes make all messages alike, and then nothing but
/// these columns is sent.
async fn write_marks(open: &mut Open, account: AccountId, modseq: i64, marked: Vec<Marked>) -> Result<()> {
    use message::Column::{AccountId, Flags, Id, Keywords, Modseq};
    if deferred::is_worth_it(open, marked.len()) {
        // Whoever asks for them next has their rows written first.
        open.forget_spots(account.0, marked.iter().map(|message| message.id));
        return deferred::mark(open, account.0, modseq, &marked).await;
    }
    open.settled(account).await?;
    let mut alike: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for message in &marked {
        alike.entry((message.flags, message.keywords.as_str())).or_default().push(message.id);
    }
    if alike.len() > MOST_KINDS {
        return write_each(open, account, modseq, &marked).await;
    }
    for ((flags, keywords), ids) in alike {
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
async fn write_each(open: &Open, account: AccountId, modseq: i64, marked: &[Marked]) -> Result<()> {
    let ids: Vec<_> = marked.iter().map(|message| MessageId(message.id)).collect();
    let marks: BTreeMap<_, _> = marked.iter().map(|message| (message.id, message)).collect();
    let mut rows = open.read_message_rows(account, &ids).await?;
    for row in &mut rows {
        let Some(mark) = marks.get(&row.id) else { continue };
        (row.flags, row.modseq) = (mark.flags, modseq);
        row.keywords.clone_from(&mark.keywords);
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
