//! The shards: writers and readers for each. Shards and the bucket map may change while they are used: see
//! [`SqlShards::follow`].

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::ConnectionTrait;
use storage::{
    BucketMap, Committed, Directory as _, ErasedUnit, Error, Moves as _, Result, Shards, Snapshot,
};
use tokio::{sync::Mutex, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{AccountId, Secret, ShardId, Timestamp};

use crate::{
    DatabaseUrl, Schema, SqlDirectory,
    connect::{Database, Options, Pool},
    error::failed,
    identity,
    open::Open,
    writer::{self, Writers},
};

/// All shards, in SQL databases.
pub struct SqlShards {
    view: RwLock<Arc<View>>,
    /// Where the map comes from; `None`: it never changes.
    directory: Option<Arc<SqlDirectory>>,
    /// The map's version; one refresh at a time.
    version: Mutex<i64>,
    options: Options,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The shards and the map as of now.
#[derive(Clone)]
struct View {
    shards: BTreeMap<ShardId, Arc<Shard>>,
    map: Arc<BucketMap>,
}

struct Shard {
    url: DatabaseUrl,
    readers: Pool,
    writers: Writers,
}

/// How long a change of the bucket map by another process goes unnoticed where nobody meets a fence.
const POLL: Duration = Duration::from_secs(1);

impl SqlShards {
    /// Opens the databases, making SQLite files where they are missing and bringing all up to this version.
    pub async fn open(
        shards: &[(ShardId, DatabaseUrl)],
        map: Arc<BucketMap>,
        options: &Options,
    ) -> Result<Self> {
        let view = View { shards: BTreeMap::new(), map: Arc::clone(&map) };
        let all = Self::new(view, None, options);
        let mut opened = BTreeMap::new();
        for (id, url) in shards {
            opened.insert(*id, all.start(*id, all.database(url).await?));
        }
        all.set(View { shards: opened, map })?;
        Ok(all)
    }

    /// The same for the shards of a service: those of the configuration, and those that its directory knows beside
    /// them, by its bucket map, and from then on as they change.
    pub async fn follow(
        directory: Arc<SqlDirectory>,
        configured: &[(ShardId, DatabaseUrl)],
        options: &Options,
    ) -> Result<Arc<Self>> {
        let ids: Vec<_> = configured.iter().map(|(id, _)| *id).collect();
        let service = directory.service_id().await?;
        let map = directory.bucket_map(&ids).await?;
        let all = Self::new(View { shards: BTreeMap::new(), map }, Some(directory), options);
        let mut view = View::clone(&all.view());
        for (id, url) in configured {
            let database = all.database(url).await?;
            identity::assure(&database.writers(), &service, *id, url).await?;
            view.shards.insert(*id, all.start(*id, database));
        }
        *all.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        all.refresh().await?;
        let all = Arc::new(all);
        all.tasks.spawn(poll(Arc::downgrade(&all), all.stop.clone()));
        Ok(all)
    }

    fn new(view: View, directory: Option<Arc<SqlDirectory>>, options: &Options) -> Self {
        let tasks = TaskTracker::new();
        tasks.close();
        Self {
            view: RwLock::new(Arc::new(view)),
            directory,
            version: Mutex::new(-1),
            options: options.clone(),
            tasks,
            stop: CancellationToken::new(),
        }
    }

    async fn database(&self, url: &DatabaseUrl) -> Result<Database> {
        Database::open(url, Schema::Shard, &self.options).await
    }

    fn start(&self, id: ShardId, database: Database) -> Arc<Shard> {
        let writers = writer::start(id, &database.writers(), &database, &self.tasks, &self.stop);
        Arc::new(Shard { readers: database.readers(), url: database.url, writers })
    }

    /// Commits what waits and closes the connections.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
        for shard in self.view().shards.values() {
            shard.readers.close().await;
        }
    }

    /// Transactions committed so far, by all shards; each is one fsync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.view().shards.values().map(|shard| shard.writers.commits()).sum()
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a view in, if every bucket has its shard.
    fn set(&self, view: View) -> Result<()> {
        let lost = (0_u16..).zip(&view.map.shards).find(|(_, shard)| !view.shards.contains_key(shard));
        if let Some((bucket, shard)) = lost {
            let text = format!(
                "shards.urls: bucket {bucket} lives on shard {shard}, which is not among the {} that are known: list \
                 its database again, in its old place",
                view.shards.len()
            );
            return Err(Error::Backend(text.into()));
        }
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        Ok(())
    }

    fn shard(&self, id: ShardId) -> Result<Arc<Shard>> {
        let view = self.view();
        view.shards.get(&id).cloned().ok_or_else(|| Error::Backend(format!("there is no shard {id}").into()))
    }
}

/// Follows the directory until the shards are gone or closed.
async fn poll(shards: Weak<SqlShards>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(POLL)).await.is_some() {
        let Some(shards) = shards.upgrade() else { return };
        if let Err(error) = shards.refresh().await {
            tracing::warn!(%error, cause = ?std::error::Error::source(&error), "the bucket map is as it was");
        }
    }
}

impl Drop for SqlShards {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[async_trait]
impl Shards for SqlShards {
    fn all(&self) -> Vec<ShardId> {
        self.view().shards.keys().copied().collect()
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        self.view().map.shard_of(account)
    }

    async fn snapshot(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        let conn = self.shard(shard)?.readers.begin().await.map_err(failed)?;
        Ok(Box::new(Open::reader(conn)))
    }

    async fn latest(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(Open::reader(self.shard(shard)?.readers.each())))
    }

    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        let view = self.view();
        // Set up where it does not live, an account would be there twice.
        if unit.needs().accounts.iter().any(|account| view.map.shard_of(*account) != shard) {
            return Err(Error::Moving);
        }
        self.shard(shard)?.writers.execute(unit).await
    }

    async fn ping(&self, shard: ShardId) -> Result<()> {
        let conn = self.shard(shard)?.readers.each();
        conn.execute_unprepared("SELECT 1 FROM account LIMIT 1").await.map_err(failed)?;
        Ok(())
    }

    async fn refresh(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut known = self.version.lock().await;
        let version = directory.map_version().await?;
        if version == *known {
            return Ok(());
        }
        let mut view = View::clone(&self.view());
        for added in directory.added_shards().await? {
            let url: DatabaseUrl = added.url.expose().parse().map_err(|error: String| {
                Error::Corrupt(format!("the directory's URL of shard {}: {error}", added.id))
            })?;
            match view.shards.get(&added.id).map(|there| there.url == url) {
                Some(true) => {}
                Some(false) => {
                    let text = format!(
                        "shards.urls lists a database as shard {}, which is {url}: take it out of the list",
                        added.id
                    );
                    return Err(Error::Backend(text.into()));
                }
                None => {
                    let database = self.database(&url).await?;
                    let service = directory.service_id().await?;
                    identity::assure(&database.writers(), &service, added.id, &url).await?;
                    view.shards.insert(added.id, self.start(added.id, database));
                }
            }
        }
        view.map = directory.bucket_map(&[]).await?;
        self.set(view)?;
        *known = version;
        Ok(())
    }

    async fn add(&self, url: &Secret, now: Timestamp) -> Result<ShardId> {
        let unknown = || Error::Backend("the shards are not those of a service".into());
        let directory = self.directory.as_ref().ok_or_else(unknown)?;
        self.refresh().await?;
        let parsed: DatabaseUrl =
            url.expose().parse().map_err(|error: String| Error::Backend(error.into()))?;
        // A file is on one machine: another node would make one of its own, and take mail into it.
        let same_kind = |shard: &Arc<Shard>| {
            matches!(shard.url, DatabaseUrl::Sqlite(_)) == matches!(parsed, DatabaseUrl::Sqlite(_))
        };
        if !self.view().shards.values().all(same_kind) {
            let text = format!(
                "{parsed} is not a database of the kind of the other shards, and cannot be one of them"
            );
            return Err(Error::Backend(text.into()));
        }
        let service = directory.service_id().await?;
        let pool = self.database(&parsed).await?.writers();
        let all = self.all();
        let next = ShardId(all.last().map_or(0, |last| last.0 + 1));
        // A number without a shard is left from an attempt that was broken off.
        let id = identity::known(&pool, &service, &parsed).await?.unwrap_or(next);
        if all.contains(&id) {
            return Err(Error::Exists("the shard"));
        }
        identity::assure(&pool, &service, id, &parsed).await?;
        pool.close().await;
        directory.add_shard(id, url, now).await?;
        self.refresh().await?;
        Ok(id)
    }

    fn name(&self, shard: ShardId) -> String {
        self.shard(shard).map_or_else(|_| String::new(), |shard| shard.url.to_string())
    }
}
