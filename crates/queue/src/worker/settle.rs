//! Writing outcomes down: queue entry, Sent copy and notification in units of work.

use std::{pin::pin, time::Duration};

use async_trait::async_trait;
use message::dsn::Action;
use storage::{
    Committed, Needs, NewQueueEntry, QueueEntry, QueueRecipient, RecipientState, RecipientUpdate,
    Transaction, Unit,
};
use tokio::{
    sync::{Mutex, mpsc::UnboundedReceiver},
    time::sleep,
};
use types::{
    AccountId, Late, MessageId, QueueId, ShardId, Timestamp,
    address::key_of,
    api::{Delivery, DeliveryState},
};

use super::{
    Worker,
    attempt::{Fate, News},
    notify::Notice,
};
use crate::{Next, Outcome, Reply};

/// An entry that is ours while the lease lasts.
pub(super) struct Job {
    pub(super) shard: ShardId,
    pub(super) entry: QueueEntry,
    /// What the lease is known by.
    lease: String,
    /// One write at a time: after the one that ends the lease, none finds it lost.
    turn: Mutex<()>,
}

/// Fates that are written down at once, should so many be known.
const BATCHES: usize = 100;
/// The longest pause between attempts to settle while the storage is away. Until it is settled, the mail may be sent
/// twice, and so it is tried without end.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

impl Job {
    pub(super) fn new(shard: ShardId, entry: QueueEntry, lease: String) -> Self {
        Self { shard, entry, lease, turn: Mutex::default() }
    }
}

impl Worker {
    /// Writes down what is known as soon as it is, and ends the lease with the last of it. What the sender is told comes
    /// last, so that one notification tells of all.
    pub(super) async fn settle(&self, job: &Job, mut told: UnboundedReceiver<News>) {
        let (mut batches, mut noticed, mut notices) = (Vec::<News>::new(), Vec::new(), Vec::new());
        let (mut defers, mut gives_back) = (false, false);
        loop {
            let news = told.recv_many(&mut batches, BATCHES).await;
            let is_last = news == 0 || told.is_closed() && told.is_empty();
            let now = self.0.mail.now();
            let mut updates = Vec::new();
            for (address, fate) in batches.iter_mut().flat_map(|news| news.fates.drain(..)) {
                gives_back |= fate == Fate::Untouched;
                let known = job.entry.recipients.iter().find(|recipient| recipient.address == address);
                match known.and_then(|known| self.update(&job.entry, known, fate, now)) {
                    Some((update, Some(notice))) => {
                        defers |= update.state == RecipientState::Pending;
                        noticed.push(update);
                        notices.push(notice);
                    }
                    Some((update, None)) => updates.push(update),
                    None => {}
                }
            }
            defers |= updates.iter().any(|update| update.state == RecipientState::Pending);
            if is_last {
                updates.append(&mut noticed);
                let finished = self.finish(job, updates, &notices).await;
                if finished && defers {
                    self.0.deferred.notify_waiters();
                }
                if finished && gives_back {
                    // For the workers of other nodes: this one ends.
                    let due = Committed::hint(job.shard, Vec::new(), true);
                    self.0.mail.publish(&due);
                }
                return;
            }
            if !updates.is_empty() && !self.settled(job, updates, Vec::new(), true).await {
                return;
            }
            // What waits for the last to be known must not keep it from being sent.
            batches.clear();
        }
    }

    /// Ends the lease.
    async fn finish(&self, job: &Job, updates: Vec<RecipientUpdate>, notices: &[Notice]) -> bool {
        let notifications = self.notifications(&job.entry, notices, self.0.mail.now()).await;
        let count = notifications.len() as u64;
        let settled = self.settled(job, updates, notifications, false).await;
        if settled && count > 0 {
            metrics::counter!("magpie_queue_notifications_total").increment(count);
        }
        settled
    }

    /// Renews the lease again and again; returns when it is lost.
    pub(super) async fn keep(&self, job: &Job) {
        loop {
            sleep(self.0.config.lease / 3).await;
            let _turn = job.turn.lock().await;
            let renew = Renew {
                account: job.entry.account,
                id: job.entry.id,
                lease: job.lease.clone(),
                until: self.lease_end(),
            };
            match self.0.mail.write(job.shard, renew).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(error = ?error, "the lease is not renewed this time"),
            }
        }
    }

    /// Whether it is written down, as opposed to: somebody else has the entry, or it is gone.
    async fn settled(
        &self,
        job: &Job,
        updates: Vec<RecipientUpdate>,
        notifications: Vec<NewQueueEntry>,
        goes_on: bool,
    ) -> bool {
        let mut settle = Settle {
            account: job.entry.account,
            id: job.entry.id,
            message: job.entry.message,
            lease: job.lease.clone(),
            updates,
            notifications,
            until: None,
        };
        let mut pause = Duration::from_secs(1);
        let mut patience = pin!(self.patience());
        loop {
            let turn = job.turn.lock().await;
            settle.until = goes_on.then(|| self.lease_end());
            let error = match self.0.mail.write(job.shard, settle.clone()).await {
                Ok(true) => return true,
                Ok(false) => {
                    lease_lost();
                    return false;
                }
                Err(error) => error,
            };
            drop(turn);
            // Whatever it is: what is not written down is sent once more.
            let gives_up = tokio::select! {
                () = sleep(pause) => false,
                () = &mut patience => true,
            };
            if gives_up {
                tracing::error!(error = ?error, "the outcome of a delivery is not written down");
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lease_end(&self) -> Timestamp {
        self.0.mail.now().plus(self.0.config.lease)
    }

    /// What to write down for a recipient, and what to tell the sender of it; nothing if nothing was tried.
    fn update(
        &self,
        entry: &QueueEntry,
        known: &QueueRecipient,
        fate: Fate,
        now: Timestamp,
    ) -> Option<(RecipientUpdate, Option<Notice>)> {
        let arrival = arrival(&fate);
        let (outcome, put_off) = match fate {
            Fate::Untouched => return None,
            Fate::Tried(outcome) => (Some(outcome), None),
            Fate::HandedOn(reply) | Fate::Expanded(reply) => (Some(Outcome::Delivered(reply)), None),
            Fate::PutOff(until) => (None, until),
        };
        let attempted = outcome.is_some();
        let attempts = known.attempts.saturating_add(u32::from(attempted));
        let (label, state, next_attempt_at, status) = match &outcome {
            Some(Outcome::Delivered(_)) => ("delivered", RecipientState::Delivered, now, None),
            Some(Outcome::Failed(reply)) => ("failed", RecipientState::Failed, now, Some(reply.status())),
            Some(Outcome::Deferred(_)) | None => {
                match self.next(now, attempts, put_off, last_moment(entry)) {
                    Next::At(next) => ("deferred", RecipientState::Pending, next, None),
                    // RFC 3463 §3.5: delivery time expired.
                    Next::GiveUp => ("expired", RecipientState::Failed, now, Some("5.4.7".to_owned())),
                }
            }
        };
        let label = if attempted || state != RecipientState::Pending { label } else { "put off" };
        metrics::counter!("magpie_queue_attempts_total", "outcome" => label).increment(1);
        let reply = outcome.map(|outcome| outcome.reply().clone());
        let shown = reply.as_ref().map(ToString::to_string).or_else(|| known.reply.clone());
        tracing::info!(
            to = %known.address,
            outcome = label,
            attempt = attempts,
            host = reply.as_ref().and_then(|reply| reply.host.as_deref()),
            reply = shown.as_deref(),
            "attempted"
        );
        let notice = match state {
            RecipientState::Failed if known.terms.wants_failure() => {
                Some(Notice::new(known, Action::Failed, status.unwrap_or_default(), reply))
            }
            RecipientState::Delivered if known.terms.wants_success() => {
                arrival.map(|action| Notice::new(known, action, "2.0.0".to_owned(), reply))
            }
            RecipientState::Pending if self.is_late(entry, known, now) => {
                let status = reply.as_ref().map(Reply::status).unwrap_or_default();
                Some(Notice::new(known, Action::Delayed, status, reply))
            }
            RecipientState::Failed | RecipientState::Delivered | RecipientState::Pending => None,
        };
        let warned = state == RecipientState::Pending && notice.is_some();
        let address = known.address.clone();
        Some((RecipientUpdate { address, state, attempted, next_attempt_at, reply: shown, warned }, notice))
    }

    /// Whether it is time to tell the sender that it takes long: once, some hours after the mail was to go, or when it
    /// should be there (RFC 2852).
    fn is_late(&self, entry: &QueueEntry, known: &QueueRecipient, now: Timestamp) -> bool {
        let warn_at = self.0.config.warn_after.map(|after| entry.created_at.plus(after));
        let by = entry.terms.deliver_by.filter(|by| by.late == Late::Notify).map(|by| by.at);
        let due = warn_at.into_iter().chain(by).min();
        !known.warned && known.terms.wants_delay() && due.is_some_and(|due| due <= now)
    }

    /// When to try next. Whoever was put off comes back when it was told, or where nothing was told, as after a first attempt.
    fn next(&self, now: Timestamp, attempts: u32, until: Option<Timestamp>, expires_at: Timestamp) -> Next {
        let schedule = &self.0.config.schedule;
        match until {
            Some(_) if now >= expires_at => Next::GiveUp,
            Some(until) => Next::At(until.max(now).min(expires_at)),
            None => schedule.next(now, attempts.max(1), expires_at, self.random()),
        }
    }
}

/// When nothing more is tried: RFC 2852 §4.1.3 for mail that is to come back if it is late.
fn last_moment(entry: &QueueEntry) -> Timestamp {
    let by = entry.terms.deliver_by.filter(|by| by.late == Late::Return).map(|by| by.at);
    by.map_or(entry.expires_at, |by| by.min(entry.expires_at))
}

/// What the sender hears of a mail that went well: what another server took was handed on; what is here is here, unless
/// it went on to a group. Nothing where somebody else tells it.
fn arrival(fate: &Fate) -> Option<Action> {
    match fate {
        Fate::Tried(Outcome::Delivered(Reply { host: Some(_), .. })) => Some(Action::Relayed),
        Fate::Tried(Outcome::Delivered(_)) => Some(Action::Delivered),
        Fate::Expanded(_) => Some(Action::Expanded),
        Fate::Tried(_) | Fate::HandedOn(_) | Fate::PutOff(_) | Fate::Untouched => None,
    }
}

pub(super) fn lease_lost() {
    tracing::warn!("the lease was lost, or the operator dropped the entry");
    metrics::counter!("magpie_queue_leases_lost_total").increment(1);
}

/// Writes outcomes down, all or nothing. False if the lease is lost.
#[derive(Clone)]
struct Settle {
    account: AccountId,
    id: QueueId,
    message: Option<MessageId>,
    lease: String,
    updates: Vec<RecipientUpdate>,
    notifications: Vec<NewQueueEntry>,
    /// `None`: the lease ends.
    until: Option<Timestamp>,
}

#[async_trait]
impl Unit for Settle {
    type Output = bool;

    fn needs(&self) -> Needs {
        let sent = self.message.map(|id| (self.account, id)).into_iter().collect();
        let entries = vec![(self.account, self.id)];
        Needs { accounts: vec![self.account], entries, sent, ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<bool> {
        let settled = tx.settle(self.account, self.id, &self.lease, &self.updates, self.until).await?;
        let Some(entry) = settled else { return Ok(false) };
        // Who was put off has not been tried, which is nothing to tell the sender.
        let is_news = |update: &RecipientUpdate| update.attempted || update.state != RecipientState::Pending;
        if let Some(id) = self.message.filter(|_| self.updates.iter().any(is_news))
            && let Some(told) = tx.delivery(self.account, id).await?
        {
            let delivery = merged(told, &entry.recipients);
            tx.set_delivery(self.account, id, &delivery).await?;
        }
        for notification in &self.notifications {
            tx.enqueue(notification.clone()).await?;
        }
        Ok(true)
    }
}

struct Renew {
    account: AccountId,
    id: QueueId,
    lease: String,
    until: Timestamp,
}

#[async_trait]
impl Unit for Renew {
    type Output = bool;

    fn needs(&self) -> Needs {
        let entries = vec![(self.account, self.id)];
        Needs { accounts: vec![self.account], entries, ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<bool> {
        tx.renew(self.account, self.id, &self.lease, self.until).await
    }
}

/// What the Sent copy tells, with what is new; recipients whom this entry does not know stay as they are.
fn merged(mut told: Vec<Delivery>, recipients: &[QueueRecipient]) -> Vec<Delivery> {
    for recipient in recipients {
        let news = delivery(recipient);
        let key = recipient.address.key();
        match told.iter_mut().find(|old| key_of(&old.recipient) == key) {
            Some(old) => *old = Delivery { recipient: std::mem::take(&mut old.recipient), ..news },
            None => told.push(news),
        }
    }
    told
}

fn delivery(recipient: &QueueRecipient) -> Delivery {
    let state = match recipient.state {
        RecipientState::Pending if recipient.attempts == 0 => DeliveryState::Queued,
        RecipientState::Pending => DeliveryState::Deferred,
        RecipientState::Delivered => DeliveryState::Delivered,
        RecipientState::Failed => DeliveryState::Failed,
    };
    Delivery {
        recipient: recipient.address.to_string(),
        state,
        reply: recipient.reply.clone(),
        next_attempt_at: (state == DeliveryState::Deferred).then_some(recipient.next_attempt_at),
    }
}
