//! Opens the parts that the configuration chooses, and makes the mail service of them.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use blob::{FileBlobs, S3Blobs, S3Limits};
use cluster::{Bus, Cache, LocalBus, LocalCache, LocalLimits, RateLimits, Redis, RedisOptions};
use search::{Hits, MeiliSearch, Op, Rebuild, Search, Size, TantivySearch};
use storage::{Blobs, Directory, Moves as _};
use storage_sql::{DatabaseUrl, Databases, SqlDirectory, SqlShards};
use types::{AccountId, Clock, MessageId, ShardId, query::Query};

use crate::{
    backup::Ports,
    clock::{SystemClock, SystemRandom},
    config::{BlobStore, Config, Database, SearchIndex, Shared},
    door,
    index::{Index, LateMeili},
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
    pub(crate) directory: Arc<dyn Directory>,
    /// For backups.
    pub(crate) ports: Ports,
    pub(crate) index: Index,
}

const CACHE_BYTES: u64 = 32 << 20;
const LIMITED_KEYS: usize = 100_000;
/// What everything of ours in Redis begins with.
const REDIS_PREFIX: &str = "magpie";

/// Opens everything, bringing databases up to this version.
pub(crate) async fn open(config: &Config, indexing: Indexing) -> anyhow::Result<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (sql, service) = open_databases(config).await?;
    let blobs = blobs(config, &clock).await?;
    let Between { bus, cache, limits } = between(config, &service, &clock).await?;
    let (search, index) = index(config, indexing).await?;
    let directory = Arc::clone(&sql.directory);
    let ports = Ports { directory: sql.directory, shards: sql.shards, blobs, clock: Arc::clone(&clock) };
    let mail = mail::Service::new(mail::Parts {
        directory: Arc::clone(&ports.directory),
        shards: Arc::clone(&ports.shards),
        blobs: Arc::clone(&ports.blobs),
        bus,
        cache,
        limits,
        search,
        clock: Arc::clone(&clock),
        random: Arc::new(SystemRandom),
        config: mail_config(config),
    });
    Ok(Parts { mail, clock, directory, ports, index })
}

/// Where the directory and the shards are.
pub(crate) fn databases(config: &Config) -> (DatabaseUrl, Vec<(ShardId, DatabaseUrl)>) {
    let database = |url: &Database| match &url.0 {
        DatabaseUrl::Sqlite(path) => DatabaseUrl::Sqlite(config.in_data(path)),
        DatabaseUrl::Postgres(_) => url.0.clone(),
    };
    let shards = (0..).map(ShardId).zip(config.shards.urls.iter().map(database)).collect();
    (database(&config.directory.url), shards)
}

/// The databases, and the id of the service that they are of.
async fn open_databases(config: &Config) -> anyhow::Result<(Databases, String)> {
    let (directory, shards) = databases(config);
    let quota_bytes = config.limits.quota_bytes();
    let options = storage_sql::Options { quota_bytes, ..storage_sql::Options::default() };
    let directory = Arc::new(SqlDirectory::open(&directory, &options).await.context("directory.url")?);
    let service = directory.service_id().await.context("directory.url")?;
    let shards = SqlShards::follow(Arc::clone(&directory), &shards, &options).await.context("shards.urls")?;
    Ok((Databases { directory, shards }, service))
}

async fn blobs(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Blobs>> {
    Ok(match (&config.blobs.url, &config.s3_keys) {
        (BlobStore::Files(path), _) => {
            Arc::new(FileBlobs::open(&config.in_data(path), Arc::clone(clock)).context("blobs.url")?)
        }
        (BlobStore::S3(url), Some(keys)) => {
            let instance = u128::from_le_bytes(random());
            Arc::new(S3Blobs::open(url, keys, &S3Limits::default(), instance).await.context("blobs.url")?)
        }
        (BlobStore::S3(_), None) => anyhow::bail!("blobs.url: S3 needs keys"),
    })
}

/// What connects nodes, or only the sessions of one.
struct Between {
    bus: Arc<dyn Bus>,
    cache: Arc<dyn Cache>,
    limits: Arc<dyn RateLimits>,
}

async fn between(config: &Config, service: &str, clock: &Arc<dyn Clock>) -> anyhow::Result<Between> {
    // Services may share a Redis.
    let prefix = format!("{REDIS_PREFIX}-{}", service.replace('-', ""));
    let options = RedisOptions { prefix, node: u64::from_le_bytes(random()) };
    let (cache, limits) = (LocalCache::new(CACHE_BYTES), LocalLimits::new(Arc::clone(clock), LIMITED_KEYS));
    let (cache, limits): (Arc<dyn Cache>, Arc<dyn RateLimits>) = match &config.cache.url {
        Shared::Memory => (Arc::new(cache), Arc::new(limits)),
        Shared::Redis(url) => {
            let redis = Redis::connect(url, options.clone()).await.context("cache.url")?;
            (Arc::new(redis.cache(cache)), Arc::new(redis.limits(limits)))
        }
    };
    let bus: Arc<dyn Bus> = match &config.bus.url {
        Shared::Memory => Arc::new(LocalBus::new()),
        Shared::Redis(url) => Arc::new(Redis::connect(url, options).await.context("bus.url")?.bus()),
    };
    Ok(Between { bus, cache, limits })
}

async fn index(config: &Config, indexing: Indexing) -> anyhow::Result<(Arc<dyn Search>, Index)> {
    Ok(match (&config.search.url, indexing) {
        (SearchIndex::None, _) => {
            (Arc::new(NoIndex("there is no index (search.url is none:)")), Index::Absent)
        }
        (SearchIndex::Tantivy(_), Indexing::Elsewhere) => {
            (Arc::new(NoIndex("the index belongs to the running server")), Index::Absent)
        }
        (SearchIndex::Tantivy(path), Indexing::Here) => {
            let opened = TantivySearch::open(&config.in_data(path)).context("search.url")?;
            (Arc::new(opened.search.clone()), Index::Tantivy(Arc::new(opened)))
        }
        (SearchIndex::Meili(url), indexing) => {
            let late = LateMeili::open(url, indexing).await.context("search.url")?;
            (Arc::new(late.clone()), Index::Meili(late))
        }
    })
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    mail::Random::fill(&SystemRandom, &mut bytes);
    bytes
}

/// How large the index is, whoever has it open.
pub(crate) async fn index_size(config: &Config) -> anyhow::Result<Size> {
    let size = async || match &config.search.url {
        SearchIndex::None => {
            anyhow::bail!("there is no index; use tantivy:PATH or meilisearch://HOST:PORT?key=...")
        }
        SearchIndex::Tantivy(path) => Ok(TantivySearch::size_of(&config.in_data(path)).await?),
        SearchIndex::Meili(url) => match MeiliSearch::open(url).await? {
            opened if opened.fresh => Ok(Size::default()),
            opened => Ok(opened.search.size().await?),
        },
    };
    size().await.context("search.url")
}

/// The limits of the use-cases.
fn mail_config(config: &Config) -> mail::Config {
    mail::Config {
        hostname: hostname(config),
        max_message_bytes: config.limits.message_size.0,
        max_hold: config.limits.hold_time.0,
        max_upload_bytes: config.limits.upload_size.0,
        max_recipients: usize::try_from(config.limits.recipients).unwrap_or(usize::MAX),
        max_group_members: usize::try_from(config.limits.group_members).unwrap_or(usize::MAX),
        session_lifetime: config.auth.session_lifetime.0,
        queue_lifetime: config.queue.give_up_after.0,
        login_attempts_per_minute: config.limits.logins_per_minute,
        sends_per_hour: config.limits.sends_per_hour,
        reading_memory: config.limits.reading_memory.0,
        max_search_text: match config.search.url {
            SearchIndex::None => 0,
            SearchIndex::Tantivy(_) | SearchIndex::Meili(_) => config.search.text_size.bytes(),
        },
        subaddress_separator: config.smtp.subaddress_separator.0,
        subaddress_folders: config.smtp.subaddress_folders,
        scram_iterations: config.auth.scram_iterations,
        app_passwords: config.limits.app_passwords_per_account,
        door: door::limits(config),
        relays: relays(config),
        ..mail::Config::default()
    }
}

/// The hosts that the configuration sends mail by.
fn relays(config: &Config) -> Vec<String> {
    let of_routes = config.smtp.routes.iter().filter_map(|route| route.host.clone());
    of_routes.chain(config.smtp.relay.clone()).filter(|host| !host.is_empty()).collect()
}

/// What this server calls itself.
pub(crate) fn hostname(config: &Config) -> String {
    let system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = config.smtp.hostname.clone().or_else(system).unwrap_or_default();
    let name = name.trim();
    if types::address::is_domain(name) { name.to_owned() } else { "localhost".to_owned() }
}

/// The index where there is none, and why.
struct NoIndex(&'static str);

impl NoIndex {
    fn missing<T>(&self) -> storage::Result<T> {
        Err(storage::Error::Unavailable(self.0.into()))
    }
}

#[async_trait]
impl Search for NoIndex {
    async fn apply(&self, _: Vec<Op>) -> storage::Result<()> {
        self.missing()
    }

    async fn find(&self, _: AccountId, _: &Query, _: Option<MessageId>, _: usize) -> storage::Result<Hits> {
        self.missing()
    }

    /// What stays in the index is found by nobody: an account's id is not given again.
    async fn forget(&self, _: AccountId) -> storage::Result<()> {
        Ok(())
    }

    async fn size(&self) -> storage::Result<Size> {
        self.missing()
    }

    async fn rebuild(&self) -> storage::Result<Box<dyn Rebuild>> {
        self.missing()
    }
}
