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
    time::{Instant, sleep, timeout_at},
};
use types::{AccountId, EmailAddress, Timestamp};

use super::{
    Worker,
    groups::{Crowded, Place},
    hold::Hold,
    settle::{Job, lease_lost},
};
use crate::{Handover, Outcome, Reply, Way, body::without_bcc};

/// What an attempt did for a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    Tried(Outcome),
    /// Delivered to where the sender will be told what becomes of it (RFC 3461 §4).
    HandedOn(Reply),
    /// Sent on to a group's members, of whom the sender hears nothing (RFC 3461 §5.2.7.3).
    Expanded(Reply),
    /// Too many are waiting for the destination: again then, or soon.
    PutOff(Option<Timestamp>),
    /// The work ends: as before.
    Untouched,
}

pub(super) type Fates = Vec<(EmailAddress, Fate)>;

/// What has become known of some recipients.
pub(super) struct News {
    pub(super) fates: Fates,
    /// The room among those who are sending; it is left when this is written down, so that a crash repeats no more mails
    /// than are sent at once.
    _room: Option<OwnedSemaphorePermit>,
}

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
pub(super) struct Loaded {
    pub(super) mail: Bytes,
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
        tell: UnboundedSender<News>,
    ) {
        let mut fates = Vec::with_capacity(due.len());
        let mut local = Vec::new();
        let mut remote = BTreeMap::<String, Vec<EmailAddress>>::new();
        for to in due {
            let reply = match self.0.mail.recipient(&to).await {
                Ok(Recipient::Elsewhere) => {
                    let destination = match &entry.via {
                        Some(host) => self.0.router.by_way_of(host),
                        None => self.0.router.destination(&to.domain_key()),
                    };
                    remote.entry(destination).or_default().push(to);
                    continue;
                }
                Ok(Recipient::Local(account)) => {
                    local.push((to, account));
                    continue;
                }
                Ok(further @ (Recipient::Group(_) | Recipient::Back(_))) => {
                    fates.push((to.clone(), self.lead_on(entry, &to, further).await));
                    continue;
                }
                Ok(Recipient::Unknown) => Reply::ours("5.1.1", "There is no such user here"),
                Ok(Recipient::Crowd) => Reply::ours("5.2.4", "The group has more members than are served"),
                Ok(Recipient::Changing) => Reply::ours("4.2.1", "The account was just removed"),
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
        let tell = |news: News| drop(tell.send(news));
        if !fates.is_empty() {
            tell(News { fates, _room: None });
        }
        let mut transactions = Vec::new();
        for (destination, recipients) in remote {
            let parts = recipients.chunks(MAX_RECIPIENTS).map(<[_]>::to_vec);
            transactions
                .extend(parts.map(|to| self.deliver_elsewhere(entry, destination.clone(), to, deadlines)));
        }
        let mut running = stream::iter(transactions).buffer_unordered(TRANSACTIONS_AT_ONCE);
        while let Some(news) = running.next().await {
            tell(news);
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

    /// To a group's members, or back to a sender: an entry of its own does the rest.
    async fn lead_on(&self, entry: &QueueEntry, to: &EmailAddress, further: Recipient) -> Fate {
        let sent = match self.load(entry).await {
            Ok(loaded) => loaded,
            Err(fate) => return fate,
        };
        let mail = with_return_path(entry, &sent.mail);
        let sent_on = Reply::ours("2.1.5", "Sent on");
        let (led, fate) = match further {
            Recipient::Group(group) => {
                (self.0.mail.expand_queued(entry, mail, &group).await, Fate::Expanded(sent_on))
            }
            Recipient::Back(back) => {
                (self.0.mail.return_queued(entry, mail, to, &back).await, Fate::HandedOn(sent_on))
            }
            _ => return Fate::Untouched,
        };
        match led {
            Ok(()) => fate,
            Err(mail::Error::Circle) => tried(&Reply::ours("5.4.6", "The mail goes in circles")),
            Err(error) => {
                tracing::error!(%to, error = ?error, "the mail cannot be sent on");
                tried(&our_fault())
            }
        }
    }

    async fn deliver_elsewhere(
        &self,
        entry: &QueueEntry,
        destination: String,
        recipients: Vec<EmailAddress>,
        deadlines: Deadlines,
    ) -> News {
        let mut room = None;
        let fates = self.send(entry, destination, recipients, deadlines, &mut room).await;
        News { fates, _room: room }
    }

    /// Leaves the room that it took to the caller.
    async fn send(
        &self,
        entry: &QueueEntry,
        destination: String,
        recipients: Vec<EmailAddress>,
        deadlines: Deadlines,
        room: &mut Option<OwnedSemaphorePermit>,
    ) -> Fates {
        let router = &self.0.router;
        let finding = match entry.terms.tls_optional && !entry.terms.require_tls {
            true => router.lenient_route(&destination, self.random()),
            false => router.route(&destination, self.random()),
        };
        let finding = timeout_at(deadlines.begin, finding);
        let way = match self.until_shutdown(finding).await {
            Some(Ok(Ok(way))) => way,
            Some(Ok(Err(reply))) => return all(recipients, &tried(&reply)),
            Some(Err(_)) => return all(recipients, &Fate::PutOff(None)),
            None => return all(recipients, &Fate::Untouched),
        };
        let entering = timeout_at(deadlines.begin, self.enter(&way));
        let place = match self.until_shutdown(entering).await {
            Some(Ok(Ok(place))) => place,
            Some(Ok(Err(fate))) => return all(recipients, &fate),
            Some(Err(_)) => return all(recipients, &Fate::PutOff(None)),
            None => return all(recipients, &Fate::Untouched),
        };
        let mut hold = Hold::new(self, entry, recipients);
        let delivered = tokio::select! {
            delivered = timeout_at(deadlines.end, self.hand_over(&way, &hold)) => delivered,
            () = self.patience() => return all(hold.recipients, &Fate::Untouched),
        };
        *room = hold.take_room();
        let Ok(handover) = delivered else {
            let host = way.targets.first().map_or(destination, |target| target.host.clone());
            let text = format!("The mail server {host} is too slow");
            return all(hold.recipients, &tried(&Reply::ours("4.4.2", &text)));
        };
        self.0.groups.learn(&place, &way, &handover, self.0.mail.now());
        match handover {
            Handover::Answered { outcomes, notifies, .. } => {
                let fate = |outcome| match outcome {
                    Outcome::Delivered(reply) if notifies => Fate::HandedOn(reply),
                    outcome => Fate::Tried(outcome),
                };
                outcomes.into_iter().map(|(to, outcome)| (to, fate(outcome))).collect()
            }
            Handover::Away { reply, .. } => all(hold.recipients, &tried(&reply)),
            Handover::Unloaded => hold.into_fates(),
        }
    }

    /// Waits for a place on the way; the fate of the mail if it does not get one.
    async fn enter(&self, way: &Way) -> Result<Place, Fate> {
        self.heed_silence(way)?;
        let entered = self.0.groups.enter(&way.group, self.0.mail.now()).await;
        let place = entered.map_err(|Crowded { until }| Fate::PutOff(Some(until)))?;
        if let Some(rate) = self.0.config.rate {
            let _turn = place.turn().await;
            let key = format!("out:{}", way.group);
            while let Some(wait) = self.0.mail.throttle(&key, rate.count, rate.period).await {
                sleep(wait).await;
            }
        }
        // Somebody may have found out meanwhile.
        self.heed_silence(way)?;
        Ok(place)
    }

    /// Hosts that have just been found not to answer are not asked again for every mail there is for them.
    fn heed_silence(&self, way: &Way) -> Result<(), Fate> {
        match self.0.groups.silence(way, self.0.mail.now()) {
            Some(reply) => Err(Fate::Tried(Outcome::Deferred(reply))),
            None => Ok(()),
        }
    }

    async fn hand_over(&self, way: &Way, hold: &Hold<'_>) -> Handover {
        let _running = Gauge::of("magpie_queue_deliveries_running");
        let started = Instant::now();
        let handover = self.0.courier.deliver(way, hold).await;
        metrics::histogram!("magpie_queue_delivery_seconds").record(started.elapsed().as_secs_f64());
        handover
    }

    /// The bytes to send, as soon as there is memory for them.
    pub(super) async fn load(&self, entry: &QueueEntry) -> Result<Loaded, Fate> {
        let memory = self.until_shutdown(self.0.groups.memory(entry.size_bytes)).await.flatten();
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

    pub(super) async fn until_shutdown<T>(&self, waiting: impl Future<Output = T>) -> Option<T> {
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

pub(super) fn all(recipients: Vec<EmailAddress>, fate: &Fate) -> Fates {
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
