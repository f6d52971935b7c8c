//! One attempt at an entry: its local recipients at once, the others destination by destination.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use mail::Recipient;
use storage::{Origin, QueueEntry, RecipientState};
use tokio::time::timeout;
use types::{AccountId, EmailAddress, ShardId};

use super::{Worker, limits::Crowded};
use crate::{Envelope, Outcome, Reply, body::without_bcc};

/// What an attempt did for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Tried(Outcome),
    /// Too many are waiting for the destination: again soon.
    Crowded,
    /// The work ends: as before.
    Untouched,
}

pub(super) type Fates = Vec<(EmailAddress, Fate)>;

/// Destinations of one mail that are delivered to at once.
const DESTINATIONS_AT_ONCE: usize = 16;

impl Worker {
    pub(super) async fn attempt(&self, shard: ShardId, entry: QueueEntry) {
        let now = self.0.mail.now();
        let is_due = |state, at| state == RecipientState::Pending && at <= now;
        let due = entry.recipients.iter().filter(|to| is_due(to.state, to.next_attempt_at));
        let due = due.map(|to| to.address.clone()).collect::<Vec<_>>();
        let Some(_memory) = self.until_shutdown(self.0.limits.memory(entry.size_bytes)).await.flatten()
        else {
            return self.settle(shard, entry, None, untouched(due)).await;
        };
        let (mail, fates) = match self.0.mail.body_bytes(entry.account, entry.body).await {
            Ok(mail) => {
                let fates = self.deliver(&entry, &mail, due).await;
                (Some(mail), fates)
            }
            Err(error) => {
                tracing::error!(error = ?error, "the mail cannot be read");
                (None, tried(due, &our_fault()))
            }
        };
        self.settle(shard, entry, mail, fates).await;
    }

    async fn deliver(&self, entry: &QueueEntry, mail: &Bytes, due: Vec<EmailAddress>) -> Fates {
        let mut fates = Vec::with_capacity(due.len());
        let mut remote = BTreeMap::<String, Vec<EmailAddress>>::new();
        let sent = if entry.origin == Origin::Submission { without_bcc(mail.clone()) } else { mail.clone() };
        for to in due {
            let outcome = match self.0.mail.recipient(&to).await {
                Ok(Recipient::Elsewhere) => {
                    remote.entry(self.0.router.destination(&to.domain_key())).or_default().push(to);
                    continue;
                }
                Ok(Recipient::Local(account)) => self.deliver_here(entry, account, &sent).await,
                Ok(Recipient::Unknown) => Reply::ours("5.1.1", "There is no such user here").into_outcome(),
                Ok(Recipient::Full) => Reply::ours("4.2.2", "The mailbox is full").into_outcome(),
                Err(error) => {
                    tracing::error!(%to, error = ?error, "the recipient cannot be looked up");
                    our_fault().into_outcome()
                }
            };
            fates.push((to, Fate::Tried(outcome)));
        }
        let groups = remote.into_iter().map(|(destination, recipients)| {
            let envelope =
                Envelope { return_path: entry.return_path.clone(), recipients, body: sent.clone() };
            self.deliver_elsewhere(destination, envelope)
        });
        let delivered = stream::iter(groups).buffer_unordered(DESTINATIONS_AT_ONCE).collect::<Vec<_>>().await;
        fates.extend(delivered.into_iter().flatten());
        fates
    }

    /// The same delivery has the same id, so that the second one changes nothing.
    async fn deliver_here(&self, entry: &QueueEntry, account: AccountId, sent: &Bytes) -> Outcome {
        let key = format!("{}/{account}", entry.id);
        let mail = with_return_path(entry, sent);
        // When it became due, which is later than its making for mail that was scheduled; the same at every attempt.
        let lifetime = self.0.mail.config().queue_lifetime;
        let at = entry.expires_at.minus(lifetime).max(entry.created_at).min(self.0.mail.now());
        match self.0.mail.deliver_once(account, key.as_bytes(), at, mail).await {
            Ok(_) => Reply::ours("2.1.5", "Delivered").into_outcome(),
            Err(error) => {
                tracing::error!(%account, error = ?error, "the mail cannot be delivered here");
                our_fault().into_outcome()
            }
        }
    }

    async fn deliver_elsewhere(&self, destination: String, envelope: Envelope) -> Fates {
        // Waiting and delivering together stay within the lease.
        let part = |tenths| self.0.config.lease * tenths / 10;
        let entering = self.until_shutdown(timeout(part(3), self.0.limits.enter(&destination))).await;
        let _place = match entering {
            Some(Ok(Ok(place))) => place,
            Some(Ok(Err(Crowded)) | Err(_)) => {
                return envelope.recipients.into_iter().map(|to| (to, Fate::Crowded)).collect();
            }
            None => return untouched(envelope.recipients),
        };
        let delivering = self.deliver_routed(&destination, &envelope);
        match timeout(part(6), delivering).await {
            Ok(fates) => fates,
            Err(_) => {
                let text = format!("The mail server of {destination} is too slow");
                tried(envelope.recipients, &Reply::ours("4.4.2", &text))
            }
        }
    }

    async fn deliver_routed(&self, destination: &str, envelope: &Envelope) -> Fates {
        let _running = Gauge::of("magpie_queue_deliveries_running");
        let started = tokio::time::Instant::now();
        let fates = match self.0.router.route(destination, self.random()).await {
            Ok(targets) => {
                let outcomes = self.0.courier.deliver(&targets, envelope).await;
                outcomes.into_iter().map(|(to, outcome)| (to, Fate::Tried(outcome))).collect()
            }
            Err(reply) => tried(envelope.recipients.clone(), &reply),
        };
        metrics::histogram!("magpie_queue_delivery_seconds").record(started.elapsed().as_secs_f64());
        fates
    }

    async fn until_shutdown<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
        self.0.shutdown.run_until_cancelled(waiting).await
    }
}

/// RFC 5321 §4.4: the final delivery notes the return path. Mail from outside has it already.
fn with_return_path(entry: &QueueEntry, mail: &Bytes) -> Bytes {
    if entry.origin == Origin::Relay {
        return mail.clone();
    }
    let path = entry.return_path.as_ref().map(ToString::to_string).unwrap_or_default();
    let field = format!("Return-Path: <{path}>\r\n");
    let mut all = BytesMut::with_capacity(field.len() + mail.len());
    all.put_slice(field.as_bytes());
    all.put_slice(mail);
    all.freeze()
}

fn our_fault() -> Reply {
    Reply::ours("4.3.0", "Our own storage did not answer; it is tried again")
}

fn tried(recipients: Vec<EmailAddress>, reply: &Reply) -> Fates {
    let outcome = reply.clone().into_outcome();
    recipients.into_iter().map(|to| (to, Fate::Tried(outcome.clone()))).collect()
}

fn untouched(recipients: Vec<EmailAddress>) -> Fates {
    recipients.into_iter().map(|to| (to, Fate::Untouched)).collect()
}

/// Counts itself in a gauge while it lives.
struct Gauge(metrics::Gauge);

impl Gauge {
    fn of(name: &'static str) -> Self {
        let gauge = metrics::gauge!(name);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
