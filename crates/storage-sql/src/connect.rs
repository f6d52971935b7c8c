//! Connections: how a database is opened, and with which settings.
//!
//! SQLite: write-ahead log with `synchronous=FULL`, so a commit has been fsynced when it returns. One connection
//! writes, a few read beside it; each reading transaction sees the database as of its first read.

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use migrations::{DirectoryMigrator, MigratorTrait, ShardMigrator};
use sea_orm::{
    DatabaseConnection, SqlxSqliteConnector,
    sqlx::{
        ConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use storage::{Error, Result};

use crate::{
    Schema,
    error::{failed, not_connected},
};

/// How databases are used.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that read, for each database.
    pub readers: u32,
    /// Units that share a transaction at most.
    pub max_batch: usize,
    /// Units that may wait for a shard before callers have to.
    pub max_waiting: usize,
    /// Pages of 8 KiB that a database may take; `None`: as the disk allows.
    pub max_pages: Option<u32>,
    /// How long to wait for another process that writes, or for a connection.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 8,
            max_batch: 256,
            max_waiting: 1_024,
            max_pages: None,
            patience: Duration::from_secs(10),
        }
    }
}

/// A database that can be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    path: PathBuf,
    options: Options,
}

impl Database {
    /// Makes the file if it is missing, readable by its owner alone, and brings the schema up to date.
    pub(crate) async fn open(path: &Path, schema: Schema, options: &Options) -> Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::from_io)?;
        }
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::from_io)?;
        let database = Self { path: path.to_owned(), options: options.clone() };
        let writer = database.writer().await?;
        match schema {
            Schema::Directory => DirectoryMigrator::up(&writer, None).await,
            Schema::Shard => ShardMigrator::up(&writer, None).await,
        }
        .map_err(failed)?;
        writer.close().await.map_err(failed)?;
        Ok(database)
    }

    /// The connection that writes.
    pub(crate) async fn writer(&self) -> Result<DatabaseConnection> {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.options.patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(self.sqlite())
            .await
            .map_err(not_connected)?;
        Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(pool))
    }

    /// Connections that only read.
    pub(crate) fn readers(&self) -> DatabaseConnection {
        let pool = SqlitePoolOptions::new()
            .max_connections(self.options.readers)
            .acquire_timeout(self.options.patience)
            .idle_timeout(Duration::from_secs(60))
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(self.sqlite().pragma("query_only", "ON"));
        SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
    }

    fn sqlite(&self) -> SqliteConnectOptions {
        // The pragma's own default.
        let max_pages = self.options.max_pages.unwrap_or(0xFFFF_FFFE);
        SqliteConnectOptions::new()
            .filename(&self.path)
            .page_size(8_192)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(self.options.patience)
            .foreign_keys(false)
            .pragma("max_page_count", max_pages.to_string())
            .pragma("temp_store", "MEMORY")
            .pragma("mmap_size", "268435456")
            .pragma("wal_autocheckpoint", "2000")
            .pragma("journal_size_limit", "67108864")
            .statement_cache_capacity(256)
            .disable_statement_logging()
    }
}

/// See [`crate::pending_migrations`].
pub(crate) async fn pending_migrations(path: &Path, schema: Schema) -> Result<Vec<String>> {
    let names = |pending: Vec<sea_orm_migration::Migration>| {
        pending.iter().map(|step| step.name().to_owned()).collect()
    };
    if !path.exists() {
        return Ok(match schema {
            Schema::Directory => names(DirectoryMigrator::get_migration_files()),
            Schema::Shard => names(ShardMigrator::get_migration_files()),
        });
    }
    let database = Database { path: path.to_owned(), options: Options { readers: 1, ..Options::default() } };
    let connection = database.readers();
    let pending = match schema {
        Schema::Directory => DirectoryMigrator::get_pending_migrations_read_only(&connection).await,
        Schema::Shard => ShardMigrator::get_pending_migrations_read_only(&connection).await,
    };
    connection.close().await.map_err(failed)?;
    Ok(names(pending.map_err(failed)?))
}
