//! Opens the parts that the configuration chooses, and makes the mail service of them.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use blob::FileBlobs;
use cluster::{LocalBus, LocalCache, LocalLimits};
use search::{Hits, Op, Rebuild, Search, Size, TantivySearch};
use storage_sql::DatabaseUrl;
use types::{AccountId, Clock, MessageId, ShardId, query::Query};

use crate::{
    clock::{SystemClock, SystemRandom},
    config::{BlobStore, Config, Database, SearchIndex, Shared},
};

/// Who has the search index open; one process at a time can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexing {
    Here,
    /// A command beside a running server: the server's indexer follows the change log.
    Elsewhere,
}

/// What was opened.
pub(crate) struct Parts {
    pub(crate) mail: mail::Service,
    /// For the endpoints.
    pub(crate) clock: Arc<dyn Clock>,
    /// Says that everything will be indexed anew, once that is noted.
    fresh_index: Option<TantivySearch>,
}

const CACHE_BYTES: u64 = 32 << 20;
const LIMITED_KEYS: usize = 100_000;

/// Opens everything, bringing databases up to this version.
pub(crate) async fn open(config: &Config, indexing: Indexing) -> anyhow::Result<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (directory, shards) = databases(config);
    let sql = storage_sql::open(&directory, &shards, &storage_sql::Options::default());
    let sql = sql.await.context("the databases")?;
    let BlobStore::Files(blobs) = &config.blobs.url;
    let blobs = FileBlobs::open(&config.in_data(blobs), Arc::clone(&clock)).context("blobs.url")?;
    let (Shared::Memory, Shared::Memory) = (&config.cache.url, &config.bus.url);
    let SearchIndex::Tantivy(index) = &config.search.url;
    let (search, fresh_index): (Arc<dyn Search>, _) = match indexing {
        Indexing::Elsewhere => (Arc::new(NoIndex), None),
        Indexing::Here => {
            let opened = TantivySearch::open(&config.in_data(index)).context("search.url")?;
            (Arc::new(opened.search.clone()), opened.fresh.then_some(opened.search))
        }
    };
    let mail = mail::Service::new(mail::Parts {
        directory: sql.directory,
        shards: sql.shards,
        blobs: Arc::new(blobs),
        bus: Arc::new(LocalBus::new()),
        cache: Arc::new(LocalCache::new(CACHE_BYTES)),
        limits: Arc::new(LocalLimits::new(Arc::clone(&clock), LIMITED_KEYS)),
        search,
        clock: Arc::clone(&clock),
        random: Arc::new(SystemRandom),
        config: limits(config),
    });
    Ok(Parts { mail, clock, fresh_index })
}

/// Where the directory and the shards are.
pub(crate) fn databases(config: &Config) -> (DatabaseUrl, Vec<(ShardId, DatabaseUrl)>) {
    let database = |Database::Sqlite(path): &Database| DatabaseUrl::sqlite(config.in_data(path));
    let shards = (0..).map(ShardId).zip(config.shards.urls.iter().map(database)).collect();
    (database(&config.directory.url), shards)
}

impl Parts {
    /// Notes that a new index lacks everything. Call it before the indexer runs.
    pub(crate) async fn accept_index(&self) -> anyhow::Result<()> {
        if let Some(index) = &self.fresh_index {
            self.mail.reindex().await?;
            index.accept()?;
        }
        Ok(())
    }
}

/// The limits of the use-cases.
fn limits(config: &Config) -> mail::Config {
    mail::Config {
        hostname: hostname(config),
        max_message_bytes: config.limits.message_size.0,
        max_upload_bytes: config.limits.upload_size.0,
        max_recipients: usize::try_from(config.limits.recipients).unwrap_or(usize::MAX),
        session_lifetime: config.auth.session_lifetime.0,
        queue_lifetime: config.queue.give_up_after.0,
        login_attempts_per_minute: config.limits.logins_per_minute,
        sends_per_hour: config.limits.sends_per_hour,
        ..mail::Config::default()
    }
}

/// What this server calls itself.
pub(crate) fn hostname(config: &Config) -> String {
    let system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = config.smtp.hostname.clone().or_else(system).unwrap_or_default();
    let name = name.trim();
    if types::address::is_domain(name) { name.to_owned() } else { "localhost".to_owned() }
}

/// The index as a command beside a running server sees it: not at all.
struct NoIndex;

#[async_trait]
impl Search for NoIndex {
    async fn apply(&self, _: Vec<Op>) -> storage::Result<()> {
        Err(elsewhere())
    }

    async fn find(&self, _: AccountId, _: &Query, _: Option<MessageId>, _: usize) -> storage::Result<Hits> {
        Err(elsewhere())
    }

    /// What stays in the index is found by nobody: an account's id is not given again.
    async fn forget(&self, _: AccountId) -> storage::Result<()> {
        Ok(())
    }

    async fn size(&self) -> storage::Result<Size> {
        Err(elsewhere())
    }

    async fn rebuild(&self) -> storage::Result<Box<dyn Rebuild>> {
        Err(elsewhere())
    }
}

fn elsewhere() -> storage::Error {
    storage::Error::Unavailable("the index belongs to the running server".into())
}
