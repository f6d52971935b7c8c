//! A shard on this node: open, being opened, or away. One that is away is opened as soon as it answers.

use std::{sync::Arc, time::Duration};

use storage::{Error, Result};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::ShardId;

use crate::{
    DatabaseUrl, Schema,
    connect::{Database, Options, Pool},
    error::why,
    identity,
    writer::{self, Writers},
};

pub(super) struct Shard {
    pub(super) id: ShardId,
    /// What people call its database.
    pub(super) name: String,
    /// `None`: what is given as its database is another one, and is never written to.
    database: Option<Database>,
    state: watch::Sender<State>,
}

/// A database that is the shard it is taken for, of this version.
pub(crate) struct Opened {
    pub(crate) readers: Pool,
    pub(crate) writers: Writers,
}

#[derive(Clone)]
enum State {
    Opening,
    Away(Arc<Reason>),
    Open(Arc<Opened>),
}

/// Why a shard is not open.
struct Reason {
    text: String,
    /// It does not answer; else an operator must do something.
    is_temporary: bool,
}

/// How long whoever needs a shard waits for it to be opened.
const OPENING: Duration = Duration::from_secs(2);
/// For how long a server is asked whether it is there.
const ASKING: Duration = Duration::from_millis(1_500);
/// Between two tries to open a shard; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The same where an operator must do something.
const LONG_PAUSE: Duration = Duration::from_secs(30);

impl Shard {
    pub(super) fn new(id: ShardId, url: &DatabaseUrl, options: &Options) -> Arc<Self> {
        let database = Database::new(Schema::Shard, &format!("shard {id}"), url, options);
        let (name, state) = (url.to_string(), watch::Sender::new(State::Opening));
        Arc::new(Self { id, name, database: Some(database), state })
    }

    /// A shard that is never opened, and why.
    pub(super) fn refused(id: ShardId, text: String) -> Arc<Self> {
        tracing::error!(shard = %id, reason = text, "a shard is not available on this node");
        let reason = Reason { text, is_temporary: false };
        let state = watch::Sender::new(State::Away(Arc::new(reason)));
        Arc::new(Self { id, name: String::new(), database: None, state })
    }

    /// Whether it is never opened, for this reason.
    pub(super) fn is_refused_for(&self, text: &str) -> bool {
        self.database.is_none() && matches!(&*self.state.borrow(), State::Away(reason) if reason.text == text)
    }

    pub(super) fn url(&self) -> Option<&DatabaseUrl> {
        self.database.as_ref().map(|database| &database.url)
    }

    fn announce(&self, is_there: bool) {
        if let Some(Database { health, .. }) = &self.database {
            health.announce(is_there);
        }
    }

    /// What reads and writes; an error if it is away.
    pub(super) async fn opened(&self) -> Result<Arc<Opened>> {
        if let State::Open(opened) = &*self.state.borrow() {
            return Ok(Arc::clone(opened));
        }
        let mut state = self.state.subscribe();
        let settled = timeout(OPENING, state.wait_for(|state| !matches!(state, State::Opening))).await;
        match settled.map(|state| state.map(|state| state.clone())) {
            Ok(Ok(State::Open(opened))) => Ok(opened),
            Ok(Ok(State::Away(reason))) => Err(Error::Unavailable(reason.text.clone().into())),
            _ => Err(Error::Unavailable(format!("{} is being opened", self.name).into())),
        }
    }

    /// The same of one that is open.
    pub(super) fn if_open(&self) -> Option<Arc<Opened>> {
        match &*self.state.borrow() {
            State::Open(opened) => Some(Arc::clone(opened)),
            State::Opening | State::Away(_) => None,
        }
    }

    /// Waits for the first try to open it; an error if an operator must do something.
    pub(super) async fn tried(&self) -> Result<()> {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| !matches!(state, State::Opening)).await.map(|state| state.clone()) {
            Ok(State::Away(reason)) if !reason.is_temporary => {
                Err(Error::Backend(reason.text.clone().into()))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn away(&self, error: &Error) -> bool {
        let is_file = matches!(self.url(), Some(DatabaseUrl::Sqlite(_)));
        let is_temporary = matches!(error, Error::Unavailable(_)) && !is_file;
        let text = why(error);
        let news = match &*self.state.borrow() {
            State::Away(before) => before.text != text,
            State::Opening | State::Open(_) => true,
        };
        if news {
            tracing::warn!(shard = %self.id, reason = text, "a shard cannot be opened; trying again");
            self.announce(false);
            self.state.send_replace(State::Away(Arc::new(Reason { text, is_temporary })));
        }
        is_temporary
    }
}

/// Opens shards.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) options: Options,
    /// Of which service they must be, if of one.
    pub(super) service: Option<String>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Opener {
    /// Opens the shard now, or as soon as it can be, unless nobody wants it any more.
    pub(super) fn begin(&self, shard: &Arc<Shard>) {
        let (opener, shard, first) = (self.clone(), Arc::downgrade(shard), Arc::clone(shard));
        let stop = self.stop.clone();
        let opening = async move {
            let (mut wanted, mut pause) = (Some(first), FIRST_PAUSE);
            while let Some(shard_now) = wanted.take().or_else(|| shard.upgrade()) {
                let Err(error) = opener.open(&shard_now).await else { break };
                let is_temporary = shard_now.away(&error);
                drop(shard_now);
                sleep(if is_temporary { pause } else { LONG_PAUSE }).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        self.tasks.spawn(async move { stop.run_until_cancelled(Box::pin(opening)).await });
    }

    /// Opens the shard, making an SQLite file where it is missing and bringing it up to this version.
    pub(super) async fn open(&self, shard: &Shard) -> Result<()> {
        let Some(database) = &shard.database else { return Ok(()) };
        database.open(ASKING).await?;
        let writers = database.writers();
        if let Some(service) = &self.service {
            identity::assure(&writers, service, shard.id, &database.url).await?;
        }
        let writers = writer::start(shard.id, &writers, database, &self.tasks, &self.stop)?;
        let opened = Opened { readers: database.readers(), writers };
        if let State::Away(_) = shard.state.send_replace(State::Open(Arc::new(opened))) {
            tracing::info!(shard = %shard.id, "a shard that was away is open");
        }
        shard.announce(true);
        Ok(())
    }
}
