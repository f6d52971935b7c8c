//! A transaction on a connection that nobody else uses meanwhile.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use sea_orm::{DbErr, Statement};
use tokio::sync::OwnedSemaphorePermit;

use super::{Direct, blocking, closed, execute, failed, rows};
use crate::connect::Row;

/// Rolled back if it is dropped. What it does is done by the thread that asks for it.
pub(crate) struct Transaction {
    direct: Arc<Direct>,
    /// `None` once it has ended.
    connection: Mutex<Option<Connection>>,
    _place: OwnedSemaphorePermit,
}

impl Direct {
    /// Begins a transaction; one that is going to write has the lock from here on.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<Transaction, DbErr> {
        let place = self.place(&self.transactions).await?;
        let begin = if self.writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
        let connection = blocking(|| {
            let connection = self.take()?;
            connection.execute_batch(begin).map_err(failed)?;
            Ok::<_, DbErr>(connection)
        })?;
        Ok(Transaction { direct: Arc::clone(self), connection: Mutex::new(Some(connection)), _place: place })
    }
}

impl Transaction {
    /// What `take` makes of each row of the answer.
    pub(crate) fn read<T>(
        &self,
        statement: &Statement,
        take: impl FnMut(&Row<'_>) -> Result<T, DbErr>,
    ) -> Result<Vec<T>, DbErr> {
        self.with(|connection| rows(connection, statement, take))
    }

    /// How many rows the statement changed.
    pub(crate) fn execute(&self, statement: &Statement) -> Result<u64, DbErr> {
        self.with(|connection| execute(connection, statement))
    }

    pub(crate) fn commit(self) -> Result<(), DbErr> {
        self.end("COMMIT")
    }

    pub(crate) fn rollback(self) -> Result<(), DbErr> {
        self.end("ROLLBACK")
    }

    /// A connection that could not end it is not used again: nobody knows what it is in.
    fn end(&self, how: &str) -> Result<(), DbErr> {
        let connection = self.lock().take().ok_or_else(closed)?;
        blocking(|| {
            connection.execute_batch(how).map_err(failed)?;
            drop(self.direct.put_back(connection));
            Ok(())
        })
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, DbErr>) -> Result<T, DbErr> {
        let mut held = self.lock();
        let connection = held.as_ref().ok_or_else(closed)?;
        let done = blocking(|| work(connection));
        if done.is_err() && connection.is_autocommit() {
            // SQLite has rolled back by itself: what came next would be in no transaction.
            drop(held.take());
        }
        done
    }

    /// Nothing that is done under the lock can leave it half done.
    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.lock().is_some()
            && let Err(error) = self.end("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction that nobody ended could not be rolled back");
        }
    }
}
