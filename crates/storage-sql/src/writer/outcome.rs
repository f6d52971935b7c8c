//! What became of a transaction of PostgreSQL whose `COMMIT` was sent and not answered.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep};

use crate::connect::Pool;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    RolledBack,
    /// Nobody answered, or nobody remembers.
    Unknown,
}

const PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer or patience ends. The server remembers also after it crashed.
pub(super) async fn ask(pool: &Pool, id: &str, patience: Duration) -> Outcome {
    let deadline = Instant::now() + patience;
    loop {
        match status(pool, id).await.as_ref().map(Option::as_deref) {
            Ok(Some("committed")) => return Outcome::Committed,
            Ok(Some("aborted")) => return Outcome::RolledBack,
            Ok(None) => return Outcome::Unknown,
            // The server works at the commit, or has not noticed yet that the connection is gone.
            Ok(Some(_)) if Instant::now() < deadline => {}
            Err(error) if Instant::now() < deadline => {
                tracing::debug!(%error, "the outcome of a transaction cannot be asked for yet");
            }
            Ok(Some(_)) | Err(_) => return Outcome::Unknown,
        }
        sleep(PAUSE).await;
    }
}

/// The status of the transaction; the session of one that is still running is ended (a commit is finished first).
async fn status(pool: &Pool, id: &str) -> Result<Option<String>, DbErr> {
    let sql = "SELECT pg_xact_status(CAST(CAST($1 AS TEXT) AS xid8)) AS status, \
         (SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE backend_xid = CAST(CAST(CAST($1 AS TEXT) AS xid8) AS xid) AND pid <> pg_backend_pid())";
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [id.into()]);
    let row = pool.each().query_one_raw(statement).await?;
    row.map(|row| row.try_get("", "status")).transpose().map(Option::flatten)
}
