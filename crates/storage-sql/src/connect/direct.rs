//! SQLite files where the answer is wanted. The driver has a thread for each connection, and hands it every statement and
//! gets back every row: that takes longer than most statements do.
//!
//! A reading has a place until it has ended, also where nobody waits for it any more. Its connection goes back then, or
//! is closed if this was.

mod transaction;

use std::fmt;
use std::num::TryFromIntError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql};
use sea_orm::sqlx::error::{DatabaseError, ErrorKind};
use sea_orm::{DbErr, RuntimeErr, Statement, Value, sqlx};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{block_in_place, spawn_blocking};
use tokio::time::timeout;

use super::{Options, row::Row};
pub(crate) use transaction::Transaction;

/// Connections that only read, or one that writes.
pub(crate) struct Direct {
    path: PathBuf,
    writes: bool,
    /// Its pragmas.
    settings: String,
    /// How long to wait for a connection, and for another process that writes.
    patience: Duration,
    /// As many may be used at once.
    places: Arc<Semaphore>,
    /// As many may be in transactions at once, which may last while something else is done. Where there is one connection
    /// the same.
    transactions: Arc<Semaphore>,
    /// As many are kept.
    most: usize,
    idle: Mutex<Idle>,
}

/// Connections that nobody uses now.
#[derive(Default)]
struct Idle {
    /// With when each was used last, the latest at the end.
    connections: Vec<(Connection, Instant)>,
    closed: bool,
}

/// So many rows are read at once by the thread that asks for them.
const FEW: usize = 64;
/// For how long connections are kept that nobody uses while others are used.
const KEPT: Duration = Duration::from_secs(60);
/// Statements that a connection keeps prepared.
const PREPARED: usize = 128;

impl Direct {
    /// Connections that read, of which so many may be used at once.
    pub(super) fn readers(path: PathBuf, places: u32, patience: Duration) -> Arc<Self> {
        Self::new(path, places, patience, None)
    }

    /// The connection that writes.
    pub(super) fn writer(path: PathBuf, options: &Options) -> Arc<Self> {
        Self::new(path, 1, options.patience, Some(super::sqlite::writing(options)))
    }

    fn new(path: PathBuf, places: u32, patience: Duration, writing: Option<String>) -> Arc<Self> {
        let most = usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(most));
        let transactions =
            if writing.is_some() { Arc::clone(&places) } else { Arc::new(Semaphore::new(most)) };
        let (writes, settings) = (writing.is_some(), writing.unwrap_or_else(super::sqlite::reading));
        Arc::new(Self {
            path,
            writes,
            settings,
            patience,
            places,
            transactions,
            most: most.saturating_mul(2),
            idle: Mutex::default(),
        })
    }

    /// What `take` makes of each row of the answer, of which so many are expected.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        statement: Statement,
        expected: usize,
        take: impl FnMut(&Row<'_>) -> Result<T, DbErr> + Send + 'static,
    ) -> Result<Vec<T>, DbErr> {
        let place = self.place(&self.places).await?;
        let direct = Arc::clone(self);
        let read = move || {
            let done = direct.with(|connection| rows(connection, &statement, take));
            drop(place);
            done
        };
        if expected > FEW {
            return spawn_blocking(read).await.unwrap_or_else(|_| Err(of_driver(sqlx::Error::WorkerCrashed)));
        }
        blocking(read)
    }

    /// How many rows the statement, by itself, changed.
    pub(super) async fn execute(&self, statement: &Statement) -> Result<u64, DbErr> {
        let _place = self.place(&self.places).await?;
        blocking(|| self.with(|connection| execute(connection, statement)))
    }

    async fn place(&self, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, DbErr> {
        let place = timeout(self.patience, Arc::clone(of).acquire_owned()).await;
        place.map_err(|_| late())?.map_err(|_| closed())
    }

    /// Closes those that are not used now; the next call makes new ones.
    pub(super) fn reset(&self) {
        let all = std::mem::take(&mut self.idle().connections);
        drop(all);
    }

    /// Closes those that are not used now, and the others as soon as they are not.
    pub(super) fn close(&self) {
        let all = {
            let mut idle = self.idle();
            idle.closed = true;
            std::mem::take(&mut idle.connections)
        };
        // Not under the lock: the last one writes what is in the log to the file.
        drop(all);
    }

    /// Whether this is the connection that writes.
    pub(super) const fn writes(&self) -> bool {
        self.writes
    }

    fn take(&self) -> Result<Connection, DbErr> {
        let kept = {
            let mut idle = self.idle();
            if idle.closed {
                return Err(closed());
            }
            idle.connections.pop()
        };
        kept.map_or_else(|| self.open().map_err(failed), |(kept, _)| Ok(kept))
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, DbErr>) -> Result<T, DbErr> {
        let connection = self.take()?;
        let done = work(&connection);
        let not_kept = self.put_back(connection);
        drop(not_kept);
        done
    }

    /// Keeps the connection. What is not to be kept is given back.
    fn put_back(&self, connection: Connection) -> Vec<(Connection, Instant)> {
        let mut idle = self.idle();
        let now = Instant::now();
        let old = idle.connections.iter().take_while(|(_, used)| now.duration_since(*used) > KEPT).count();
        let mut not_kept: Vec<_> = idle.connections.drain(..old).collect();
        let place = if idle.closed || idle.connections.len() >= self.most {
            &mut not_kept
        } else {
            &mut idle.connections
        };
        place.push((connection, now));
        not_kept
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        // Not `READ_ONLY`: readers of a write-ahead log write its index. The file is never made here.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.patience)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        connection.execute_batch(&self.settings)?;
        Ok(connection)
    }

    /// Nothing that is done under the lock can leave it half done.
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rows<T>(
    connection: &Connection,
    statement: &Statement,
    mut take: impl FnMut(&Row<'_>) -> Result<T, DbErr>,
) -> Result<Vec<T>, DbErr> {
    let mut prepared = connection.prepare_cached(&statement.sql).map_err(failed)?;
    bind(&mut prepared, statement)?;
    let mut found = Vec::new();
    let mut answer = prepared.raw_query();
    while let Some(row) = answer.next().map_err(failed)? {
        found.push(take(&Row::Read(row))?);
    }
    Ok(found)
}

fn execute(connection: &Connection, statement: &Statement) -> Result<u64, DbErr> {
    let mut prepared = connection.prepare_cached(&statement.sql).map_err(failed)?;
    bind(&mut prepared, statement)?;
    let changed = prepared.raw_execute().map_err(failed)?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

/// Has the statement use the values.
fn bind(prepared: &mut rusqlite::Statement<'_>, statement: &Statement) -> Result<(), DbErr> {
    let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
    let mut next = 0;
    for place in 1..=prepared.parameter_count() {
        // `$2` is the second value wherever it stands; those without a number are the values in order.
        let named = prepared.parameter_name(place).and_then(|name| name.get(1..)?.parse::<usize>().ok());
        let nth = named.unwrap_or_else(|| {
            next += 1;
            next
        });
        let value = nth.checked_sub(1).and_then(|nth| values.get(nth));
        let value = value.ok_or_else(|| DbErr::Type(format!("value {nth} of a statement is missing")))?;
        prepared.raw_bind_parameter(place, Bound(value)).map_err(failed)?;
    }
    Ok(())
}

/// Does what may have to wait for the disk.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

/// A value as the driver would store it.
struct Bound<'v>(&'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let integer = |value: Option<i64>| value.map_or(ValueRef::Null, ValueRef::Integer);
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Bool(value) => integer(value.map(i64::from)),
            Value::SmallInt(value) => integer(value.map(i64::from)),
            Value::Int(value) => integer(value.map(i64::from)),
            Value::BigInt(value) => integer(*value),
            Value::BigUnsigned(value) => integer(value.map(i64::try_from).transpose().map_err(too_large)?),
            Value::String(value) => {
                value.as_deref().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes()))
            }
            Value::Bytes(value) => value.as_deref().map_or(ValueRef::Null, ValueRef::Blob),
            Value::Uuid(value) => value.as_ref().map_or(ValueRef::Null, |id| ValueRef::Blob(id.as_bytes())),
            other => {
                return Err(rusqlite::Error::ToSqlConversionFailure(
                    format!("{other:?} is never stored").into(),
                ));
            }
        }))
    }
}

fn too_large(error: TryFromIntError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}

fn late() -> DbErr {
    of_driver(sqlx::Error::PoolTimedOut)
}

fn closed() -> DbErr {
    of_driver(sqlx::Error::PoolClosed)
}

pub(super) fn failed(error: rusqlite::Error) -> DbErr {
    of_driver(sqlx::Error::Database(Box::new(Failed(error))))
}

fn of_driver(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// An error as the driver would have told it.
#[derive(Debug)]
struct Failed(rusqlite::Error);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failed {}

impl DatabaseError for Failed {
    fn message(&self) -> &str {
        match &self.0 {
            rusqlite::Error::SqliteFailure(_, Some(text)) => text,
            _ => "SQLite gave no answer that can be read",
        }
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.0.sqlite_error().map(|error| error.extended_code.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::DbBackend;
    use storage::Error;

    fn direct(folder: &std::path::Path) -> Arc<Direct> {
        let path = folder.join("mail.db");
        let made = Connection::open(&path).unwrap();
        made.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE pair (a BIGINT, b TEXT);").unwrap();
        made.execute_batch("INSERT INTO pair VALUES (1, 'one'), (2, NULL), (3, '셋')").unwrap();
        Direct::readers(path, 2, Duration::from_secs(5))
    }

    fn statement(sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
    }

    fn pair(row: &Row<'_>) -> Result<(i64, Option<String>), DbErr> {
        Ok((row.get(0)?, row.get(1)?))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn values_stand_where_their_number_or_their_order_says() {
        let folder = tempfile::tempdir().unwrap();
        let direct = direct(folder.path());
        let all = [(2, None), (3, Some("셋".to_owned()))];
        for (sql, values) in [
            ("SELECT a, b FROM pair WHERE a < $2 AND a > $1 ORDER BY a", [1, 4]),
            ("SELECT a, b FROM pair WHERE a > ? AND a < ? ORDER BY a", [1, 4]),
        ] {
            for expected in [1, 10_000] {
                let wanted = statement(sql, values.map(|value: i64| value.into()));
                assert_eq!(direct.read(wanted, expected, pair).await.unwrap(), all, "{sql}");
            }
        }
        let wanted = statement("SELECT a, b FROM pair WHERE b = $1", ["셋".into()]);
        assert_eq!(direct.read(wanted, 1, pair).await.unwrap(), all[1..]);
        let missing = statement("SELECT a, b FROM pair WHERE a = $2", [1_i64.into()]);
        assert!(direct.read(missing, 1, pair).await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_written_or_made() {
        let folder = tempfile::tempdir().unwrap();
        let direct = direct(folder.path());
        let write = statement("INSERT INTO pair VALUES (4, 'four') RETURNING a, b", []);
        assert!(direct.read(write, 1, pair).await.is_err());
        let nowhere = folder.path().join("none.db");
        let none = Direct::readers(nowhere.clone(), 2, Duration::from_secs(5));
        let error = none.read(statement("SELECT 1, ''", []), 1, pair).await.unwrap_err();
        assert!(matches!(crate::error::failed(error), Error::Unavailable(_)));
        assert!(!nowhere.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_reading_sees_what_was_committed_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let direct = direct(folder.path());
        let writer = Connection::open(folder.path().join("mail.db")).unwrap();
        for number in 10..30_i64 {
            writer.execute("INSERT INTO pair VALUES (?1, 'more')", [number]).unwrap();
            let wanted = statement("SELECT a, b FROM pair WHERE a = ?", [number.into()]);
            assert_eq!(direct.read(wanted, 1, pair).await.unwrap().len(), 1, "{number}");
        }
        // Nobody holds the log open: all of it goes into the file.
        let left: i64 = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn values_are_stored_as_the_driver_stores_them() {
        let folder = tempfile::tempdir().unwrap();
        let direct = direct(folder.path());
        let id = sea_orm::prelude::Uuid::from_u128(7);
        let sql = "SELECT typeof(?) || typeof(?) || typeof(?) || typeof(?) || typeof(?) || typeof(?), ?";
        let values: [Value; 7] = [
            true.into(),
            id.into(),
            Vec::<u8>::new().into(),
            200_u64.into(),
            "text".into(),
            Value::BigInt(None),
            id.into(),
        ];
        let take = |row: &Row<'_>| Ok((row.get::<String>(0)?, row.get::<sea_orm::prelude::Uuid>(1)?));
        let found = direct.read(statement(sql, values), 1, take).await.unwrap();
        assert_eq!(found, [("integerblobblobintegertextnull".to_owned(), id)]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_not_waited_for_keeps_its_place_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = { direct(folder.path()).path.clone() };
        let direct = Direct::readers(path, 1, Duration::from_secs(5));
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = std::sync::mpsc::channel::<()>();
        let mut slow = tokio::task::JoinSet::new();
        {
            let direct = Arc::clone(&direct);
            slow.spawn(async move {
                let take = move |_: &Row<'_>| {
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                    Ok(())
                };
                direct.read(statement("SELECT 1", []), 10_000, take).await
            });
        }
        spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
        slow.abort_all();
        assert!(slow.join_next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(direct.places.available_permits(), 0);
        go_on.send(()).unwrap();
        let wanted = statement("SELECT a, b FROM pair WHERE a = 1", []);
        assert_eq!(direct.read(wanted, 1, pair).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn errors_mean_what_those_of_the_driver_do() {
        let folder = tempfile::tempdir().unwrap();
        let direct = direct(folder.path());
        let error = direct.read(statement("SELECT a, b FROM nothing", []), 1, pair).await.unwrap_err();
        assert!(matches!(crate::error::failed(error), Error::Backend(_)));
        let broken = folder.path().join("broken.db");
        std::fs::write(&broken, "no database ".repeat(1_000)).unwrap();
        let broken = Direct::readers(broken, 2, Duration::from_secs(5));
        let error = broken.read(statement("SELECT a, b FROM pair", []), 1, pair).await.unwrap_err();
        assert!(matches!(crate::error::failed(error), Error::Corrupt(_)));
        direct.close();
        let error = direct.read(statement("SELECT a, b FROM pair", []), 1, pair).await.unwrap_err();
        assert!(matches!(crate::error::failed(error), Error::Unavailable(_)));
    }
}
