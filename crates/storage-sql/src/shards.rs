//! The shards: writers and readers for each. Shards and the bucket map may change while they are used: see
//! [`SqlShards::follow`].
//!
//! A shard that is away keeps nobody from the others: those who need it are told to come again. The map is always taken
//! in, also where it names a shard that this node cannot open: what lives there is *not available*, never empty, and never
//! written to where it lived before.

mod add;
mod one;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{ConnectionTrait as _, Statement};
use storage::{
    BucketMap, Committed, Directory as _, ErasedUnit, Error, Moves as _, Result, Shards, Snapshot, Stamp,
    moves::AddedShard,
};
use tokio::{sync::Mutex, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{AccountId, Secret, ShardId, Timestamp};

pub(crate) use self::one::Opened;
use self::one::{Opener, Shard};
use crate::{
    DatabaseUrl, SqlDirectory,
    connect::Options,
    error::{failed, why},
    open::Open,
    stamp,
};

/// All shards, in SQL databases.
pub struct SqlShards {
    view: RwLock<Arc<View>>,
    /// Where the map comes from; `None`: it never changes.
    directory: Option<Arc<SqlDirectory>>,
    /// Those whose URLs the directory does not know.
    configured: BTreeMap<ShardId, DatabaseUrl>,
    /// Why a shard's new URL is not taken, as it was said last.
    said: std::sync::Mutex<BTreeMap<ShardId, String>>,
    /// The map's version; one refresh at a time.
    version: Mutex<i64>,
    opener: Opener,
}

/// The shards and the map as of now.
#[derive(Clone)]
struct View {
    shards: BTreeMap<ShardId, Arc<Shard>>,
    map: Arc<BucketMap>,
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
        let all = Self::new(view, None, (shards, None), options);
        let mut opened = BTreeMap::new();
        for (id, url) in shards {
            let shard = Shard::new(*id, url, options);
            all.opener.open(&shard).await?;
            opened.insert(*id, shard);
        }
        let view = View { shards: opened, map };
        view.check()?;
        all.set(view);
        Ok(all)
    }

    /// The same for the shards of a service: those of the configuration, and those that its directory knows beside
    /// them, by its bucket map, and from then on as they change. Servers that are away are no error: their shards are
    /// opened when they answer.
    pub async fn follow(
        directory: Arc<SqlDirectory>,
        configured: &[(ShardId, DatabaseUrl)],
        options: &Options,
    ) -> Result<Arc<Self>> {
        let ids: Vec<_> = configured.iter().map(|(id, _)| *id).collect();
        let service = directory.service_id().await?;
        let map = directory.bucket_map(&ids).await?;
        let view = View { shards: BTreeMap::new(), map };
        let all = Self::new(view, Some(directory), (configured, Some(service)), options);
        let mut view = View::clone(&all.view());
        for (id, url) in configured {
            all.begin(&mut view, *id, url);
        }
        all.set(view);
        all.refresh().await?;
        let view = all.view();
        for shard in view.shards.values() {
            shard.tried().await?;
        }
        view.check()?;
        let all = Arc::new(all);
        all.opener.tasks.spawn(poll(Arc::downgrade(&all), all.opener.stop.clone()));
        Ok(all)
    }

    fn new(
        view: View,
        directory: Option<Arc<SqlDirectory>>,
        (configured, service): (&[(ShardId, DatabaseUrl)], Option<String>),
        options: &Options,
    ) -> Self {
        let tasks = TaskTracker::new();
        tasks.close();
        let opener = Opener { options: options.clone(), service, tasks, stop: CancellationToken::new() };
        Self {
            view: RwLock::new(Arc::new(view)),
            directory,
            configured: configured.iter().cloned().collect(),
            said: std::sync::Mutex::default(),
            version: Mutex::new(-1),
            opener,
        }
    }

    /// Commits what waits and closes the connections.
    pub async fn close(&self) {
        self.opener.stop.cancel();
        self.opener.tasks.wait().await;
        for opened in self.open_ones() {
            opened.readers.close().await;
        }
    }

    /// Transactions committed so far, by all shards; each is one fsync.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.open_ones().iter().map(|opened| opened.writers.commits()).sum()
    }

    fn open_ones(&self) -> Vec<Arc<Opened>> {
        self.view().shards.values().filter_map(|shard| shard.if_open()).collect()
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    async fn opened(&self, id: ShardId) -> Result<Arc<Opened>> {
        let shard = self.view().shards.get(&id).cloned();
        let missing = || Error::Unavailable(format!("this node does not know shard {id}").into());
        shard.ok_or_else(missing)?.opened().await
    }

    /// Takes a shard that was added into the view; false if that is to be tried again.
    async fn take_in(&self, view: &mut View, added: &AddedShard) -> bool {
        let id = added.id;
        let url = match (added.url.expose().parse::<DatabaseUrl>(), self.configured.get(&id)) {
            (Ok(url), Some(listed)) if *listed != url => {
                let text = format!(
                    "shard {id} is {url}, which was added at run time, and not the database in its place in the list: \
                     take that out of the list"
                );
                return view.refuse(id, text);
            }
            (Ok(url), _) => url,
            (Err(error), _) => {
                return view.refuse(id, format!("the directory's URL of shard {id}: {error}"));
            }
        };
        match view.shards.get(&id).map(|shard| shard.url()) {
            Some(Some(there)) if *there == url => {}
            Some(Some(_)) => {
                let shard = Shard::new(id, &url, &self.opener.options);
                if let Err(error) = self.opener.open(&shard).await {
                    if self.is_news(id, why(&error)) {
                        tracing::warn!(shard = %id, %url, reason = why(&error), "a new URL does not lead to the shard");
                    }
                    return false;
                }
                view.shards.insert(id, shard);
            }
            // What was refused before may be mended by now.
            Some(None) | None => self.begin(view, id, &url),
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        true
    }

    fn begin(&self, view: &mut View, id: ShardId, url: &DatabaseUrl) {
        let shard = Shard::new(id, url, &self.opener.options);
        self.opener.begin(&shard);
        view.shards.insert(id, shard);
    }

    /// Whether that was not said of the shard already.
    fn is_news(&self, id: ShardId, text: String) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = said.get(&id) != Some(&text);
        said.insert(id, text);
        is_news
    }
}

impl View {
    /// Has the shard be one that is never opened, as long as that is so.
    fn refuse(&mut self, id: ShardId, text: String) -> bool {
        if !self.shards.get(&id).is_some_and(|shard| shard.is_refused_for(&text)) {
            self.shards.insert(id, Shard::refused(id, text));
        }
        true
    }

    /// An error if a bucket lives on a shard that is not known.
    fn check(&self) -> Result<()> {
        let lost = (0_u16..).zip(&self.map.shards).find(|(_, shard)| !self.shards.contains_key(shard));
        let Some((bucket, shard)) = lost else { return Ok(()) };
        let text = format!(
            "bucket {bucket} lives on shard {shard}, which is not among the {} that are known: list its database \
             again, in its old place",
            self.shards.len()
        );
        Err(Error::Backend(text.into()))
    }
}

/// Follows the directory until the shards are gone or closed.
async fn poll(shards: Weak<SqlShards>, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(POLL)).await.is_some() {
        let Some(shards) = shards.upgrade() else { return };
        if let Err(error) = shards.refresh().await {
            tracing::warn!(reason = why(&error), "the bucket map is as it was");
        }
    }
}

impl Drop for SqlShards {
    fn drop(&mut self) {
        self.opener.stop.cancel();
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
        let opened = self.opened(shard).await?;
        let conn = opened.readers.begin().await.map_err(failed)?;
        Ok(Box::new(Open::reader(conn, Some(opened))))
    }

    async fn latest(&self, shard: ShardId) -> Result<Box<dyn Snapshot>> {
        let opened = self.opened(shard).await?;
        let conn = opened.readers.each();
        Ok(Box::new(Open::reader(conn, Some(opened))))
    }

    fn stamp(&self, shard: ShardId) -> Option<Stamp> {
        let shard = self.view().shards.get(&shard).cloned()?;
        shard.if_open()?;
        match shard.url()? {
            DatabaseUrl::Sqlite(path) => stamp::stamp(shard.id, path),
            DatabaseUrl::Postgres(_) => None,
        }
    }

    async fn execute(&self, shard: ShardId, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        let view = self.view();
        // Set up where it does not live, an account would be there twice.
        let needs = unit.needs();
        if needs.accounts.iter().any(|account| view.map.shard_of(*account) != shard) {
            return Err(Error::Moving);
        }
        let opened = self.opened(shard).await?;
        let before = if needs.stamp { self.stamp(shard) } else { None };
        let mut committed = opened.writers.execute(unit).await?;
        if committed.alone
            && let Some(before) = before
        {
            committed.stamp = self.stamp(shard).filter(|after| after.commits == before.commits + 1);
        }
        Ok(committed)
    }

    async fn ping(&self, shard: ShardId) -> Result<()> {
        let conn = self.opened(shard).await?.readers.each();
        let one = Statement::from_string(conn.get_database_backend(), "SELECT 1 FROM account LIMIT 1");
        conn.each_row(one, 1, |_| Ok(())).await.map(drop).map_err(failed)
    }

    async fn refresh(&self) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut known = self.version.lock().await;
        let version = directory.map_version().await?;
        if version == *known {
            return Ok(());
        }
        let mut view = View::clone(&self.view());
        let (added, mut is_whole) = (directory.added_shards().await?, true);
        let is_added = |id: &ShardId| added.iter().any(|added| added.id == *id);
        view.shards.retain(|id, _| self.configured.contains_key(id) || is_added(id));
        for added in &added {
            is_whole &= self.take_in(&mut view, added).await;
        }
        for (id, url) in self.configured.iter().filter(|(id, _)| !is_added(id)) {
            // It was another one's place until now.
            if view.shards.get(id).is_some_and(|shard| shard.url().is_none()) {
                self.begin(&mut view, *id, url);
            }
        }
        view.map = directory.bucket_map(&[]).await?;
        if let Err(Error::Backend(reason)) = view.check() {
            tracing::error!(%reason, "what lives on a shard that this node does not know is not available here");
        }
        self.set(view);
        // What did not succeed is tried again.
        *known = if is_whole { version } else { -1 };
        Ok(())
    }

    async fn add(&self, url: &Secret, now: Timestamp) -> Result<ShardId> {
        add::add(self, url, now).await
    }

    fn name(&self, shard: ShardId) -> String {
        self.view().shards.get(&shard).map_or_else(String::new, |shard| shard.name.clone())
    }
}
