//! Group commit: a shard's only writer gathers the units that wait and commits them together, with one fsync.
//!
//! While a batch is being committed, the next one gathers; nothing waits on purpose. A unit never suffers from another:
//! - one that fails without having written is answered, and the batch goes on;
//! - one that fails otherwise is run again by itself after a rollback, and the rest together without it;
//! - if no transaction can be begun, all are told so;
//! - if writing or the commit fails, every unit is run again by itself, so that only the guilty one fails.
//!
//! After a failed commit or rollback the connection is given up and made anew: SQLite may have rolled back by itself
//! (a full disk), and what followed would no longer be in any transaction.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::FutureExt as _;
use sea_orm::{DatabaseConnection, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use storage::{Committed, ErasedUnit, Error, Result};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use types::ShardId;

use crate::{
    connect::{Database, Options},
    error::failed,
    open::Open,
};

/// Where units are handed to a shard's writer.
pub(crate) struct Writer {
    units: mpsc::Sender<Waiting>,
    commits: Arc<AtomicU64>,
}

struct Waiting {
    unit: Arc<dyn ErasedUnit>,
    answer: oneshot::Sender<Result<Committed>>,
}

impl Writer {
    pub(crate) async fn execute(&self, unit: Arc<dyn ErasedUnit>) -> Result<Committed> {
        let stopped = || Error::Unavailable("the shard is being closed".into());
        let (answer, answered) = oneshot::channel();
        self.units.send(Waiting { unit, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Transactions committed so far.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }
}

/// A writer, and the task that does its work until `stop`; then it finishes what waits.
pub(crate) async fn new(
    shard: ShardId,
    database: Database,
    options: &Options,
    stop: CancellationToken,
) -> Result<(Writer, impl Future<Output = ()> + Send + use<>)> {
    let (sender, mut receiver) = mpsc::channel(options.max_waiting.max(1));
    let connection = Some(database.writer().await?);
    let commits = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&commits);
    let mut task = Task { shard, label: shard.to_string(), database, connection, commits };
    let max_batch = options.max_batch.max(1);
    let run = async move {
        let mut batch = Vec::with_capacity(max_batch);
        loop {
            tokio::select! {
                biased;
                count = receiver.recv_many(&mut batch, max_batch) => if count == 0 { break },
                () = stop.cancelled(), if !receiver.is_closed() => receiver.close(),
            }
            if !batch.is_empty() {
                task.commit(std::mem::take(&mut batch)).await;
            }
        }
        task.disconnect().await;
    };
    Ok((Writer { units: sender, commits: counted }, run))
}

struct Task {
    shard: ShardId,
    label: String,
    database: Database,
    connection: Option<DatabaseConnection>,
    commits: Arc<AtomicU64>,
}

/// How running a batch ended when it did not end well.
enum Failure {
    /// This unit failed.
    Unit(usize, Error),
    /// The database could not be written to at all.
    Begin(Error),
    /// The database failed all of them, perhaps because of one.
    Batch(Error),
}

impl Task {
    /// Runs the units and answers each.
    async fn commit(&mut self, mut batch: Vec<Waiting>) {
        metrics::counter!("magpie_storage_units_total", "shard" => self.label.clone())
            .increment(u64::try_from(batch.len()).unwrap_or(0));
        let mut alone = Vec::new();
        while !batch.is_empty() {
            match self.run(&batch).await {
                Ok(outcomes) => {
                    answer(batch.drain(..), outcomes);
                }
                Err(Failure::Begin(error)) => {
                    tracing::warn!(shard = %self.label, units = batch.len(), %error, "no transaction could be begun");
                    let text = error.to_string();
                    let outcome = || Err(Error::Unavailable(text.clone().into()));
                    answer(batch.drain(..).chain(alone.drain(..)), std::iter::repeat_with(outcome));
                }
                Err(Failure::Unit(place, error)) if batch.len() == 1 => {
                    tracing::debug!(shard = %self.label, place, %error, "a unit failed");
                    answer(batch.drain(..), [Err(error)]);
                }
                Err(Failure::Unit(place, error)) => {
                    tracing::debug!(shard = %self.label, place, %error, "a unit is set apart");
                    alone.push(batch.remove(place));
                }
                Err(Failure::Batch(error)) if batch.len() == 1 => {
                    tracing::warn!(shard = %self.label, %error, "a unit could not be committed");
                    answer(batch.drain(..), [Err(error)]);
                }
                Err(Failure::Batch(error)) => {
                    tracing::warn!(shard = %self.label, units = batch.len(), %error, "a batch could not be committed");
                    alone.append(&mut batch);
                }
            }
        }
        for waiting in alone {
            let single = [waiting];
            let outcome = self.run(&single).await;
            let outcomes = outcome.unwrap_or_else(|failure| match failure {
                Failure::Unit(_, error) | Failure::Begin(error) | Failure::Batch(error) => vec![Err(error)],
            });
            answer(single.into_iter(), outcomes);
        }
    }

    /// Runs the units in one transaction. The outcomes are in their order.
    async fn run(&mut self, batch: &[Waiting]) -> Result<Vec<Result<Committed>>, Failure> {
        let connection = self.connect().await.map_err(Failure::Begin)?;
        let immediate = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = connection.begin_with_options(immediate).await.map_err(failed);
        let mut open = match begun {
            Ok(conn) => Open::new(conn),
            Err(error) => {
                self.disconnect().await;
                return Err(Failure::Begin(error));
            }
        };
        let outcomes = self.run_units(&mut open, batch).await;
        let flushed = match outcomes {
            Ok(outcomes) => open.flush().await.map(|()| outcomes).map_err(Failure::Batch),
            Err(failure) => Err(failure),
        };
        match flushed {
            Ok(outcomes) => match open.conn.commit().await {
                Ok(()) => {
                    self.committed(batch.len());
                    Ok(outcomes)
                }
                Err(error) => {
                    self.disconnect().await;
                    Err(Failure::Batch(failed(error)))
                }
            },
            Err(failure) => {
                if let Err(error) = open.conn.rollback().await {
                    tracing::debug!(shard = %self.label, %error, "the database had rolled back by itself");
                    self.disconnect().await;
                }
                Err(failure)
            }
        }
    }

    async fn run_units(&self, open: &mut Open, batch: &[Waiting]) -> Result<Vec<Result<Committed>>, Failure> {
        open.prepare(batch.iter().map(|waiting| waiting.unit.needs())).await.map_err(Failure::Batch)?;
        let mut outcomes = Vec::with_capacity(batch.len());
        for (place, waiting) in batch.iter().enumerate() {
            let outcome = AssertUnwindSafe(waiting.unit.run(open)).catch_unwind().await;
            match outcome.unwrap_or_else(|_| Err(Error::Backend("a unit of work panicked".into()))) {
                Ok(()) => outcomes.push(Ok(open.finish_unit(self.shard))),
                // The database has not failed, and the others' work stands.
                Err(error @ Error::Exists(_)) if !open.has_written() => outcomes.push(Err(error)),
                Err(error) => return Err(Failure::Unit(place, error)),
            }
        }
        Ok(outcomes)
    }

    fn committed(&self, units: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("magpie_storage_commits_total", "shard" => self.label.clone()).increment(1);
        metrics::histogram!("magpie_storage_batch_units", "shard" => self.label.clone())
            .record(f64::from(u32::try_from(units).unwrap_or(u32::MAX)));
        tracing::debug!(shard = %self.label, units, "committed");
    }

    async fn connect(&mut self) -> Result<&DatabaseConnection> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.writer().await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take()
            && let Err(error) = connection.close().await
        {
            tracing::warn!(shard = %self.label, %error, "the writer's connection did not close");
        }
    }
}

/// Whoever no longer waits for the answer does not need it.
fn answer(batch: impl Iterator<Item = Waiting>, outcomes: impl IntoIterator<Item = Result<Committed>>) {
    for (waiting, outcome) in batch.zip(outcomes) {
        let _gone = waiting.answer.send(outcome);
    }
}
