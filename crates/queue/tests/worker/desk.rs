//! What the tests share: a service, a worker, and a courier that does as it is told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use queue::{
    Cargo, Courier, Envelope, Handover, Parts, Reply, Route, Router, Target, Way, Worker, WorkerConfig,
};
use testkit::House;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use types::{
    Address, Clock, EmailAddress, MessageId, Role, Timestamp,
    api::{Compose, Delivery},
};

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
pub(crate) async fn until<F: Future<Output = Result<bool>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> Result<()> {
    let waiting = async {
        while !holds().await? {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(LONG, waiting).await.with_context(|| what.to_owned())?
}

pub(crate) struct Desk {
    pub(crate) house: House,
    pub(crate) courier: Arc<Puppet>,
    pub(crate) worker: Worker,
    pub(crate) shutdown: CancellationToken,
}

/// Delivers to everybody, unless told otherwise.
#[derive(Default)]
pub(crate) struct Puppet {
    /// Replies by address; the code decides.
    pub(crate) replies: Mutex<HashMap<String, Reply>>,
    /// What it was given, with the time.
    pub(crate) envelopes: Mutex<Vec<Envelope>>,
    /// Domains whose deliveries hang until the semaphore gives permits.
    pub(crate) slow: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// The hosts that it was sent to.
    pub(crate) hosts: Mutex<Vec<String>>,
}

impl Puppet {
    pub(crate) fn says(&self, to: &str, code: u16, text: &str) {
        let reply = Reply { code, text: text.to_owned(), host: Some("mx.there.test".to_owned()) };
        self.replies.lock().unwrap_or_else(|e| e.into_inner()).insert(to.to_owned(), reply);
    }

    pub(crate) fn stalls(&self, domain: &str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.slow.lock().unwrap_or_else(|e| e.into_inner()).insert(domain.to_owned(), Arc::clone(&gate));
        gate
    }

    /// The destinations of what it was given.
    pub(crate) fn ways(&self) -> Vec<String> {
        self.hosts.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    pub(crate) fn sent(&self) -> Vec<Envelope> {
        self.envelopes.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

#[async_trait]
impl Courier for Puppet {
    async fn deliver(&self, way: &Way, cargo: &dyn Cargo) -> Handover {
        let host = way.targets.first().map(|target| target.host.trim_start_matches("mx.").to_owned());
        self.hosts.lock().unwrap_or_else(|e| e.into_inner()).extend(host);
        let Some(envelope) = cargo.load().await else { return Handover::Unloaded };
        self.envelopes.lock().unwrap_or_else(|e| e.into_inner()).push(envelope.clone());
        let domain = envelope.recipients.first().map(|to| to.domain().to_owned()).unwrap_or_default();
        let gate = self.slow.lock().unwrap_or_else(|e| e.into_inner()).get(&domain).cloned();
        if let Some(gate) = gate
            && let Ok(permit) = gate.acquire().await
        {
            permit.forget();
        }
        let replies = self.replies.lock().unwrap_or_else(|e| e.into_inner());
        let usual = Reply { code: 250, text: "2.0.0 Ok".to_owned(), host: None };
        let outcome =
            |to: &EmailAddress| replies.get(&to.to_string()).unwrap_or(&usual).clone().into_outcome();
        let outcomes = envelope.recipients.iter().map(|to| (to.clone(), outcome(to))).collect();
        Handover::Answered { outcomes, slower: false, notifies: false }
    }
}

/// Every domain has a host of its own.
struct Anywhere;

#[async_trait]
impl Router for Anywhere {
    async fn route(&self, domain: &str, _: u64) -> Route {
        Ok(Way::to(vec![Target::new(&format!("mx.{domain}"), ([127, 0, 0, 1], 25).into())]))
    }

    async fn lenient_route(&self, domain: &str, random: u64) -> Route {
        self.route(&format!("lenient.{domain}"), random).await
    }
}

impl Desk {
    pub(crate) async fn open() -> Result<Self> {
        Ok(Self::open_in(House::open().await?))
    }

    pub(crate) fn open_in(house: House) -> Self {
        let courier = Arc::new(Puppet::default());
        let shutdown = CancellationToken::new();
        let config = WorkerConfig { name: "first".to_owned(), ..WorkerConfig::default() };
        let worker = worker(&house, &courier, &shutdown, config);
        Self { house, courier, worker, shutdown }
    }

    pub(crate) fn another(&self, config: WorkerConfig) -> Worker {
        worker(&self.house, &self.courier, &self.shutdown, config)
    }

    /// Alice sends a mail.
    pub(crate) async fn send(&self, to: &[&str], bcc: &[&str]) -> Result<MessageId> {
        let address = |email: &&str| Address { name: String::new(), email: (*email).to_owned() };
        let compose = Compose {
            to: to.iter().map(address).collect(),
            bcc: bcc.iter().map(address).collect(),
            subject: "Lunch".to_owned(),
            text: Some("At noon?".to_owned()),
            ..Compose::default()
        };
        Ok(self.house.access("alice@demo.test").await?.compose(compose).await?.id)
    }

    /// Works until nothing is due.
    pub(crate) async fn work(&self) -> Result<()> {
        work(&self.house, &self.worker).await
    }

    /// When the next entry of any shard is due.
    pub(crate) async fn next_due(&self) -> Result<Option<Timestamp>> {
        let shards = self.house.mail.shards();
        let mut due = Vec::new();
        for shard in shards.all() {
            due.extend(shards.snapshot(shard).await?.next_due().await?);
        }
        Ok(due.into_iter().min())
    }

    /// Turns the clock to the next attempt; returns how long that was, or nothing if there is none.
    pub(crate) async fn turn(&self) -> Result<Option<Duration>> {
        let Some(due) = self.next_due().await? else {
            return Ok(None);
        };
        let pause = due.since(self.house.clock.now());
        self.house.clock.set(due);
        Ok(Some(pause))
    }

    /// What alice sees of how her mail fares.
    pub(crate) async fn delivery(&self, id: MessageId) -> Result<Vec<String>> {
        let sent = self.house.list("alice@demo.test", Role::Sent).await?;
        let sent = sent.into_iter().find(|sent| sent.id == id).context("no Sent copy")?;
        let shown = |delivery: Delivery| {
            let reply = delivery.reply.map(|reply| format!(" {reply}")).unwrap_or_default();
            let again = if delivery.next_attempt_at.is_some() { " (again)" } else { "" };
            format!("{} {:?}{reply}{again}", delivery.recipient, delivery.state)
        };
        Ok(sent.delivery.into_iter().map(shown).collect())
    }

    pub(crate) async fn subjects(&self, email: &str) -> Result<Vec<String>> {
        let list = self.house.list(email, Role::Inbox).await?;
        Ok(list.into_iter().map(|summary| summary.subject).collect())
    }

    /// The bytes of the newest mail in the inbox.
    pub(crate) async fn newest(&self, email: &str) -> Result<String> {
        let list = self.house.list(email, Role::Inbox).await?;
        self.house.raw(email, list.first().context("an empty inbox")?.id).await
    }

    pub(crate) async fn queued(&self) -> Result<usize> {
        Ok(self.house.mail.admin().queue(100).await?.len())
    }
}

pub(crate) async fn work(house: &House, worker: &Worker) -> Result<()> {
    loop {
        let mut started = 0;
        for shard in house.mail.shards().all() {
            started += worker.start_due(shard).await?;
        }
        worker.idle().await;
        if started == 0 {
            return Ok(());
        }
    }
}

fn worker(
    house: &House,
    courier: &Arc<Puppet>,
    shutdown: &CancellationToken,
    config: WorkerConfig,
) -> Worker {
    Worker::new(Parts {
        mail: house.mail.clone(),
        router: Arc::new(Anywhere),
        courier: Arc::<Puppet>::clone(courier),
        signer: None,
        config,
        shutdown: shutdown.clone(),
    })
}
