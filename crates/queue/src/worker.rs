//! The worker: claims what is due, delivers it, and writes the outcome down.
//!
//! An entry is claimed by a lease and attempted by a task of its own. What is known of a recipient is written down at once,
//! with the Sent copy, while other destinations are still on their way; the last such unit of work ends the lease and
//! queues the notification of all failures. If the process dies in between, the lease ends by itself and the rest is
//! attempted again: local deliveries have an id that makes the second one void, and a remote server may get again only
//! what was in flight.

mod attempt;
mod groups;
mod hold;
mod notify;
mod settle;
mod sign;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join;
use mail::Service;
use storage::{Lease, Needs, QueueEntry, Transaction, Unit};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;
use types::ShardId;

use crate::{Courier, Router, Schedule};
use groups::Groups;
use settle::Job;
pub use sign::{Signer, Unsigned};

/// How a worker works; see the server's `config.default.toml`.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Who claims, for people to read: every claim adds something random, so that no two are taken for each other.
    pub name: String,
    pub schedule: Schedule,
    /// When the sender is told that it takes long; `None`: never.
    pub warn_after: Option<Duration>,
    /// How long a claim lasts if the worker dies. While it lives, it renews its claims.
    pub lease: Duration,
    /// How long an attempt may take.
    pub attempt: Duration,
    /// How long what is on its way may take after the shutdown, before it is given back.
    pub finish: Duration,
    /// Entries claimed at once.
    pub in_hand: usize,
    /// Remote deliveries at once.
    pub concurrency: usize,
    /// Remote deliveries at once to one group of hosts, which is to say, to whoever runs them.
    pub per_destination: usize,
    /// How many it begins with.
    pub first_connections: usize,
    /// Mails to one group of hosts in a time, by all nodes together; `None`: as many as it takes.
    pub rate: Option<Rate>,
    /// Bytes of mails in memory at once; a larger mail goes alone.
    pub memory_bytes: u64,
    /// How often to look for work without having been woken: hints may be lost.
    pub poll: Duration,
}

/// So many in such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub period: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            schedule: Schedule::default(),
            warn_after: Some(Duration::from_secs(4 * 3_600)),
            lease: Duration::from_secs(60),
            attempt: Duration::from_secs(15 * 60),
            finish: Duration::from_secs(20),
            in_hand: 1_000,
            concurrency: 100,
            per_destination: 20,
            first_connections: 5,
            rate: None,
            memory_bytes: 256 << 20,
            poll: Duration::from_secs(30),
        }
    }
}

/// What a worker works with.
pub struct Parts {
    pub mail: Service,
    pub router: Arc<dyn Router>,
    pub courier: Arc<dyn Courier>,
    /// Signs what leaves; `None`: it leaves as it is.
    pub signer: Option<Arc<dyn Signer>>,
    pub config: WorkerConfig,
    /// Ends the work: what is on its way gets [`WorkerConfig::finish`], the rest is given back.
    pub shutdown: CancellationToken,
}

/// Delivers what is in the queues of all shards. Cheap to clone.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    mail: Service,
    router: Arc<dyn Router>,
    courier: Arc<dyn Courier>,
    signer: Option<Arc<dyn Signer>>,
    config: WorkerConfig,
    shutdown: CancellationToken,
    in_hand: Arc<Semaphore>,
    groups: Groups,
    /// Something that was claimed is due again sooner than its lease said.
    deferred: Notify,
    tasks: TaskTracker,
}

/// Entries claimed by one write.
const BATCH: usize = 100;
/// What was due and could not be claimed is looked at again after this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// How often to look for shards that were added.
const LOOK_FOR_SHARDS: Duration = Duration::from_secs(1);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

impl Worker {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { mail, router, courier, signer, config, shutdown } = parts;
        let in_hand = Arc::new(Semaphore::new(config.in_hand));
        let groups = Groups::new(&config, &in_hand);
        let tasks = TaskTracker::new();
        let deferred = Notify::new();
        Self(Arc::new(Inner {
            mail,
            router,
            courier,
            signer,
            config,
            shutdown,
            in_hand,
            groups,
            deferred,
            tasks,
        }))
    }

    /// Ends the claims of predecessors that died, so that nobody waits for them to end by themselves. Only for a worker that
    /// has not begun and knows that no other one works on this storage.
    pub async fn take_over(&self) {
        for shard in self.0.mail.shards().all() {
            match self.0.mail.write(shard, EndLeases).await {
                Ok(0) => {}
                Ok(ended) => tracing::info!(%shard, ended, "took over what a predecessor had claimed"),
                Err(error) => {
                    tracing::warn!(%shard, error = ?error, "the claims of predecessors are left to end")
                }
            }
        }
    }

    /// Works until the shutdown, and returns when everything claimed is settled.
    pub async fn run(&self) {
        let done = CancellationToken::new();
        let working = async {
            self.follow_all().await;
            self.idle().await;
            done.cancel();
        };
        join(working, self.0.courier.tend(&done)).await;
    }

    async fn follow_all(&self) {
        let mut followed = BTreeSet::new();
        // Shards may be added while it runs.
        loop {
            for shard in self.0.mail.shards().all() {
                if followed.insert(shard) {
                    self.0.tasks.spawn(self.clone().follow(shard));
                }
            }
            if self.0.shutdown.run_until_cancelled(sleep(LOOK_FOR_SHARDS)).await.is_none() {
                return;
            }
        }
    }

    /// Claims what is due on the shard, as far as there is room, and starts to deliver it. Returns how many entries.
    pub async fn start_due(&self, shard: ShardId) -> mail::Result<usize> {
        let Some(slots) = self.slots().await else {
            return Ok(0);
        };
        let now = self.0.mail.now();
        let lease = Lease {
            shard,
            worker: format!("{}/{:016x}", self.0.config.name, self.random()),
            now,
            until: now.plus(self.0.config.lease),
            limit: u32::try_from(slots.len()).unwrap_or(u32::MAX),
        };
        let name = lease.worker.clone();
        let entries = self.0.mail.write(shard, Claim(lease)).await?;
        let count = entries.len();
        for (entry, slot) in entries.into_iter().zip(slots) {
            let span = tracing::info_span!("delivery", queue_id = %entry.id, account = %entry.account);
            let worker = self.clone();
            let job = Job::new(shard, entry, name.clone());
            let task = async move {
                worker.attempt(job).await;
                drop(slot);
            };
            self.0.tasks.spawn(task.instrument(span));
        }
        Ok(count)
    }

    /// Returns when every delivery that was started is settled.
    pub async fn idle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.tasks.reopen();
    }

    async fn follow(self, shard: ShardId) {
        let shutdown = self.0.shutdown.clone();
        let mut wakeups = self.0.mail.bus().queue_wakeups();
        while !shutdown.is_cancelled() {
            // Before looking, so that nothing falls between looking and waiting.
            let deferred = self.0.deferred.notified();
            let pause = match self.turn(shard).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%shard, error = ?error, "the queue cannot be worked on");
                    PAUSE_AFTER_ERROR
                }
            };
            let woken = async { while wakeups.next().await != shard {} };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = woken => {}
                () = deferred => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Starts everything that is due; returns how long nothing else will be.
    async fn turn(&self, shard: ShardId) -> mail::Result<Duration> {
        loop {
            let due = self.0.mail.shards().latest(shard).await?.next_due().await?;
            let now = self.0.mail.now();
            match due {
                Some(due) if due <= now => {
                    if self.start_due(shard).await? == 0 {
                        return Ok(SHORTEST_PAUSE);
                    }
                }
                Some(due) => return Ok(due.since(now).clamp(SHORTEST_PAUSE, self.0.config.poll)),
                None => return Ok(self.0.config.poll),
            }
        }
    }

    /// Room for at least one entry; none if the work ends.
    async fn slots(&self) -> Option<Vec<OwnedSemaphorePermit>> {
        let room = || Arc::clone(&self.0.in_hand);
        let first = self.0.shutdown.run_until_cancelled(room().acquire_owned()).await?.ok()?;
        let mut slots = vec![first];
        while slots.len() < BATCH
            && let Ok(slot) = room().try_acquire_owned()
        {
            slots.push(slot);
        }
        Some(slots)
    }

    /// Returns when the shutdown was long enough ago that nobody should wait any more.
    async fn patience(&self) {
        self.0.shutdown.cancelled().await;
        sleep(self.0.config.finish).await;
    }

    fn random(&self) -> u64 {
        let mut bytes = [0; 8];
        self.0.mail.random().fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

struct Claim(Lease);

#[async_trait]
impl Unit for Claim {
    type Output = Vec<QueueEntry>;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<Vec<QueueEntry>> {
        tx.lease(&self.0).await
    }
}

struct EndLeases;

#[async_trait]
impl Unit for EndLeases {
    type Output = u64;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<u64> {
        tx.end_leases().await
    }
}
