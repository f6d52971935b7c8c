//! Connections: how a database is opened, and with which settings.
//!
//! SQLite: write-ahead log with `synchronous=FULL`, so a commit has been fsynced when it returns. One connection
//! writes, a few read beside it; each reading transaction sees the database as of its first read. Shards, and what is read
//! by itself, go past the driver ([`direct`]).
//!
//! PostgreSQL: `synchronous_commit` is `on` or stronger. Writers work at READ COMMITTED and lock the rows of the
//! accounts they write to; readers' transactions are REPEATABLE READ, READ ONLY by the session's own defaults, so that
//! no statement is spent on saying so. The server ends statements, waits for locks and idle transactions that last
//! too long, and notices clients that are gone.

mod conn;
mod direct;
mod health;
mod pool;
mod postgres;
mod row;
mod sqlite;

use std::{fmt, sync::Arc, time::Duration};

use sea_orm::{DatabaseConnection, Value};
use storage::Result;
use tokio::time::{Instant, sleep, timeout};

pub(crate) use self::{
    conn::Conn,
    health::Health,
    pool::Pool,
    row::{FromRow, Row, from_row},
};
use crate::{
    DatabaseUrl, Schema,
    error::{self, named},
    schema,
};

/// How databases are used.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that read, for each database; on SQLite as many once more for transactions.
    pub readers: u32,
    /// Batches of a shard that are committed side by side, on PostgreSQL; SQLite has one writer.
    pub writers: u32,
    /// Units that share a transaction at most.
    pub max_batch: usize,
    /// Units that may wait for a writer before callers have to.
    pub max_waiting: usize,
    /// Changes of as many messages at once are noted by one row on SQLite, and written to theirs later: when somebody reads
    /// them, or after this time.
    pub defer_from: usize,
    pub defer_for: Duration,
    /// Pages of 8 KiB that an SQLite database may take; `None`: as the disk allows.
    pub max_pages: Option<u32>,
    /// How long to wait for another process that writes, or for a connection.
    pub patience: Duration,
    /// For how long a PostgreSQL server may be silent, or break connections, before it is asked whether it is there at
    /// all. Nobody waits for one that is not.
    pub quiet: Duration,
    /// What a PostgreSQL server lets one statement take.
    pub statement_timeout: Duration,
    /// What we call ourselves on a PostgreSQL server.
    pub application_name: String,
    /// What the mail of accounts may take that have no quota of their own; `None`: no limit.
    pub quota_bytes: Option<u64>,
    /// Is told of every statement.
    pub watch: Watch,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 8,
            writers: 2,
            max_batch: 256,
            max_waiting: 1_024,
            defer_from: 64,
            defer_for: Duration::from_secs(1),
            max_pages: None,
            patience: Duration::from_secs(10),
            quiet: Duration::from_secs(1),
            statement_timeout: Duration::from_secs(30),
            application_name: "magpie".to_owned(),
            quota_bytes: None,
            watch: Watch::default(),
        }
    }
}

/// Is told the text of every statement just before it is sent, `BEGIN` and `COMMIT` included; each is a round trip.
/// By default nobody listens.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<Watcher>>);

type Watcher = dyn Fn(&str, &[Value]) + Send + Sync;

impl Watch {
    pub fn new(watch: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(move |sql, _| watch(sql))))
    }

    /// Is told the values, too.
    #[cfg(test)]
    pub(crate) fn with_values(watch: impl Fn(&str, &[Value]) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(watch)))
    }

    pub(crate) fn saw(&self, sql: &str, values: &[Value]) {
        if let Some(watch) = &self.0 {
            watch(sql, values);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

/// A database that can be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) schema: Schema,
    pub(crate) url: DatabaseUrl,
    pub(crate) options: Options,
    pub(crate) health: Health,
}

/// What connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Write,
    /// Nothing but the schema: one connection, on which statements may take as long as they need.
    Migrate,
}

/// Before a server is asked again whether it is there.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

impl Database {
    /// The database of this name (`directory`, `shard 3`), whether it is there or not.
    pub(crate) fn new(schema: Schema, name: &str, url: &DatabaseUrl, options: &Options) -> Self {
        let health = Health::new(name, url, options.quiet);
        Self { schema, url: url.clone(), options: options.clone(), health }
    }

    /// Connects, makes the SQLite file if it is missing, and brings the schema up to date. A server has `patience` to
    /// answer.
    pub(crate) async fn open(&self, patience: Duration) -> Result<()> {
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let _held = sqlite::hold_folder(path).await?;
                sqlite::make(path)?;
                schema::update(self).await
            }
            DatabaseUrl::Postgres(_) => {
                self.reach(patience).await?;
                self.while_it_answers(schema::update(self)).await
            }
        }
    }

    /// Work that may take as long as it needs, but not longer than the server is there.
    async fn while_it_answers(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        let mut work = std::pin::pin!(work);
        loop {
            match timeout(ANSWER, &mut work).await {
                Ok(outcome) => return outcome,
                Err(_) => self.reach(ANSWER).await?,
            }
        }
    }

    /// Waits until a server answers; one that refuses us says why.
    pub(crate) async fn reach(&self, patience: Duration) -> Result<()> {
        let DatabaseUrl::Postgres(server) = &self.url else { return Ok(()) };
        let until = Instant::now() + patience;
        loop {
            match postgres::reach(server, ANSWER.min(patience)).await {
                Ok(()) => return Ok(()),
                Err(error) if error::is_broken(&error) && Instant::now() + PAUSE < until => {
                    sleep(PAUSE).await
                }
                Err(error) => return Err(named(&self.url, error)),
            }
        }
    }

    /// Connections that only read.
    pub(crate) fn readers(&self) -> Pool {
        Pool::new(self.clone(), Purpose::Read)
    }

    /// Connections that write: one on SQLite.
    pub(crate) fn writers(&self) -> Pool {
        Pool::new(self.clone(), Purpose::Write)
    }

    /// Connections that are made when they are needed.
    pub(crate) fn connections(&self, purpose: Purpose) -> DatabaseConnection {
        match &self.url {
            DatabaseUrl::Sqlite(path) => sqlite::connections(path, &self.options, purpose),
            DatabaseUrl::Postgres(url) => postgres::connections(url, &self.options, purpose),
        }
    }
}
