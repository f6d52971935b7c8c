//! One attempt at an entry: its local recipients at once, the others destination by destination.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::pending,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, stream};
use mail::Recipient;
use storage::{Origin, QueueEntry, RecipientState};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        mpsc::{UnboundedSender, unbounded_channel},
    },
    time::{Instant, timeout_at},
};
use types::{AccountId, EmailAddress};

use super::{
    Worker,
    limits::Crowded,
    settle::{Job, lease_lost},
};
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

/// Transactions of one mail that run at once.
const TRANSACTIONS_AT_ONCE: usize = 50;
/// More recipients than this go in several transactions (RFC 5321 §4.5.3.1.8), and each has its outcome for itself.
const MAX_RECIPIENTS: usize = 100;

/// When an attempt must be where.
#[derive(Clone, Copy)]
struct Deadlines {
    /// Deliveries that have not begun by then begin another time.
    begin: Instant,
    end: Instant,
}

/// A mail in memory, and the room that it takes there.
struct Loaded {
    mail: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl Worker {
    pub(super) async fn attempt(&self, job: Job) {
        let now = self.0.mail.now();
        let started = Instant::now();
        let deadlines =
            Deadlines { begin: started + self.0.config.attempt / 3, end: started + self.0.config.attempt };
        let is_due = |state, at| state == RecipientState::Pending && at <= now;
        let due = job.entry.recipients.iter().filter(|to| is_due(to.state, to.next_attempt_at));
        let due = due.map(|to| to.address.clone()).collect::<Vec<_>>();
        let (tell, told) = unbounded_channel();
        let delivering = async {
            self.deliver(&job.entry, due, deadlines, tell).await;
            pending().await
        };
        tokio::select! {
            () = self.settle(&job, told) => {}
            () = self.keep(&job) => lease_lost(),
            () = delivering => {}
        }
    }

    /// Tells the fates as they become known; `tell` ends when all are.
    async fn deliver(
        &self,
        entry: &QueueEntry,
        due: Vec<EmailAddress>,
        deadlines: Deadlines,
        tell: UnboundedSender<Fates>,
    ) {
        let mut fates = Vec::with_capacity(due.len());
        let mut local = Vec::new();
        let mut remote = BTreeMap::<String, Vec<EmailAddress>>::new();
        for to in due {
            let reply = match self.0.mail.recipient(&to).await {
                Ok(Recipient::Elsewhere) => {
                    remote.entry(self.0.router.destination(&to.domain_key())).or_default().push(to);
                    continue;
                }
                Ok(Recipient::Local(account)) => {
                    local.push((to, account));
                    continue;
                }
                Ok(Recipient::Unknown) => Reply::ours("5.1.1", "There is no such user here"),
                Ok(Recipient::Full) => Reply::ours("4.2.2", "The mailbox is full"),
                Err(error) => {
                    tracing::error!(%to, error = ?error, "the recipient cannot be looked up");
                    our_fault()
                }
            };
            fates.push((to, Fate::Tried(reply.into_outcome())));
        }
        if !local.is_empty() {
            fates.extend(self.deliver_here(entry, local).await);
        }
        // Nobody listens any more once the lease is lost, and then this is not polled either.
        let tell = |fates: Fates| drop(tell.send(fates));
        if !fates.is_empty() {
            tell(fates);
        }
        let mut transactions = Vec::new();
        for (destination, recipients) in remote {
            let parts = recipients.chunks(MAX_RECIPIENTS).map(<[_]>::to_vec);
            transactions
                .extend(parts.map(|to| self.deliver_elsewhere(entry, destination.clone(), to, deadlines)));
        }
        let mut running = stream::iter(transactions).buffer_unordered(TRANSACTIONS_AT_ONCE);
        while let Some(fates) = running.next().await {
            tell(fates);
        }
    }

    async fn deliver_here(&self, entry: &QueueEntry, local: Vec<(EmailAddress, AccountId)>) -> Fates {
        let sent = match self.load(entry).await {
            Ok(loaded) => loaded,
            Err(fate) => return local.into_iter().map(|(to, _)| (to, fate.clone())).collect(),
        };
        let mail = with_return_path(entry, &sent.mail);
        let accounts: BTreeSet<_> = local.iter().map(|(_, account)| *account).collect();
        let accounts = Vec::from_iter(accounts);
        let outcomes: HashMap<_, _> = match self.0.mail.deliver_queued(entry, mail, &accounts).await {
            Ok(outcomes) => outcomes.into_iter().collect(),
            Err(error) => {
                tracing::error!(error = ?error, "the mail cannot be made ready to be delivered here");
                HashMap::new()
            }
        };
        let reply = |account| match outcomes.get(&account) {
            Some(Ok(())) => Reply::ours("2.1.5", "Delivered"),
            Some(Err(error)) => {
                tracing::error!(%account, error = ?error, "the mail cannot be delivered here");
                our_fault()
            }
            None => our_fault(),
        };
        local.into_iter().map(|(to, account)| (to, tried(&reply(account)))).collect()
    }

    async fn deliver_elsewhere(
        &self,
        entry: &QueueEntry,
        destination: String,
        recipients: Vec<EmailAddress>,
        deadlines: Deadlines,
    ) -> Fates {
        let entering = timeout_at(deadlines.begin, self.0.limits.enter(&destination));
        let _place = match self.until_shutdown(entering).await {
            Some(Ok(Ok(place))) => place,
            Some(Ok(Err(Crowded)) | Err(_)) => return all(recipients, &Fate::Crowded),
            None => return all(recipients, &Fate::Untouched),
        };
        // Only now: what waits for a slow destination must not fill the memory.
        let sent = match self.load(entry).await {
            Ok(sent) => sent,
            Err(fate) => return all(recipients, &fate),
        };
        let body = match self.signed(entry, sent.mail.clone()).await {
            Ok(body) => body,
            Err(fate) => return all(recipients, &fate),
        };
        let envelope = Envelope { return_path: entry.return_path.clone(), recipients, body };
        let delivered = tokio::select! {
            delivered = timeout_at(deadlines.end, self.deliver_routed(&destination, &envelope)) => delivered,
            () = self.patience() => return all(envelope.recipients, &Fate::Untouched),
        };
        delivered.unwrap_or_else(|_| {
            let text = format!("The mail server of {destination} is too slow");
            all(envelope.recipients, &tried(&Reply::ours("4.4.2", &text)))
        })
    }

    async fn deliver_routed(&self, destination: &str, envelope: &Envelope) -> Fates {
        let _running = Gauge::of("magpie_queue_deliveries_running");
        let started = Instant::now();
        let fates = match self.0.router.route(destination, self.random()).await {
            Ok(targets) => {
                let outcomes = self.0.courier.deliver(&targets, envelope).await;
                outcomes.into_iter().map(|(to, outcome)| (to, Fate::Tried(outcome))).collect()
            }
            Err(reply) => all(envelope.recipients.clone(), &tried(&reply)),
        };
        metrics::histogram!("magpie_queue_delivery_seconds").record(started.elapsed().as_secs_f64());
        fates
    }

    /// The bytes to send, as soon as there is memory for them.
    async fn load(&self, entry: &QueueEntry) -> Result<Loaded, Fate> {
        let memory = self.until_shutdown(self.0.limits.memory(entry.size_bytes)).await.flatten();
        let memory = memory.ok_or(Fate::Untouched)?;
        match self.0.mail.body_bytes(entry.account, entry.body).await {
            Ok(mail) => {
                let mail = if entry.origin == Origin::Submission { without_bcc(mail) } else { mail };
                Ok(Loaded { mail, _memory: memory })
            }
            Err(error) => {
                tracing::error!(error = ?error, "the mail cannot be read");
                Err(tried(&our_fault()))
            }
        }
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

fn tried(reply: &Reply) -> Fate {
    Fate::Tried(reply.clone().into_outcome())
}

fn all(recipients: Vec<EmailAddress>, fate: &Fate) -> Fates {
    recipients.into_iter().map(|to| (to, fate.clone())).collect()
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
