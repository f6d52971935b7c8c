//! The mail service on embedded parts in a folder of its own, with a few accounts and a clock to turn.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use blob::FileBlobs;
use cluster::{Cache, LocalCache};
use mail::{Access, Config, PageQuery, Parts, Random, Service};
use search::TantivySearch;
use storage::Shards;
use storage_sql::DatabaseUrl;
use tempfile::TempDir;
use types::{Clock, EmailAddress, MessageId, Role, Secret, ShardId, api};

use crate::{PostgresCluster, TurnedClock};

/// A service with the domain `demo.test` and the accounts of `alice`, `bob` and `admin`.
pub struct House {
    pub mail: Service,
    pub clock: Arc<TurnedClock>,
    ground: Ground,
}

/// What the nodes of a service share.
struct Ground {
    /// The directory's and two shards'.
    databases: [DatabaseUrl; 3],
    clock: Arc<TurnedClock>,
    blobs: Arc<FileBlobs>,
    search: TantivySearch,
    random: Arc<Counting>,
    _folder: TempDir,
}

/// Everybody's.
pub const PASSWORD: &str = "magpie-demo";

impl Ground {
    /// On SQLite files, or on these databases.
    fn open(databases: Option<[DatabaseUrl; 3]>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str| DatabaseUrl::sqlite(folder.path().join(name));
        let files = || ["directory.sqlite", "shard0.sqlite", "shard1.sqlite"].map(file);
        let databases = databases.unwrap_or_else(files);
        let clock = Arc::new(TurnedClock::default());
        let blobs = FileBlobs::open(&folder.path().join("blobs"), Arc::<TurnedClock>::clone(&clock))?;
        let search = TantivySearch::open(&folder.path().join("search"))?.search;
        Ok(Self { databases, clock, blobs: Arc::new(blobs), search, random: Arc::default(), _folder: folder })
    }

    async fn node(
        &self,
        cache: Arc<dyn Cache>,
        config: Config,
        wrap: impl FnOnce(Arc<dyn Shards>) -> Arc<dyn Shards>,
    ) -> Result<Service> {
        let mut parts = self.parts(cache, config).await?;
        parts.shards = wrap(parts.shards);
        Ok(Service::new(parts))
    }

    async fn parts(&self, cache: Arc<dyn Cache>, config: Config) -> Result<Parts> {
        let [directory, first, second] = &self.databases;
        let shards = [(ShardId(0), first.clone()), (ShardId(1), second.clone())];
        // What is done to two messages already is written to their rows later, as in production what is done to many.
        let options = storage_sql::Options { defer_from: 2, ..storage_sql::Options::default() };
        let databases = storage_sql::open(directory, &shards, &options).await?;
        let clock: Arc<dyn Clock> = Arc::<TurnedClock>::clone(&self.clock);
        Ok(Parts {
            directory: databases.directory,
            shards: databases.shards,
            blobs: Arc::<FileBlobs>::clone(&self.blobs),
            bus: Arc::new(cluster::LocalBus::new()),
            cache,
            limits: Arc::new(cluster::LocalLimits::new(Arc::clone(&clock), 1_000)),
            search: Arc::new(self.search.clone()),
            clock,
            random: Arc::<Counting>::clone(&self.random),
            config,
        })
    }
}

impl House {
    pub async fn open() -> Result<Self> {
        Self::open_on(|shards| shards).await
    }

    /// With something between the service and its shards.
    pub async fn open_on(wrap: impl FnOnce(Arc<dyn Shards>) -> Arc<dyn Shards>) -> Result<Self> {
        Self::furnish(Ground::open(None)?, wrap).await
    }

    /// With databases of this server.
    pub async fn open_on_postgres(cluster: &PostgresCluster) -> Result<Self> {
        let mut urls = Vec::new();
        for name in ["directory", "shard0", "shard1"] {
            cluster.create_database(name).await?;
            urls.push(cluster.url(name).parse().map_err(anyhow::Error::msg)?);
        }
        let urls = urls.try_into().map_err(|_| anyhow::anyhow!("three databases"))?;
        Self::furnish(Ground::open(Some(urls))?, |shards| shards).await
    }

    async fn furnish(ground: Ground, wrap: impl FnOnce(Arc<dyn Shards>) -> Arc<dyn Shards>) -> Result<Self> {
        let cache = Arc::new(LocalCache::new(1 << 20));
        let config = Config { hostname: "mx.demo.test".to_owned(), ..Config::default() };
        let mail = ground.node(cache, config, wrap).await?;
        let admin = mail.admin();
        admin.add_domain("demo.test").await?;
        for name in ["alice", "bob", "admin"] {
            let email = format!("{name}@demo.test").parse()?;
            admin.add_account(&email, name, Secret::new(PASSWORD.to_owned()), None).await?;
        }
        Ok(Self { mail, clock: Arc::clone(&ground.clock), ground })
    }

    /// Another node over the same databases, with this cache.
    pub async fn node(&self, cache: Arc<dyn Cache>) -> Result<Service> {
        self.node_on(cache, |shards| shards).await
    }

    /// The same with something between the node and its shards.
    pub async fn node_on(
        &self,
        cache: Arc<dyn Cache>,
        wrap: impl FnOnce(Arc<dyn Shards>) -> Arc<dyn Shards>,
    ) -> Result<Service> {
        self.ground.node(cache, self.mail.config().clone(), wrap).await
    }

    /// Another node, configured like this.
    pub async fn node_with(&self, config: Config) -> Result<Service> {
        self.ground.node(Arc::new(LocalCache::new(1 << 20)), config, |shards| shards).await
    }

    /// Another node, of parts that were changed.
    pub async fn node_of(&self, change: impl FnOnce(&mut Parts)) -> Result<Service> {
        let cache = Arc::new(LocalCache::new(1 << 20));
        let mut parts = self.ground.parts(cache, self.mail.config().clone()).await?;
        change(&mut parts);
        Ok(Service::new(parts))
    }

    /// The access of whoever has this address.
    pub async fn access(&self, email: &str) -> Result<Access> {
        Ok(self.mail.admin().open(&email.parse::<EmailAddress>()?).await?)
    }

    /// What is in that folder of the account, newest first.
    pub async fn list(&self, email: &str, role: Role) -> Result<Vec<api::Summary>> {
        let access = self.access(email).await?;
        let folders = access.folders().await?.folders;
        let folder = folders.iter().find(|folder| folder.role == Some(role)).context("no such folder")?;
        Ok(access.page(folder.id, &PageQuery::default()).await?.messages)
    }

    /// The stored bytes of a message.
    pub async fn raw(&self, email: &str, id: MessageId) -> Result<String> {
        use futures::TryStreamExt;
        let download = self.access(email).await?.raw(id).await?;
        let mut pieces = download.content.bytes(0..u64::MAX);
        let mut all = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(String::from_utf8(all)?)
    }
}

/// Bytes that never repeat and are the same in every run.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Random for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let mut x = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^= x >> 31;
            piece.iter_mut().zip(x.to_le_bytes()).for_each(|(byte, random)| *byte = random);
        }
    }
}
