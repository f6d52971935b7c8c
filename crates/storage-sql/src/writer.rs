//! Group commit: a shard's writers gather the units that wait and commit them together, with one fsync.
//!
//! While a batch is being committed, the next one gathers; nothing waits on purpose. SQLite has one writer. PostgreSQL
//! has a few that work side by side; units of the same account always meet the same one, so that they do not wait for
//! each other's locks. Writers of other nodes they may wait for: see `open::load`.
//!
//! A unit never suffers from another:
//! - one that fails without having written is answered, and the batch goes on;
//! - one that fails otherwise is run again by itself after a rollback, and the rest together without it;
//! - if no transaction can be begun, all that wait are told so;
//! - if writing or the commit fails, every unit is run again by itself, so that only the guilty one fails.
//!
//! A batch is run again as it is, for as long as patience lasts, when another transaction was in its way (a deadlock, a
//! row that is there by now) or its connection broke before it was committed. If the connection breaks after `COMMIT`
//! was sent, PostgreSQL is asked on a new one what became of the transaction (`mark`): what was committed is answered so,
//! what was not is run again, and only if nobody answers are the callers told that the shard is not available.
//!
//! Nobody waits for a database that is away, or for another's account: whoever is told to come again was not run and is
//! not going to be; units whose account another transaction does not let go of wait aside ([`aside`]).
//!
//! After a failed commit or rollback SQLite's connection is given up and made anew: it may have rolled back by itself
//! (a full disk), and what followed would no longer be in any transaction.

mod aside;
mod task;

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use storage::{Committed, ErasedUnit, Error, Result};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::ShardId;

use self::task::Task;
use crate::{
    DatabaseUrl,
    connect::{Database, Health, Pool},
};

/// Where units are handed to a shard's writers.
pub(crate) struct Writers {
    units: Vec<mpsc::Sender<Waiting>>,
    commits: Arc<AtomicU64>,
    health: Health,
}

/// A unit whose caller waits for its outcome.
struct Waiting {
    unit: Arc<dyn ErasedUnit>,
    answer: oneshot::Sender<Result<Committed>>,
    /// Set by whoever is first: the writer that is going to run it, or the caller who does not want it run any more.
    taken: Arc<AtomicBool>,
}

impl Waiting {
    /// Whether it is still to be run; nobody else is told so after this.
    fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }
}

impl Writers {
    pub(crate) async fn execute(&self, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        let stopped = || Error::Unavailable("the shard is being closed".into());
        let (answer, mut answered) = oneshot::channel();
        let units = self.of(&*unit).ok_or_else(stopped)?;
        let taken = Arc::<AtomicBool>::default();
        let waiting = Waiting { unit, answer, taken: Arc::clone(&taken) };
        let away = |reason: Arc<str>| Error::Unavailable(format!("the database is away: {reason}").into());
        tokio::select! {
            biased;
            reason = self.health.until_away() => return Err(away(reason)),
            sent = units.send(waiting) => sent.map_err(|_| stopped())?,
        }
        tokio::select! {
            biased;
            answer = &mut answered => return answer.map_err(|_| stopped())?,
            reason = self.health.until_away() => {
                if !taken.swap(true, Ordering::AcqRel) {
                    return Err(away(reason));
                }
            }
        }
        // It runs, and only the writer knows what becomes of it.
        answered.await.map_err(|_| stopped())?
    }

    /// The writer of the unit's account.
    fn of(&self, unit: &dyn ErasedUnit) -> Option<&mpsc::Sender<Waiting>> {
        let account = if self.units.len() > 1 { unit.needs().accounts.first().copied() } else { None };
        let hash =
            account.map_or(0, |account| BuildHasherDefault::<DefaultHasher>::default().hash_one(account.0));
        let place = hash.checked_rem(u64::try_from(self.units.len()).ok()?)?;
        self.units.get(usize::try_from(place).ok()?)
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// The writers of a shard, and the tasks that do their work until `stop`; then they finish what waits.
pub(crate) fn start(
    shard: ShardId,
    pool: &Pool,
    database: &Database,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Writers> {
    let options = &database.options;
    let count = match database.url {
        DatabaseUrl::Sqlite(_) => 1,
        DatabaseUrl::Postgres(_) => options.writers.max(1),
    };
    let (health, commits) = (pool.health().clone(), Arc::default());
    let mut writers = Writers { units: Vec::new(), commits, health };
    // They share the connections, which the last one closes.
    let running = Arc::new(AtomicUsize::new(usize::try_from(count).unwrap_or(1)));
    for _ in 0..count {
        let (sender, receiver) = mpsc::channel(options.max_waiting.max(1));
        writers.units.push(sender);
        let task = Task::new(shard, pool.clone(), options, Arc::clone(&writers.commits));
        let (stop, running, pool) = (stop.clone(), Arc::clone(&running), pool.clone());
        let work = async move {
            task.run(receiver, stop).await;
            if running.fetch_sub(1, Ordering::AcqRel) == 1 {
                pool.close().await;
            }
        };
        match database.url {
            DatabaseUrl::Sqlite(_) => in_a_thread(shard, tasks.track_future(work))?,
            DatabaseUrl::Postgres(_) => drop(tasks.spawn(work)),
        }
    }
    Ok(writers)
}

/// Runs what has to wait for the disk again and again in a thread of its own: it goes on in it where the others would
/// have to make room for somebody else each time.
fn in_a_thread(shard: ShardId, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let runtime = Handle::current();
    let named = thread::Builder::new().name(format!("writer {shard}"));
    named.spawn(move || runtime.block_on(work)).map(drop).map_err(|error| Error::Unavailable(error.into()))
}
