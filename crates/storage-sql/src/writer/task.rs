//! A writer's task: runs batches of units, and whatever has to be run again.

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use sea_orm::{ConnectionTrait as _, DbErr};
use storage::{Committed, Error, Result};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use types::ShardId;

use super::{
    Waiting,
    aside::{self, Aside, Stuck},
};
use crate::{
    connect::{Options, Pool},
    deferred,
    error::{self, Again, failed, why},
    mark::{Left, Mark, Marks, Outcome},
    open::Open,
};

pub(super) struct Task {
    shard: ShardId,
    label: String,
    pool: Pool,
    max_batch: usize,
    patience: Duration,
    commits: Arc<AtomicU64>,
    /// On PostgreSQL.
    marks: Option<Marks>,
    /// Changes of as many messages are deferred, for so long.
    defer_from: usize,
    defer_for: Duration,
    arrears: Mutex<Arrears>,
}

/// What is deferred in the shard, as far as this writer knows; see [`crate::deferred`].
#[derive(Default)]
struct Arrears {
    /// Nothing is deferred before: somebody has just asked for what was, or it could not be written.
    not_before: Option<Instant>,
    /// When what is deferred is written if nobody has asked for it.
    due: Option<Instant>,
    /// The account that was looked at last in this round, and whether one of it could not be written.
    after: Option<i64>,
    has_failed: bool,
}

/// How running a batch ended when it did not end well.
enum Failure {
    /// This unit failed.
    Unit(usize, Error),
    /// The database could not be written to at all.
    Begin(Error),
    /// Something was in the way that may be gone now.
    Again(Again, Error),
    /// The database failed all of them, perhaps because of one.
    Batch(Error),
}

/// A row that was missing is there now: one more run sees it. There may be one for each account, and some that no unit has
/// named; if there are still more, a unit is to blame.
const ROWS_IN_THE_WAY: RangeInclusive<usize> = 8..=32;
/// For how long nothing is deferred when somebody has wanted to read what was.
const ASKED_FOR: Duration = Duration::from_millis(50);
/// The same when it could not be written.
const FAILED_FOR: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

impl Task {
    pub(super) fn new(shard: ShardId, pool: Pool, options: &Options, commits: Arc<AtomicU64>) -> Self {
        let (max_batch, patience) = (options.max_batch.max(1), options.patience);
        let marks = pool.is_postgres().then(Marks::default);
        let (defer_from, defer_for) = (options.defer_from, options.defer_for);
        let (label, arrears) = (shard.to_string(), Mutex::default());
        Self { shard, label, pool, max_batch, patience, commits, marks, defer_from, defer_for, arrears }
    }

    pub(super) async fn run(self, mut units: mpsc::Receiver<Waiting>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(self.max_batch);
        let mut aside = Aside::new();
        let mut ended = false;
        if !self.pool.is_postgres() {
            // There may be something from before.
            self.settle().await;
        }
        while !ended || !aside.is_empty() {
            tokio::select! {
                biased;
                count = units.recv_many(&mut batch, self.max_batch), if !ended => ended = count == 0,
                () = stop.cancelled(), if !units.is_closed() => units.close(),
                () = sleep(aside::LOOK), if !aside.is_empty() => {}
                () = self.until_due(), if !ended => self.settle().await,
            }
            if self.is_overdue() {
                self.settle().await;
            }
            // Who has been told to come again meanwhile comes again.
            batch.retain(Waiting::take);
            aside.put(&mut batch, self.until());
            let stuck = aside.stuck();
            if !stuck.is_empty() {
                let still = self.try_stuck(stuck).await;
                aside.unstuck(still);
            }
            let (mut free, late) = aside.due(&self.pool).await;
            answer(late.into_iter(), std::iter::repeat_with(|| Err(aside::late())));
            free.append(&mut batch);
            if !free.is_empty()
                && let Err((error, mut refused)) = self.commit(free, &mut aside).await
            {
                // Whoever has come meanwhile would only wait as long in vain; but not who comes once others were told.
                refused.extend(aside.drain());
                refused.extend(std::iter::from_fn(|| units.try_recv().ok()).filter(Waiting::take));
                answer(refused.into_iter(), unavailable(&error));
            }
        }
    }

    /// Waits until what is deferred is to be written; for ever if nothing is.
    async fn until_due(&self) {
        let due = self.arrears().due;
        match due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Whether what is deferred should have been written long ago: there was always something else to do.
    fn is_overdue(&self) -> bool {
        self.arrears().due.is_some_and(|due| due.elapsed() > self.defer_for)
    }

    /// Writes what the next account owes. What does not succeed is tried again later, and by whoever needs it.
    async fn settle(&self) {
        let after = self.arrears().after;
        let found = deferred::owing(&self.pool.each(), after).await;
        let settled = match &found {
            Ok(Some(account)) => self.settle_one(*account).await,
            Ok(None) => Ok(()),
            Err(error) => Err(Error::Unavailable(why(error).into())),
        };
        let account = found.ok().flatten();
        if let Err(error) = &settled {
            tracing::warn!(shard = %self.label, account, reason = why(error), "changed flags cannot be written to their messages now");
        }
        let (now, mut arrears) = (Instant::now(), self.arrears());
        arrears.after = account;
        arrears.due = match (settled, account) {
            (Ok(()), Some(_)) => {
                // Another process may wait for a moment in which nothing is owed.
                arrears.not_before = arrears.not_before.max(Some(now + ASKED_FOR));
                Some(now)
            }
            (Ok(()), None) => std::mem::take(&mut arrears.has_failed).then_some(now + self.defer_for),
            (Err(_), _) => {
                (arrears.has_failed, arrears.not_before) = (true, Some(now + FAILED_FOR));
                Some(now + self.defer_for)
            }
        };
    }

    async fn settle_one(&self, account: i64) -> Result<()> {
        let mut open = Open::writer(self.pool.begin().await.map_err(failed)?, None, usize::MAX);
        open.load(vec![account]).await?;
        deferred::settle(&mut open, account).await?;
        if let Err(error) = open.conn.commit().await {
            self.pool.reset().await;
            return Err(failed(error));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn arrears(&self) -> MutexGuard<'_, Arrears> {
        self.arrears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Runs the units and answers each, but for those that go aside. If the database could not be written to at all, the
    /// error and those that are still to be told.
    async fn commit(&self, mut batch: Vec<Waiting>, aside: &mut Aside) -> Result<(), (Error, Vec<Waiting>)> {
        metrics::counter!("magpie_storage_units_total", "shard" => self.label.clone())
            .increment(u64::try_from(batch.len()).unwrap_or(0));
        let (mut alone, until) = (Vec::new(), self.until());
        while !batch.is_empty() {
            match self.run_patiently(&batch, until).await {
                Ok(outcomes) => answer(batch.drain(..), outcomes),
                Err(Failure::Begin(error)) => {
                    tracing::warn!(shard = %self.label, units = batch.len(), reason = why(&error), "no transaction could be begun");
                    batch.append(&mut alone);
                    return Err((error, batch));
                }
                Err(Failure::Unit(place, error)) if batch.len() == 1 => {
                    tracing::debug!(shard = %self.label, place, %error, "a unit failed");
                    answer(batch.drain(..), [Err(error)]);
                }
                Err(Failure::Unit(place, error)) => {
                    tracing::debug!(shard = %self.label, place, %error, "a unit is set apart");
                    alone.push(batch.remove(place));
                }
                Err(Failure::Again(Again::Locked, error)) if Instant::now() < until => {
                    tracing::debug!(shard = %self.label, units = batch.len(), %error, "a lock was not given");
                    self.set_aside(&mut batch, aside, until).await;
                }
                Err(Failure::Batch(error) | Failure::Again(_, error)) if batch.len() == 1 => {
                    tracing::warn!(shard = %self.label, reason = why(&error), "a unit could not be committed");
                    answer(batch.drain(..), [Err(error)]);
                }
                Err(Failure::Batch(error) | Failure::Again(_, error)) => {
                    tracing::warn!(shard = %self.label, units = batch.len(), reason = why(&error), "a batch could not be committed");
                    alone.append(&mut batch);
                }
            }
        }
        self.commit_alone(alone, aside).await;
        Ok(())
    }

    /// Runs each unit by itself. All of them share one patience: those behind them have waited long enough.
    async fn commit_alone(&self, alone: Vec<Waiting>, aside: &mut Aside) {
        let until = self.until();
        for waiting in alone {
            let mut single = vec![waiting];
            aside.put(&mut single, until);
            if single.is_empty() {
                continue;
            }
            if Instant::now() >= until {
                answer(single.into_iter(), [Err(Error::Unavailable("others took too long".into()))]);
                continue;
            }
            let outcomes = match self.run_patiently(&single, until).await {
                Ok(outcomes) => outcomes,
                Err(Failure::Again(Again::Locked, _)) => {
                    self.set_aside(&mut single, aside, until).await;
                    continue;
                }
                Err(
                    Failure::Unit(_, error)
                    | Failure::Begin(error)
                    | Failure::Again(_, error)
                    | Failure::Batch(error),
                ) => vec![Err(error)],
            };
            answer(single.into_iter(), outcomes);
        }
    }

    /// Sets those aside whose account another transaction has; all of them, if it is something else that it has.
    async fn set_aside(&self, batch: &mut Vec<Waiting>, aside: &mut Aside, until: Instant) {
        let accounts: BTreeSet<_> = batch.iter().flat_map(aside::accounts).collect();
        let count = batch.len();
        match aside::locked(&self.pool, &accounts).await {
            Ok(locked) => {
                aside.note(locked);
                aside.put(batch, until);
            }
            Err(error) => tracing::debug!(shard = %self.label, %error, "locks cannot be looked at"),
        }
        if batch.len() == count {
            aside.stick(batch, until);
        }
    }

    /// Tries them without waiting for what others have, together and then in halves, until those are found that
    /// something is in the way of. Returns these, and before them those whose turn did not come.
    async fn try_stuck(&self, stuck: Vec<Stuck>) -> Vec<Stuck> {
        let (mut next, mut still, mut found, mut behind) = (Vec::new(), Vec::new(), 0, BTreeSet::new());
        let mut groups = vec![stuck];
        while let Some(group) = groups.pop() {
            let now = Instant::now();
            let (late, group): (Vec<_>, Vec<_>) = group.into_iter().partition(|(_, until)| now >= *until);
            answer(
                late.into_iter().map(|(waiting, _)| waiting),
                std::iter::repeat_with(|| Err(aside::stuck())),
            );
            let (mut followers, group): (Vec<_>, Vec<_>) =
                group.into_iter().partition(|(waiting, _)| aside::needs(waiting, &behind));
            still.append(&mut followers);
            if found >= aside::MOST_STUCK {
                next.extend(group);
                continue;
            }
            let (mut units, mut until): (Vec<_>, Vec<_>) = group.into_iter().unzip();
            if units.is_empty() {
                continue;
            }
            match self.run_once(&units, Some(aside::HURRY_MS)).await {
                Ok(outcomes) => answer(units.into_iter(), outcomes),
                Err(Failure::Begin(error)) => answer(units.into_iter(), unavailable(&error)),
                Err(_) if units.len() > 1 => {
                    let half = units.len() / 2;
                    let (second, their) = (units.split_off(half), until.split_off(half));
                    groups.push(second.into_iter().zip(their).collect());
                    groups.push(units.into_iter().zip(until).collect());
                }
                Err(Failure::Again(..)) => {
                    found += 1;
                    behind.extend(units.iter().flat_map(aside::accounts));
                    still.extend(units.into_iter().zip(until));
                }
                Err(Failure::Unit(_, error) | Failure::Batch(error)) => {
                    answer(units.into_iter(), [Err(error)]);
                }
            }
        }
        next.append(&mut still);
        next
    }

    /// Runs the units until nothing is in their way any more, or patience ends.
    async fn run_patiently(
        &self,
        batch: &[Waiting],
        deadline: Instant,
    ) -> Result<Vec<Result<Committed>>, Failure> {
        let accounts: usize = batch.iter().map(|waiting| waiting.unit.needs().accounts.len()).sum();
        let (mut in_the_way, mut pause) =
            (accounts.clamp(*ROWS_IN_THE_WAY.start(), *ROWS_IN_THE_WAY.end()), PAUSE);
        loop {
            match self.run_once(batch, None).await {
                Err(Failure::Again(Again::Taken, error)) => {
                    let Some(rest) = in_the_way.checked_sub(1) else { return Err(Failure::Batch(error)) };
                    in_the_way = rest;
                    tracing::debug!(shard = %self.label, %error, "a batch is run again: rows have come meanwhile");
                }
                Err(failure @ Failure::Again(Again::Locked, _)) => return Err(failure),
                Err(Failure::Again(Again::Broken, error)) if Instant::now() >= deadline => {
                    return Err(Failure::Begin(error));
                }
                Err(Failure::Again(again, error)) if Instant::now() < deadline => {
                    tracing::debug!(shard = %self.label, units = batch.len(), ?again, %error, "a batch is run again");
                    metrics::counter!("magpie_storage_retries_total", "shard" => self.label.clone())
                        .increment(1);
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                ended => return ended,
            }
        }
    }

    /// Runs the units in one transaction, which waits so long for each lock (else as its connection does). The outcomes
    /// are in their order.
    async fn run_once(
        &self,
        batch: &[Waiting],
        locks_ms: Option<u32>,
    ) -> Result<Vec<Result<Committed>>, Failure> {
        let mut open = match self.begin(locks_ms).await {
            Ok(open) => open,
            Err(error) => {
                self.pool.reset().await;
                return Err(Failure::Begin(failed(error)));
            }
        };
        let finished = match self.run_units(&mut open, batch).await {
            Ok(outcomes) => open.finish().await.map(|left| (left, outcomes)).map_err(blame),
            Err(failure) => Err(failure),
        };
        match finished {
            Ok((left, outcomes)) => {
                self.note(&open);
                self.end(open, left).await?;
                self.committed(batch.len());
                Ok(outcomes)
            }
            Err(failure) => {
                if let Err(error) = open.conn.rollback().await {
                    tracing::debug!(shard = %self.label, %error, "the database had rolled back by itself");
                    self.pool.reset().await;
                }
                Err(failure)
            }
        }
    }

    /// Notes what a batch deferred, and that it was asked for what others had.
    fn note(&self, open: &Open) {
        let (now, mut arrears) = (Instant::now(), self.arrears());
        if open.has_settled {
            arrears.not_before = arrears.not_before.max(Some(now + ASKED_FOR));
        }
        if open.deferred {
            arrears.due.get_or_insert(now + self.defer_for);
        }
    }

    async fn run_units(&self, open: &mut Open, batch: &[Waiting]) -> Result<Vec<Result<Committed>>, Failure> {
        open.prepare(batch.iter().map(|waiting| waiting.unit.needs())).await.map_err(blame)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (place, waiting) in batch.iter().enumerate() {
            let outcome = AssertUnwindSafe(waiting.unit.run(open)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(Error::Backend("a unit of work panicked".into()))) {
                Ok(()) => outcomes.push(Ok(open.finish_unit(self.shard))),
                // The database has not failed, and the others' work stands.
                Err(error @ (Error::Exists(_) | Error::Moving)) if !open.has_written() => {
                    let _nothing = open.finish_unit(self.shard);
                    outcomes.push(Err(error));
                }
                Err(error) => {
                    return Err(match error::again(&error) {
                        Some(again @ (Again::Broken | Again::Conflict | Again::Locked)) => {
                            Failure::Again(again, error)
                        }
                        // By itself it is run again: what it was told is not there may have come meanwhile.
                        Some(Again::Taken) if batch.len() == 1 => Failure::Again(Again::Taken, error),
                        Some(Again::Taken) | None => Failure::Unit(place, error),
                    });
                }
            }
        }
        if let [Ok(only)] = &mut *outcomes {
            only.alone = open.has_any_written();
        }
        Ok(outcomes)
    }

    async fn begin(&self, locks_ms: Option<u32>) -> Result<Open, DbErr> {
        let mark: Option<Mark> = match &self.marks {
            Some(marks) => Some(marks.next(&self.pool).await?),
            None => None,
        };
        let conn = self.pool.begin().await?;
        if let Some(locks_ms) = locks_ms {
            conn.execute_unprepared(&format!("SET LOCAL lock_timeout = {locks_ms}")).await?;
        }
        let may_defer = self.arrears().not_before.is_none_or(|not_before| not_before <= Instant::now());
        let defer_from = if may_defer { self.defer_from } else { usize::MAX };
        Ok(Open::writer(conn, mark, defer_from))
    }

    /// Commits. By what was `left`, if anything was written, the outcome can be asked for.
    async fn end(&self, open: Open, left: Option<Left>) -> Result<(), Failure> {
        let Err(error) = open.conn.commit().await else { return Ok(()) };
        self.pool.reset().await;
        let is_broken = error::is_broken(&error);
        let error = failed(error);
        match left {
            Some(left) if is_broken => match left.outcome(&self.pool, self.patience).await {
                Outcome::Committed => Ok(()),
                Outcome::RolledBack => Err(Failure::Again(Again::Broken, error)),
                Outcome::Unknown => {
                    tracing::error!(shard = %self.label, ?left, %error, "nobody knows whether a transaction was committed");
                    Err(Failure::Begin(error))
                }
            },
            _ => Err(blame(error)),
        }
    }

    fn committed(&self, units: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("magpie_storage_commits_total", "shard" => self.label.clone()).increment(1);
        metrics::histogram!("magpie_storage_batch_units", "shard" => self.label.clone())
            .record(f64::from(u32::try_from(units).unwrap_or(u32::MAX)));
        tracing::debug!(shard = %self.label, units, "committed");
    }
}

/// What an error of the whole batch asks for.
fn blame(error: Error) -> Failure {
    match error::again(&error) {
        Some(again) => Failure::Again(again, error),
        None => Failure::Batch(error),
    }
}

fn unavailable(error: &Error) -> impl Iterator<Item = Result<Committed>> + use<> {
    let text = why(error);
    std::iter::repeat_with(move || Err(Error::Unavailable(text.clone().into())))
}

/// Whoever no longer waits for the answer does not need it.
fn answer(batch: impl Iterator<Item = Waiting>, outcomes: impl IntoIterator<Item = Result<Committed>>) {
    for (waiting, outcome) in batch.zip(outcomes) {
        let _gone = waiting.answer.send(outcome);
    }
}
