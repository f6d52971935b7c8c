//! Connections for one purpose, made anew as a whole when one of them turns out to be broken.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use sea_orm::{DatabaseConnection, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use tokio::time::{Instant, timeout};

use super::{Conn, Database, Purpose, Watch, conn::within};
use crate::{DatabaseUrl, error};

/// Connections of a database for one purpose.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    database: Database,
    purpose: Purpose,
    current: RwLock<Current>,
}

/// Connections that were made together.
#[derive(Clone)]
pub(super) struct Current {
    generation: u64,
    pub(super) connections: DatabaseConnection,
}

/// Time for a server to be told that we go.
const CLOSE: Duration = Duration::from_secs(2);
/// What the network may take beside the time that the server gives a statement.
const TRANSFER: Duration = Duration::from_secs(5);

impl Pool {
    pub(crate) fn new(database: Database, purpose: Purpose) -> Self {
        let connections = database.connections(purpose);
        let current = RwLock::new(Current { generation: 0, connections });
        Self(Arc::new(Inner { database, purpose, current }))
    }

    /// Begins a transaction; connections that have broken since they were used last are replaced.
    pub(crate) async fn begin(&self) -> Result<Conn, DbErr> {
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.0.purpose == Purpose::Write)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let patience = self.patience();
        loop {
            let current = self.current();
            self.watch().saw("BEGIN", &[]);
            match within(self.limit(), current.connections.begin_with_options(options)).await {
                Ok(transaction) => return Ok(Conn::transaction(self.clone(), transaction)),
                Err(error) if error::is_broken(&error) && Instant::now() < patience => self.renew(&current),
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
        self.leave(self.current()).await;
    }

    /// Closes them; the next call makes new ones.
    pub(crate) async fn reset(&self) {
        let current = self.current();
        self.renew(&current);
        self.leave(current).await;
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
            let generation = failed.generation + 1;
            *current = Current { generation, connections: self.0.database.connections(self.0.purpose) };
        }
    }

    pub(super) fn current(&self) -> Current {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.0.database.options.watch
    }

    /// Until when broken connections are replaced.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.0.database.options.patience
    }

    /// How long a statement can take before the server, or the way to it, must be gone. An SQLite file is always there.
    pub(super) fn limit(&self) -> Option<Duration> {
        let options = &self.0.database.options;
        let limit = options.patience + options.statement_timeout + TRANSFER;
        self.is_postgres().then_some(limit)
    }
}
