//! SQLite: files, readable by their owner alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use sea_orm::{
    DatabaseConnection, SqlxSqliteConnector,
    sqlx::{
        ConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};
use storage::{Error, Result};
use tokio::time::{Instant, sleep};

use super::{Options, Purpose};

/// Makes the file where it is missing. One that is there is never opened here: closing it would take the locks from it
/// that SQLite has for this process (`fcntl(2)`), and then others could write at the same time.
pub(super) fn make(path: &Path) -> Result<()> {
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let there = match made {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::metadata(path),
        Err(error) => Err(error),
    };
    match there {
        Ok(there) if there.is_dir() => Err(failed(path, &ErrorKind::IsADirectory.into())),
        Ok(_) => Ok(()),
        // A link to where there is nothing yet.
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            let target = fs::read_link(path).map_err(|error| failed(path, &error))?;
            make(&folder_of(path).join(target))
        }
        Err(error) => Err(failed(path, &error)),
    }
}

/// An error that says where it was.
fn failed(path: &Path, error: &io::Error) -> Error {
    Error::from_io_of(error, format!("{}: {error}", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the folder where it is missing, and holds it while the value lives: of several processes that find the same file
/// missing or old, one makes it what it should be, and the others wait. (The file itself is left alone: closing it would
/// take the locks of SQLite from it.) Where there are no such locks, nobody waits.
pub(super) async fn hold_folder(path: &Path) -> Result<Option<File>> {
    let folder = folder_of(path);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| failed(folder, &error))?;
    let Ok(held) = File::open(folder) else { return Ok(None) };
    let deadline = Instant::now() + LONGEST;
    loop {
        match held.try_lock() {
            Ok(()) => return Ok(Some(held)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(PAUSE).await,
            Err(TryLockError::WouldBlock) => {
                let text =
                    format!("another process is bringing databases in {} up to date", folder.display());
                return Err(Error::Unavailable(text.into()));
            }
            Err(TryLockError::Error(_)) => return Ok(None),
        }
    }
}

const PAUSE: Duration = Duration::from_millis(10);
/// What bringing every database of a folder up to date may take: they take turns, those of this process as well.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) fn connections(path: &Path, options: &Options, purpose: Purpose) -> DatabaseConnection {
    let pool = SqlitePoolOptions::new()
        .acquire_timeout(options.patience)
        .max_lifetime(None)
        .test_before_acquire(false);
    let one = settings(path, options);
    let pool = match purpose {
        Purpose::Read => pool
            .max_connections(options.readers)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(one.pragma("query_only", "ON")),
        Purpose::Write | Purpose::Migrate => pool
            .max_connections(1)
            .idle_timeout(None)
            .connect_lazy_with(one.pragma("cache_size", WRITER_CACHE)),
    };
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
}

/// Bytes of a file that are read where the system has them in memory.
const MAPPED: &str = "268435456";

/// The settings of a connection that only reads, as statements.
pub(super) fn reading() -> String {
    format!("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = {MAPPED};")
}

/// The settings of the connection that writes to a file which the driver has made.
pub(super) fn writing(options: &Options) -> String {
    let max_pages = max_pages(options);
    format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; \
         PRAGMA mmap_size = {MAPPED}; PRAGMA cache_size = {WRITER_CACHE}; PRAGMA max_page_count = {max_pages}; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT}; PRAGMA journal_size_limit = {LOG_BYTES};"
    )
}

/// The pragma's own default, unless something else is wanted.
fn max_pages(options: &Options) -> u32 {
    options.max_pages.unwrap_or(0xFFFF_FFFE)
}

/// Pages of the log after which they are written to the file, and bytes that the log is cut to then.
const CHECKPOINT: &str = "4000";
const LOG_BYTES: &str = "67108864";

/// KiB, as a negative number: what a batch of many accounts changes, with its indexes. What does not fit is written and read
/// again before the commit.
const WRITER_CACHE: &str = "-16384";

fn settings(path: &Path, options: &Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .page_size(8_192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.patience)
        .foreign_keys(false)
        .pragma("max_page_count", max_pages(options).to_string())
        .pragma("temp_store", "MEMORY")
        .pragma("mmap_size", MAPPED)
        .pragma("wal_autocheckpoint", CHECKPOINT)
        .pragma("journal_size_limit", LOG_BYTES)
        .statement_cache_capacity(256)
        // Rows that the connection's thread reads ahead: each wait for it costs more than a row.
        .row_buffer_size(500)
        .disable_statement_logging()
}
