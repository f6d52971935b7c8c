//! Whether a PostgreSQL server answers, so that nobody waits long for one that does not.
//!
//! Work that takes long has the server asked beside, by a connection of its own. A server that does not answer is *away*:
//! whoever comes is told so at once, and it is asked again in the background until it answers. Then all connections are
//! made anew, since those from before may lead nowhere.
//!
//! A server that refuses us (a wrong password, no free connection) answers, and a file is always there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sea_orm::DbErr;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::postgres;
use crate::{
    DatabaseUrl,
    error::{self, away, lost},
    url::PostgresUrl,
};

/// How a database is. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// For the metrics and the log: `directory`, `shard 3`.
    name: String,
    server: Option<PostgresUrl>,
    /// Work that takes no longer is let be.
    quiet: Duration,
    /// Why it is away, if it is.
    away: watch::Sender<Option<Arc<str>>>,
    /// When it answered last. One asks at a time.
    answered: Mutex<Option<Instant>>,
    /// How often it has come back.
    returns: AtomicU64,
}

/// Between two looks at a server that is away.
const LOOK: Duration = Duration::from_millis(500);
/// How long a server may take to answer who asks beside.
const ANSWER: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

impl Health {
    pub(super) fn new(name: &str, url: &DatabaseUrl, quiet: Duration) -> Self {
        let server = match url {
            DatabaseUrl::Sqlite(_) => None,
            DatabaseUrl::Postgres(url) => Some(url.clone()),
        };
        Self(Arc::new(Inner {
            name: name.to_owned(),
            server,
            quiet,
            away: watch::Sender::new(None),
            answered: Mutex::default(),
            returns: AtomicU64::new(0),
        }))
    }

    /// Says in the metrics whether it is there.
    pub(crate) fn announce(&self, is_there: bool) {
        if self.0.server.is_some() {
            let value = if is_there { 1.0 } else { 0.0 };
            metrics::gauge!("magpie_database_up", "database" => self.0.name.clone()).set(value);
        }
    }

    /// An error if it is away.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        self.reason().map_or(Ok(()), |reason| Err(away(&reason)))
    }

    fn reason(&self) -> Option<Arc<str>> {
        self.0.away.borrow().clone()
    }

    /// Why it is away, once it is.
    pub(crate) async fn until_away(&self) -> Arc<str> {
        let mut away = self.0.away.subscribe();
        let reason = match away.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        match reason {
            Some(reason) => reason,
            // The sender is ours: it does not end before this does.
            None => std::future::pending().await,
        }
    }

    /// How often it has come back: connections from before are not to be trusted.
    pub(super) fn returns(&self) -> u64 {
        self.0.returns.load(Ordering::Acquire)
    }

    /// The outcome of the work, or that it was given up since the server is away.
    pub(super) async fn watched<T>(&self, work: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        if self.0.server.is_none() {
            return work.await;
        }
        let (mut work, returns) = (std::pin::pin!(work), self.returns());
        loop {
            if let Ok(outcome) = timeout(self.0.quiet, &mut work).await {
                return outcome;
            }
            let asked = tokio::select! {
                outcome = &mut work => return outcome,
                asked = self.ask() => asked,
            };
            asked.map_err(|reason| lost(&reason))?;
            if self.returns() != returns {
                return Err(lost("the connection is from before the server was away"));
            }
        }
    }

    /// Whether it answers; asked by one for all who wonder at the same time.
    async fn ask(&self) -> Result<(), Arc<str>> {
        let Some(server) = &self.0.server else { return Ok(()) };
        let mut answered = self.0.answered.lock().await;
        if let Some(reason) = self.reason() {
            return Err(reason);
        }
        if answered.is_some_and(|at| at.elapsed() < self.0.quiet / 2) {
            return Ok(());
        }
        if let Err(error) = postgres::reach(server, ANSWER).await
            && error::is_broken(&error)
        {
            let reason = Arc::from(error.to_string());
            self.gone(&reason);
            return Err(reason);
        }
        *answered = Some(Instant::now());
        Ok(())
    }

    fn gone(&self, reason: &Arc<str>) {
        let Inner { name, away, .. } = &*self.0;
        if away.send_replace(Some(Arc::clone(reason))).is_some() {
            return;
        }
        tracing::warn!(database = name, %reason, "a database is away; who needs it is told to come again");
        self.announce(false);
        let inner = Arc::downgrade(&self.0);
        TaskTracker::new().spawn(async move {
            loop {
                sleep(LOOK).await;
                let Some(health) = inner.upgrade().map(Self) else { return };
                if health.is_back().await {
                    return;
                }
            }
        });
    }

    async fn is_back(&self) -> bool {
        let Some(server) = &self.0.server else { return true };
        match postgres::reach(server, ANSWER).await {
            Err(error) if error::is_broken(&error) => return false,
            Ok(()) | Err(_) => {}
        }
        self.0.returns.fetch_add(1, Ordering::AcqRel);
        self.0.away.send_replace(None);
        tracing::info!(database = self.0.name, "a database is there again");
        self.announce(true);
        true
    }

    /// Pauses before connections that broke are made anew.
    pub(super) fn retry(&self) -> Retry<'_> {
        Retry { health: self, began: Instant::now(), pause: FIRST_PAUSE }
    }
}

/// Pauses that grow, after which the server is asked whether it is there at all.
pub(super) struct Retry<'a> {
    health: &'a Health,
    began: Instant,
    pause: Duration,
}

impl Retry<'_> {
    pub(super) async fn pause(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if self.began.elapsed() >= self.health.0.quiet {
            // What comes of it is what the next try finds.
            let _asked = self.health.ask().await;
        }
    }
}
