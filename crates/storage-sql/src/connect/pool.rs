//! Connections for one purpose, made anew as a whole when one of them turns out to be broken.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sea_orm::{DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::time::{Instant, timeout};

use super::{Conn, Database, Health, Purpose, Watch, conn::within, direct::Direct};
use crate::{DatabaseUrl, Schema, error};

/// Connections of a database for one purpose.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    database: Database,
    purpose: Purpose,
    current: RwLock<Current>,
    /// Of an SQLite file that is only read, or is a shard.
    direct: Option<Arc<Direct>>,
}

/// Connections that were made together.
#[derive(Clone)]
pub(super) struct Current {
    generation: u64,
    /// How often the server had come back when they were made.
    returns: u64,
    pub(super) connections: DatabaseConnection,
}

/// Time for a server to be told that we go.
const CLOSE: Duration = Duration::from_secs(2);
/// What the network may take beside the time that the server gives a statement.
const TRANSFER: Duration = Duration::from_secs(5);

impl Pool {
    pub(crate) fn new(database: Database, purpose: Purpose) -> Self {
        let (connections, returns) = (database.connections(purpose), database.health.returns());
        let current = RwLock::new(Current { generation: 0, returns, connections });
        let options = &database.options;
        let direct = match (&database.url, purpose) {
            (DatabaseUrl::Sqlite(path), Purpose::Read) => {
                Some(Direct::readers(path.clone(), options.readers, options.patience))
            }
            (DatabaseUrl::Sqlite(path), Purpose::Write) if database.schema == Schema::Shard => {
                Some(Direct::writer(path.clone(), options))
            }
            _ => None,
        };
        Self(Arc::new(Inner { database, purpose, current, direct }))
    }

    /// Begins a transaction; connections that have broken since they were used last are replaced.
    pub(crate) async fn begin(&self) -> Result<Conn, DbErr> {
        if let Some(direct) = self.direct().filter(|_| self.0.database.schema == Schema::Shard) {
            self.watch().saw("BEGIN", &[]);
            return Ok(Conn::direct(self.clone(), direct.begin().await?));
        }
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.0.purpose == Purpose::Write)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let (patience, health) = (self.patience(), self.health());
        let mut retry = health.retry();
        loop {
            health.check()?;
            let current = self.current();
            self.watch().saw("BEGIN", &[]);
            let begun = current.connections.begin_with_options(options);
            match within(self.limit(), health.watched(begun)).await {
                Ok(transaction) => return Ok(Conn::transaction(self.clone(), transaction)),
                Err(error) if error::is_broken(&error) && Instant::now() < patience => {
                    self.renew(&current);
                    retry.pause().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Every statement by itself, on whichever connection is free.
    pub(crate) fn each(&self) -> Conn {
        Conn::each(self.clone())
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.0.database.url, DatabaseUrl::Postgres(_))
    }

    /// The connections themselves, for SeaORM's migrator.
    pub(crate) fn connections(&self) -> DatabaseConnection {
        self.current().connections
    }

    /// Closes them; nothing can be done with this any more.
    pub(crate) async fn close(&self) {
        if let Some(direct) = self.direct() {
            direct.close();
            if direct.writes() {
                // The driver has none. Nor may there be a clock any more.
                return;
            }
        }
        self.leave(self.current()).await;
    }

    /// Gives them up; the next call makes new ones. Nobody waits for a server to hear of it.
    pub(crate) async fn reset(&self) {
        if let Some(direct) = self.direct() {
            direct.reset();
            if direct.writes() {
                return;
            }
        }
        let current = self.current();
        self.renew(&current);
        if matches!(self.0.database.url, DatabaseUrl::Sqlite(_)) {
            self.leave(current).await;
        }
    }

    /// How the database is.
    pub(crate) fn health(&self) -> &Health {
        &self.0.database.health
    }

    async fn leave(&self, current: Current) {
        if !matches!(timeout(CLOSE, current.connections.close()).await, Ok(Ok(()))) {
            tracing::debug!(database = %self.0.database.url, "connections did not close in time");
        }
    }

    /// Leaves connections of which one has failed to their fate, and makes new ones when they are needed.
    pub(super) fn renew(&self, failed: &Current) {
        let mut current = self.0.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.generation == failed.generation {
            tracing::debug!(database = %self.0.database.url, "a connection broke; all are made anew");
            let (generation, returns) = (failed.generation + 1, self.health().returns());
            let connections = self.0.database.connections(self.0.purpose);
            *current = Current { generation, returns, connections };
        }
    }

    /// Connections that were made since the server came back last.
    pub(super) fn current(&self) -> Current {
        let now = || self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let current = now();
        if current.returns == self.health().returns() {
            return current;
        }
        self.renew(&current);
        now()
    }

    pub(super) fn direct(&self) -> Option<&Arc<Direct>> {
        self.0.direct.as_ref()
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.0.database.options.watch
    }

    /// Until when broken connections are replaced.
    pub(crate) fn patience(&self) -> Instant {
        Instant::now() + self.0.database.options.patience
    }

    /// How long a statement can take before the server, or the way to it, must be gone. An SQLite file is always there.
    pub(super) fn limit(&self) -> Option<Duration> {
        let options = &self.0.database.options;
        let limit = options.patience + options.statement_timeout + TRANSFER;
        self.is_postgres().then_some(limit)
    }
}
