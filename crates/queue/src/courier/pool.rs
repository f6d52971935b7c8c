//! Connections that are kept for the next mail to the same place.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Connection, Reuse};
use crate::{Caller, Target, Way};

/// What a connection is good for: the same address under the same name, as safe as before, and we the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    target: Target,
    caller: Same,
}

/// Callers by what they say; passwords included, and never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Same(Arc<Caller>);

impl std::hash::Hash for Same {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hello.hash(state);
        self.0.sources.hash(state);
        self.0.login.as_ref().map(|login| &login.user).hash(state);
    }
}

impl Key {
    pub(super) fn new(target: &Target, way: &Way) -> Self {
        // However preferred it was, it is the same host.
        let target = Target { preference: 0, ..target.clone() };
        Self { target, caller: Same(Arc::clone(&way.caller)) }
    }
}

/// A connection and its past.
pub(super) struct Kept {
    pub(super) connection: Connection,
    opened: Instant,
    idle_since: Option<Instant>,
    mails: u32,
}

/// Whoever has rested longer may have been forgotten by the other side.
const SHORT_REST: Duration = Duration::from_secs(1);

/// How much a connection that is about to be used has been used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rested {
    New,
    /// Just a moment ago.
    Shortly,
    Long,
}

impl Kept {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, opened: Instant::now(), idle_since: None, mails: 0 }
    }

    pub(super) fn rested(&self) -> Rested {
        match self.idle_since {
            None => Rested::New,
            Some(since) if since.elapsed() < SHORT_REST => Rested::Shortly,
            Some(_) => Rested::Long,
        }
    }
}

pub(super) struct Pool {
    reuse: Reuse,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The one used last comes last.
    places: HashMap<Key, Vec<Kept>>,
    count: usize,
}

/// How often idle connections are looked after.
const ROUND: Duration = Duration::from_secs(1);

impl Pool {
    pub(super) fn new(reuse: Reuse) -> Self {
        Self { reuse, idle: Mutex::default() }
    }

    /// The connection there that was used last, if the other side has not closed it.
    pub(super) fn take(&self, key: &Key) -> Option<Kept> {
        let mut idle = self.idle();
        let place = idle.places.get_mut(key)?;
        let mut dropped = 0;
        let mut found = None;
        while let Some(mut kept) = place.pop() {
            dropped += 1;
            let rest = kept.idle_since.map(|since| since.elapsed()).unwrap_or_default();
            if rest <= self.reuse.idle && kept.connection.is_quiet() {
                found = Some(kept);
                break;
            }
        }
        if place.is_empty() {
            idle.places.remove(key);
        }
        idle.count = idle.count.saturating_sub(dropped);
        if found.is_some() {
            metrics::counter!("magpie_queue_connections_reused_total").increment(1);
        }
        found
    }

    /// Keeps it, or gives it back if it has served.
    pub(super) fn keep(&self, key: Key, mut kept: Kept) -> Option<Kept> {
        kept.mails = kept.mails.saturating_add(1);
        let mut idle = self.idle();
        let served = kept.mails >= self.reuse.messages || kept.opened.elapsed() >= self.reuse.age;
        if served || idle.count >= self.reuse.connections {
            return Some(kept);
        }
        kept.idle_since = Some(Instant::now());
        idle.count += 1;
        idle.places.entry(key).or_default().push(kept);
        None
    }

    /// Says goodbye to connections that nobody has used for a while, until the shutdown; then to all.
    pub(super) async fn tend(&self, shutdown: &CancellationToken) {
        loop {
            let over = shutdown.run_until_cancelled(sleep(ROUND)).await.is_none();
            let idle = if over { Duration::ZERO } else { self.reuse.idle };
            let leaving = self.tired(idle);
            join_all(leaving.into_iter().map(|kept| kept.connection.quit())).await;
            if over {
                return;
            }
        }
    }

    fn tired(&self, idle: Duration) -> Vec<Kept> {
        let mut all = self.idle();
        let is_tired = |kept: &Kept| kept.idle_since.is_none_or(|since| since.elapsed() >= idle);
        let mut tired = Vec::new();
        all.places.retain(|_, place| {
            tired.extend(place.extract_if(.., |kept| is_tired(kept)));
            !place.is_empty()
        });
        all.count = all.count.saturating_sub(tired.len());
        tired
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
