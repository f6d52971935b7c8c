//! The queue: leases, outcomes, and what operators do.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use storage::{Lease, NewQueueEntry, QueueBody, QueueEntry, RecipientUpdate, Result};
use types::{AccountId, QueueId, Timestamp};

use super::{
    NOT_FENCED,
    bodies::{add_blobs, add_body, release, share_body},
};
use crate::{
    entity::shard::queue_entry,
    error::failed,
    open::Open,
    read::queue::{self, Found, Which},
    rows,
    statement::{Conflict, insert},
};

pub(super) async fn enqueue(open: &mut Open, mut new: NewQueueEntry) -> Result<()> {
    open.hold(new.account).await?;
    open.queued();
    let account = new.account.0;
    let own = QueueBody::Shared(match &new.body {
        QueueBody::Shared(id) => *id,
        QueueBody::Own(packed) => packed.id,
    });
    let (body, size) = match std::mem::replace(&mut new.body, own) {
        QueueBody::Shared(id) => (id.0, share_body(open, account, id.0).await?),
        QueueBody::Own(packed) => {
            let (id, size) = (packed.id.0, rows::stored(packed.size_bytes));
            add_blobs(open, account, &packed);
            add_body(open, rows::stored_body(new.account, packed, Vec::new()));
            (id, size)
        }
    };
    let (entry, recipients) = rows::new_entry(new, body, size);
    open.make_way((entry.account_id, entry.id)).await?;
    open.waiting.entries.push(entry);
    open.waiting.recipients.extend(recipients);
    open.flush_if_much().await
}

pub(super) async fn lease(open: &mut Open, lease: &Lease) -> Result<Vec<QueueEntry>> {
    open.flush().await?;
    let mut found = Vec::new();
    let due = queue::accounts_due(&open.conn, Which::All, lease.now, lease.limit.saturating_add(1)).await?;
    if due.len() <= usize::try_from(lease.limit).unwrap_or(usize::MAX) {
        // There is room for all of them.
        found = claim(open, lease, Which::All, lease.limit, due).await?;
        found.sort_by_key(|entry| (!entry.row.urgent, entry.row.patient));
    } else {
        for which in [Which::Urgent, Which::Aged, Which::Ordinary, Which::All] {
            // Those that were just claimed are not due any more.
            let left = lease.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            let most = if which == Which::Aged { left.min(share_of_aged(lease)) } else { left };
            if most > 0 {
                let due = queue::accounts_due(&open.conn, which, lease.now, most).await?;
                found.extend(claim(open, lease, which, most, due).await?);
            }
        }
    }
    found.iter().map(Found::view).collect()
}

/// A quarter, on average: who asks for one at a time gets one of these every fourth time, as the clock has it. Otherwise
/// new mail would wait until a backlog of patient mail is gone.
fn share_of_aged(lease: &Lease) -> u32 {
    let odd = i64::from(lease.limit % AGED_PART) > lease.now.millis().rem_euclid(i64::from(AGED_PART));
    lease.limit / AGED_PART + u32::from(odd)
}

const AGED_PART: u32 = 4;

/// Claims entries of these accounts, each of which may be named several times.
async fn claim(
    open: &mut Open,
    lease: &Lease,
    which: Which,
    limit: u32,
    mut accounts: Vec<i64>,
) -> Result<Vec<Found>> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    // Accounts are locked before their entries, as by everybody: two who wait for each other end in a deadlock.
    accounts.sort_unstable();
    accounts.dedup();
    open.load(accounts.clone()).await?;
    let mut found = queue::due(&open.conn, accounts, which, lease.now, limit).await?;
    // An account that was fenced meanwhile is not ours any more.
    found.retain(|entry| open.account(entry.row.account_id).is_ok_and(|owner| !owner.fenced));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    open.wrote();
    for entry in &mut found {
        entry.row.leased_by = Some(lease.worker.clone());
        entry.row.leased_until = Some(lease.until.millis());
        entry.row.due_at = lease.until.millis();
    }
    let rows = found.iter().map(|entry| entry.row.clone()).collect();
    insert::<queue_entry::Entity>(&open.conn, rows, Conflict::Replaces(&CLAIM)).await?;
    open.note_entries(&found);
    Ok(found)
}

const CLAIM: [queue_entry::Column; 3] = {
    use queue_entry::Column as C;
    [C::DueAt, C::LeasedBy, C::LeasedUntil]
};

pub(super) async fn renew(
    open: &mut Open,
    account: AccountId,
    id: QueueId,
    worker: &str,
    until: Timestamp,
) -> Result<bool> {
    let Some(mut found) = open.entry(account, id).await? else { return Ok(false) };
    if found.row.leased_by.as_deref() != Some(worker) {
        return Ok(false);
    }
    found.row.leased_until = Some(until.millis());
    found.row.due_at = until.millis();
    open.change_entry(found);
    Ok(true)
}

pub(super) async fn end_leases(open: &mut Open) -> Result<u64> {
    use queue_entry::Column::{DueAt, LeasedBy, LeasedUntil, NextAttemptAt};
    open.flush().await?;
    open.forget_entries();
    open.wrote();
    let ended = queue_entry::Entity::update_many()
        .col_expr(LeasedBy, Expr::value(Option::<String>::None))
        .col_expr(LeasedUntil, Expr::value(Option::<i64>::None))
        .col_expr(DueAt, Expr::col(NextAttemptAt))
        .filter(LeasedUntil.is_not_null())
        .filter(Expr::cust(NOT_FENCED));
    open.conn.change(&ended).await.map_err(failed)
}

pub(super) async fn settle(
    open: &mut Open,
    account: AccountId,
    id: QueueId,
    worker: &str,
    updates: &[RecipientUpdate],
    until: Option<Timestamp>,
) -> Result<Option<QueueEntry>> {
    let Some(mut found) = open.entry(account, id).await? else { return Ok(None) };
    if found.row.leased_by.as_deref() != Some(worker) {
        return Ok(None);
    }
    for update in updates {
        let address = update.address.to_string();
        for recipient in found.recipients.iter_mut().filter(|recipient| recipient.address == address) {
            recipient.state = rows::stored_state(update.state);
            recipient.attempts = recipient.attempts.saturating_add(i32::from(update.attempted));
            recipient.next_attempt_at = update.next_attempt_at.millis();
            recipient.reply = update.reply.clone().map(rows::text);
            recipient.warned |= update.warned;
        }
    }
    found.row.leased_by = found.row.leased_by.filter(|_| until.is_some());
    found.row.leased_until = until.map(Timestamp::millis);
    let next = next_attempt(&found);
    if let Some(at) = next {
        found.row.next_attempt_at = at;
        found.row.due_at = found.row.leased_until.unwrap_or(at);
    }
    let view = found.view()?;
    match next {
        Some(_) => open.change_entry(found),
        None => take_out(open, &found),
    }
    open.flush_if_much().await?;
    Ok(Some(view))
}

pub(super) async fn hold(open: &mut Open, account: AccountId, id: QueueId, held: bool) -> Result<bool> {
    let Some(mut found) = open.entry(account, id).await? else { return Ok(false) };
    if found.row.held != held {
        open.queued();
        found.row.held = held;
        open.change_entry(found);
    }
    Ok(true)
}

pub(super) async fn retry_now(
    open: &mut Open,
    account: AccountId,
    id: QueueId,
    now: Timestamp,
) -> Result<bool> {
    let Some(mut found) = open.entry(account, id).await? else { return Ok(false) };
    open.queued();
    for recipient in found.recipients.iter_mut().filter(|recipient| recipient.state == rows::PENDING) {
        recipient.next_attempt_at = now.millis();
    }
    found.row.next_attempt_at = now.millis();
    // Whoever has it now may finish; a lease that has run out is no obstacle.
    found.row.due_at = found.row.leased_until.unwrap_or(i64::MIN).max(now.millis());
    open.change_entry(found);
    Ok(true)
}

pub(super) async fn reroute(
    open: &mut Open,
    account: AccountId,
    id: QueueId,
    via: Option<String>,
) -> Result<bool> {
    let Some(mut found) = open.entry(account, id).await? else { return Ok(false) };
    found.row.via = via;
    open.change_entry(found);
    Ok(true)
}

pub(super) async fn remove(open: &mut Open, account: AccountId, id: QueueId) -> Result<bool> {
    let Some(found) = open.entry(account, id).await? else { return Ok(false) };
    take_out(open, &found);
    Ok(true)
}

/// When the first pending recipient is to be tried; `None` if none is pending.
fn next_attempt(found: &Found) -> Option<i64> {
    let pending = found.recipients.iter().filter(|recipient| recipient.state == rows::PENDING);
    pending.map(|recipient| recipient.next_attempt_at).min()
}

fn take_out(open: &mut Open, found: &Found) {
    open.take_out_entry(found.key());
    release(open, found.row.account_id, std::iter::once(found.row.body_id));
}
