//! The service: its parts, and what all use-cases share.

use std::{ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use cluster::{Bus, Cache, Quota, RateLimits, Verdict};
use futures::future::join_all;
use message::SearchText;
use moka::sync::Cache as Memory;
use search::Search;
use storage::{Blobs, Committed, Directory, Shards, Snapshot, Stamp, Unit};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;
use types::{AccountId, Clock, MessageId, ShardId, Timestamp};

use crate::{
    Config, Error, Random, Result,
    endings::Endings,
    listing::{self, Rolls},
    names::{self, Names},
    password::Passwords,
    plain::{self, Plains},
    portraits::{self, Headers, Portraits},
    random,
    signatures::{self, Signatures},
};

/// What a service is made of; every part is a port.
pub struct Parts {
    pub directory: Arc<dyn Directory>,
    pub shards: Arc<dyn Shards>,
    pub blobs: Arc<dyn Blobs>,
    pub bus: Arc<dyn Bus>,
    pub cache: Arc<dyn Cache>,
    pub limits: Arc<dyn RateLimits>,
    pub search: Arc<dyn Search>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub config: Config,
}

/// The mail service. Cheap to clone.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

/// What all clones of a service share.
pub struct Inner {
    pub(crate) parts: Parts,
    /// Texts of mails that just came in, so that the indexer need not read and parse them again. Only speed.
    pub(crate) texts: Memory<(AccountId, MessageId), Arc<SearchText>>,
    pub(crate) rolls: Rolls,
    pub(crate) names: Names,
    pub(crate) signatures: Signatures,
    pub(crate) portraits: Portraits,
    pub(crate) headers: Headers,
    pub(crate) plains: Plains,
    pub(crate) passwords: Passwords,
    pub(crate) endings: Endings,
    /// Mails being composed at the same time: each may be as large as a mail can be.
    pub(crate) composing: Semaphore,
    /// Writes on their way, which go on when whoever asked for them is gone.
    writes: TaskTracker,
}

const TEXTS_BYTES: u64 = 16 << 20;
const COMPOSING: usize = 4;

impl Deref for Service {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Service {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let texts = Memory::builder()
            .max_capacity(TEXTS_BYTES)
            .weigher(|_, text: &Arc<SearchText>| u32::try_from(text.body.len() + 512).unwrap_or(u32::MAX))
            .build();
        let passwords = Passwords::new(&*parts.random);
        // What lists are drawn from and what decides searches is asked for of whole mailboxes.
        let eighth = parts.config.reading_memory / 8;
        let (portraits, headers) = portraits::kept(eighth * 3, eighth);
        Self(Arc::new(Inner {
            parts,
            texts,
            rolls: listing::rolls(),
            names: names::kept(),
            signatures: signatures::kept(eighth * 3),
            portraits,
            headers,
            plains: plain::kept(eighth),
            passwords,
            endings: Endings::default(),
            composing: Semaphore::new(COMPOSING),
            writes: TaskTracker::new(),
        }))
    }

    #[must_use]
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// All shards, for the queue's workers.
    #[must_use]
    pub fn shards(&self) -> &Arc<dyn Shards> {
        &self.parts.shards
    }

    #[must_use]
    pub fn bus(&self) -> &Arc<dyn Bus> {
        &self.parts.bus
    }

    #[must_use]
    pub fn cache(&self) -> &Arc<dyn Cache> {
        &self.parts.cache
    }

    #[must_use]
    pub fn limits(&self) -> &Arc<dyn RateLimits> {
        &self.parts.limits
    }

    /// Counts one more under the key, where all nodes count; or says how long to wait until that may be, if there were
    /// `count` in the period.
    pub async fn throttle(&self, key: &str, count: u32, period: Duration) -> Option<Duration> {
        match self.parts.limits.check(key, Quota { burst: count, count, period }).await {
            Verdict::Allowed { .. } => None,
            Verdict::Limited { retry_after } => Some(retry_after),
        }
    }

    #[must_use]
    pub fn random(&self) -> &Arc<dyn Random> {
        &self.parts.random
    }

    /// Shards that do not answer within this time. One that is away is no reason to turn the people of all others away;
    /// an error if the directory does not answer, or no shard.
    pub async fn ready(&self, patience: Duration) -> Result<Vec<ShardId>> {
        let late = |_| storage::Error::Unavailable("no answer in time".into());
        timeout(patience, self.parts.directory.ping()).await.map_err(late)??;
        let shards = self.parts.shards.all();
        let pings = shards.iter().map(|shard| timeout(patience, self.parts.shards.ping(*shard)));
        let (mut away, mut reason) = (Vec::new(), None);
        for (shard, answer) in shards.iter().zip(join_all(pings).await) {
            if let Err(error) = answer.map_err(late).flatten() {
                away.push(*shard);
                reason = Some(error);
            }
        }
        match reason {
            Some(error) if away.len() == shards.len() => Err(error.into()),
            Some(_) | None => Ok(away),
        }
    }

    /// Runs a unit of work on a shard and announces what it changed, also if the caller does not wait for it: a
    /// browser that hangs up must not keep the news from the others.
    pub async fn write<U: Unit>(&self, shard: ShardId, unit: U) -> Result<U::Output> {
        Ok(self.write_stamped(shard, unit).await?.0)
    }

    /// The same; also the shard's stamp after it, if it is known that nobody else has committed anything meanwhile.
    pub(crate) async fn write_stamped<U: Unit>(
        &self,
        shard: ShardId,
        unit: U,
    ) -> Result<(U::Output, Option<Stamp>)> {
        let service = self.clone();
        self.to_its_end(async move {
            let (output, committed) = service.write_where_it_lives(shard, unit).await?;
            service.publish(&committed);
            Ok((output, committed.stamp))
        })
        .await
    }

    /// Has something come to its end, also if the caller does not wait for it.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let task = self.writes.spawn(work);
        task.await.map_err(|error| Error::Internal(format!("write task: {error}")))?
    }

    /// Has something done while nobody waits for it, but the shutdown.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.writes.spawn(work);
    }

    /// Waits for writes that are on their way, at shutdown.
    pub async fn finish_writes(&self) {
        self.writes.close();
        self.writes.wait().await;
    }

    /// Commit first, then announce: the bus carries hints only.
    pub fn publish(&self, committed: &Committed) {
        self.parts.bus.publish(committed);
    }

    pub(crate) fn shard_of(&self, account: AccountId) -> ShardId {
        self.parts.shards.shard_of(account)
    }

    /// For callers that read once.
    pub(crate) async fn latest(&self, account: AccountId) -> Result<Box<dyn Snapshot>> {
        Ok(self.parts.shards.latest(self.shard_of(account)).await?)
    }

    pub(crate) fn random_bytes<const N: usize>(&self) -> [u8; N] {
        random::bytes(&*self.parts.random)
    }

    /// Stores a blob on the shard of its account.
    pub(crate) async fn put_blob(&self, shard: ShardId, bytes: Bytes) -> Result<types::BlobId> {
        Ok(self.parts.blobs.put(shard, bytes).await?)
    }
}
