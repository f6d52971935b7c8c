//! What a transaction of PostgreSQL leaves behind, so that its writer can tell what became of a `COMMIT` that got no answer.
//!
//! Each writer has a row of its own, into which every transaction writes its number. Whoever reads the row afterwards
//! waits for the transaction, should it still run, by the row's lock; then the number says whether it was committed.
//! (The server's own ids of transactions would not do: after a crash they are given out again to others, if those that
//! had them left nothing on the disk.)

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement, prelude::Uuid};
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep},
};

use crate::{connect::Pool, statement::Writes};

/// The marks of one writer.
#[derive(Default)]
pub(crate) struct Marks {
    writer: OnceCell<Uuid>,
    last: AtomicI64,
}

/// A transaction that is going to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    writer: Uuid,
    batch: i64,
}

/// A mark that was written, and the server's process that did it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) mark: Mark,
    pub(crate) process: i32,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    RolledBack,
    /// Nobody answered.
    Unknown,
}

/// The row of a writer that has not written for this long goes.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 86_400);
const PAUSE: Duration = Duration::from_millis(50);

impl Marks {
    /// The mark of the next transaction. The first one registers the writer.
    pub(crate) async fn next(&self, pool: &Pool) -> Result<Mark, DbErr> {
        let writer = *self.writer.get_or_try_init(|| register(pool)).await?;
        Ok(Mark { writer, batch: self.last.fetch_add(1, Ordering::Relaxed) + 1 })
    }
}

async fn register(pool: &Pool) -> Result<Uuid, DbErr> {
    let sql = "WITH gone AS (DELETE FROM writer WHERE at < CAST(EXTRACT(EPOCH FROM now()) AS BIGINT) - $1) \
         INSERT INTO writer (id, batch, at) \
         VALUES (gen_random_uuid(), 0, CAST(EXTRACT(EPOCH FROM now()) AS BIGINT)) RETURNING id";
    let seconds = i64::try_from(FORGOTTEN_AFTER.as_secs()).unwrap_or(i64::MAX);
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [seconds.into()]);
    let row = pool.each().query_one_raw(statement).await?;
    row.ok_or_else(|| DbErr::Custom("a writer was not registered".to_owned()))?.try_get("", "id")
}

impl Mark {
    /// Has it written with the rest.
    pub(crate) fn leave(self, writes: &mut Writes<'_>) {
        writes.add(
            "INSERT INTO writer (id, batch, at) VALUES ({1}, {2}, CAST(EXTRACT(EPOCH FROM now()) AS BIGINT)) \
             ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, at = excluded.at",
            [self.writer.into(), self.batch.into()],
        );
    }

    /// Whether the writer's row has it. The row is there afterwards in any case.
    async fn is_there(self, pool: &Pool) -> Result<bool, DbErr> {
        let sql = "INSERT INTO writer (id, batch, at) \
             VALUES ($1, 0, CAST(EXTRACT(EPOCH FROM now()) AS BIGINT)) \
             ON CONFLICT (id) DO UPDATE SET at = excluded.at RETURNING batch";
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [self.writer.into()]);
        let row = pool.each().query_one_raw(statement).await?;
        let last: Option<i64> = row.map(|row| row.try_get("", "batch")).transpose()?;
        Ok(last == Some(self.batch))
    }
}

impl Left {
    /// Asks until there is an answer or patience ends. A transaction that still runs is ended; a commit is finished
    /// first.
    pub(crate) async fn outcome(self, pool: &Pool, patience: Duration) -> Outcome {
        let deadline = Instant::now() + patience;
        loop {
            let asked = match self.end(pool).await {
                Ok(()) => self.mark.is_there(pool).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(true) => return Outcome::Committed,
                Ok(false) => return Outcome::RolledBack,
                Err(error) if Instant::now() < deadline => {
                    tracing::debug!(%error, "the outcome of a transaction cannot be asked for yet");
                }
                Err(_) => return Outcome::Unknown,
            }
            sleep(PAUSE).await;
        }
    }

    /// Ends the transaction's session if it is still there. Should another of ours have got its number, that one's
    /// work is only run again.
    async fn end(self, pool: &Pool) -> Result<(), DbErr> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE pid = $1 AND usename = current_user AND datname = current_database() \
             AND application_name = current_setting('application_name') \
             AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [self.process.into()]);
        pool.each().execute_raw(statement).await.map(|_| ())
    }
}
