//! Writing outcomes down: queue entry, Sent copy and notification in one unit of work.

use std::time::Duration;

use async_trait::async_trait;
use storage::{
    Needs, NewQueueEntry, QueueEntry, QueueRecipient, RecipientState, RecipientUpdate, Transaction, Unit,
};
use tokio::time::sleep;
use types::{
    AccountId, MessageId, QueueId, ShardId, Timestamp,
    address::fold,
    api::{Delivery, DeliveryState},
};

use super::{
    Worker,
    attempt::{Fate, Fates},
};
use crate::{Next, Outcome, Reply};

/// A recipient that the mail will not reach.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) address: String,
    /// RFC 3463.
    pub(super) status: String,
    /// The last reply, if there was one.
    pub(super) reply: Option<Reply>,
}

/// Pauses between attempts to settle while the storage is away. Until it is settled, the mail may be sent twice.
const PAUSES_S: [u64; 6] = [1, 2, 4, 8, 15, 30];

impl Worker {
    /// Ends the lease with what the attempt brought about.
    pub(super) async fn settle(&self, shard: ShardId, entry: QueueEntry, fates: Fates) {
        let now = self.0.mail.now();
        let mut updates = Vec::with_capacity(fates.len());
        let mut failures = Vec::new();
        for (address, fate) in fates {
            let known = entry.recipients.iter().find(|recipient| recipient.address == address);
            let Some((update, failure)) = known.and_then(|known| self.update(&entry, known, fate, now))
            else {
                continue;
            };
            updates.push(update);
            failures.extend(failure);
        }
        let notification =
            if failures.is_empty() { None } else { self.notification(&entry, &failures, now).await };
        let notifies = notification.is_some();
        let defers = updates.iter().any(|update| update.state == RecipientState::Pending);
        let settle = Settle {
            account: entry.account,
            id: entry.id,
            message: entry.message,
            worker: self.0.config.name.clone(),
            updates,
            notification,
        };
        if !self.settled(shard, settle).await {
            return;
        }
        if notifies {
            metrics::counter!("magpie_queue_notifications_total").increment(1);
        }
        if defers {
            self.0.deferred.notify_waiters();
        }
    }

    /// Renews the lease again and again; returns when it is lost.
    pub(super) async fn keep(&self, shard: ShardId, entry: &QueueEntry) {
        loop {
            sleep(self.0.config.lease / 3).await;
            let renew = Renew {
                account: entry.account,
                id: entry.id,
                worker: self.0.config.name.clone(),
                until: self.0.mail.now().plus(self.0.config.lease),
            };
            match self.0.mail.write(shard, renew).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(error = ?error, "the lease is not renewed this time"),
            }
        }
    }

    /// Whether it is written down, as opposed to: somebody else has the entry, or it is gone.
    async fn settled(&self, shard: ShardId, settle: Settle) -> bool {
        let mut pauses = PAUSES_S.iter();
        loop {
            match self.0.mail.write(shard, settle.clone()).await {
                Ok(true) => return true,
                Ok(false) => {
                    lease_lost();
                    return false;
                }
                Err(error) => {
                    let Some(seconds) = pauses.next().filter(|_| error.is_temporary()) else {
                        tracing::error!(error = ?error, "the outcome of a delivery is not written down");
                        return false;
                    };
                    sleep(Duration::from_secs(*seconds)).await;
                }
            }
        }
    }

    /// What to write down for a recipient, and its failure if that is what it is; nothing if nothing was tried.
    fn update(
        &self,
        entry: &QueueEntry,
        known: &QueueRecipient,
        fate: Fate,
        now: Timestamp,
    ) -> Option<(RecipientUpdate, Option<Failure>)> {
        let (outcome, attempts) = match fate {
            Fate::Untouched => return None,
            Fate::Tried(outcome) => (Some(outcome), known.attempts.saturating_add(1)),
            Fate::Crowded => (None, 1),
        };
        let schedule = &self.0.config.schedule;
        let (label, state, next_attempt_at, status) = match &outcome {
            Some(Outcome::Delivered(_)) => ("delivered", RecipientState::Delivered, now, None),
            Some(Outcome::Failed(reply)) => ("failed", RecipientState::Failed, now, Some(reply.status())),
            Some(Outcome::Deferred(_)) | None => {
                match schedule.next(now, attempts, entry.expires_at, self.random()) {
                    Next::At(next) => ("deferred", RecipientState::Pending, next, None),
                    // RFC 3463 §3.5: delivery time expired.
                    Next::GiveUp => ("expired", RecipientState::Failed, now, Some("5.4.7".to_owned())),
                }
            }
        };
        metrics::counter!("magpie_queue_attempts_total", "outcome" => label).increment(1);
        let reply = outcome.map(|outcome| outcome.reply().clone());
        let shown = reply.as_ref().map(ToString::to_string).or_else(|| known.reply.clone());
        tracing::info!(
            to = %known.address,
            outcome = label,
            attempt = known.attempts.saturating_add(1),
            host = reply.as_ref().and_then(|reply| reply.host.as_deref()),
            reply = shown.as_deref(),
            "attempted"
        );
        let address = known.address.clone();
        let failure = status.map(|status| Failure { address: address.to_string(), status, reply });
        Some((RecipientUpdate { address, state, next_attempt_at, reply: shown }, failure))
    }
}

pub(super) fn lease_lost() {
    tracing::warn!("the lease was lost, or the operator dropped the entry");
    metrics::counter!("magpie_queue_leases_lost_total").increment(1);
}

/// Ends the lease, all or nothing. False if the lease is lost.
#[derive(Clone)]
struct Settle {
    account: AccountId,
    id: QueueId,
    message: Option<MessageId>,
    worker: String,
    updates: Vec<RecipientUpdate>,
    notification: Option<NewQueueEntry>,
}

#[async_trait]
impl Unit for Settle {
    type Output = bool;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<bool> {
        let Some(entry) = tx.settle(self.account, self.id, &self.worker, &self.updates).await? else {
            return Ok(false);
        };
        if let Some(id) = self.message.filter(|_| !self.updates.is_empty()) {
            let sent = tx.messages(self.account, &[id]).await?;
            if let Some(sent) = sent.into_iter().next() {
                let delivery = merged(sent.delivery, &entry.recipients);
                tx.set_delivery(self.account, id, &delivery).await?;
            }
        }
        if let Some(notification) = &self.notification {
            tx.enqueue(notification.clone()).await?;
        }
        Ok(true)
    }
}

struct Renew {
    account: AccountId,
    id: QueueId,
    worker: String,
    until: Timestamp,
}

#[async_trait]
impl Unit for Renew {
    type Output = bool;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<bool> {
        tx.renew(self.account, self.id, &self.worker, self.until).await
    }
}

/// What the Sent copy tells, with what is new; recipients whom this entry does not know stay as they are.
fn merged(mut told: Vec<Delivery>, recipients: &[QueueRecipient]) -> Vec<Delivery> {
    for recipient in recipients {
        let news = delivery(recipient);
        let key = recipient.address.key();
        match told.iter_mut().find(|old| fold(&old.recipient) == key) {
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
    let is_pending = recipient.state == RecipientState::Pending;
    Delivery {
        recipient: recipient.address.to_string(),
        state,
        reply: recipient.reply.clone(),
        next_attempt_at: is_pending.then_some(recipient.next_attempt_at),
    }
}
