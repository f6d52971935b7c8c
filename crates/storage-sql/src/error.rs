//! What a database's error means for the caller.

use std::{io, sync::Arc};

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr,
    sqlx::{self, error::DatabaseError, postgres::PgDatabaseError},
};
use storage::Error;

use crate::DatabaseUrl;

/// The port's error for one of the database.
pub(crate) fn failed(error: DbErr) -> Error {
    let kind = match &error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => {
            // The server answers, or its absence would have been told instead.
            return Error::Unavailable("all connections to the database are in use".into());
        }
        DbErr::ConnectionAcquire(_) | DbErr::Conn(RuntimeErr::Internal(_)) => Kind::Unavailable,
        error => inner(error).map_or(Kind::Other, kind),
    };
    match kind {
        Kind::Full => Error::Full(error.into()),
        Kind::Unavailable | Kind::Broken | Kind::Conflict | Kind::Locked => Error::Unavailable(error.into()),
        Kind::Corrupt => Error::Corrupt(error.to_string()),
        Kind::Taken | Kind::Other => Error::Backend(error.into()),
    }
}

/// The reason itself, where the error only says what it means.
pub(crate) fn why(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The port's error with the database's name in it, for whoever starts the program.
pub(crate) fn named(url: &DatabaseUrl, error: DbErr) -> Error {
    let text = match &error {
        DbErr::Conn(RuntimeErr::SqlxError(inner)) => format!("{url}: {inner}"),
        error => format!("{url}: {error}"),
    };
    match failed(error) {
        Error::Unavailable(_) => Error::Unavailable(text.into()),
        Error::Full(_) => Error::Full(text.into()),
        Error::Corrupt(_) => Error::Corrupt(text),
        _ => Error::Backend(text.into()),
    }
}

/// The database is known to be away. Not to be tried again by whoever hears it.
pub(crate) fn away(reason: &str) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(format!("the database is away: {reason}")))
}

/// The database went away while it was being waited for.
pub(crate) fn lost(reason: &str) -> DbErr {
    let late = io::Error::new(io::ErrorKind::TimedOut, reason.to_owned());
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(sqlx::Error::Io(late))))
}

/// Whether the connection is gone, or its server going or not there yet: on another connection the same may succeed.
pub(crate) fn is_broken(error: &DbErr) -> bool {
    inner(error).is_some_and(|error| matches!(kind(error), Kind::Broken))
}

/// What may be tried again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Another transaction was in the way.
    Conflict,
    /// A row is there by now that was not there before.
    Taken,
    Broken,
    /// Another transaction did not let go of what is needed.
    Locked,
}

/// Whether a transaction that failed so can be run again from its start.
pub(crate) fn again(error: &Error) -> Option<Again> {
    let (Error::Unavailable(source) | Error::Backend(source)) = error else { return None };
    match kind(inner(source.downcast_ref::<DbErr>()?)?) {
        Kind::Broken => Some(Again::Broken),
        Kind::Conflict => Some(Again::Conflict),
        Kind::Taken => Some(Again::Taken),
        Kind::Locked => Some(Again::Locked),
        Kind::Full | Kind::Unavailable | Kind::Corrupt | Kind::Other => None,
    }
}

fn inner(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => Some(inner),
        _ => None,
    }
}

enum Kind {
    Full,
    Unavailable,
    Broken,
    Conflict,
    Taken,
    Locked,
    Corrupt,
    Other,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
            Some(error) => postgres_kind(error.code()),
            None => sqlite_kind(error.as_ref()),
        },
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Kind::Broken,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::BeginFailed => Kind::Unavailable,
        _ => Kind::Other,
    }
}

/// By `SQLSTATE`; see the appendix "PostgreSQL Error Codes" of its manual.
fn postgres_kind(code: &str) -> Kind {
    match code {
        // A serialization failure, a deadlock.
        "40001" | "40P01" => Kind::Conflict,
        // A unique key is taken.
        "23505" => Kind::Taken,
        "53100" => Kind::Full,
        // Shut down by the administrator, crashed, not ready yet; idle for too long in a transaction or altogether.
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Kind::Broken,
        // No lock in time.
        "55P03" => Kind::Locked,
        // Out of resources, cancelled by a time-out, read-only because it is a standby.
        "53000" | "53200" | "53300" | "53400" | "57014" | "57000" | "25006" | "58000" | "58030" => {
            Kind::Unavailable
        }
        "XX001" | "XX002" => Kind::Corrupt,
        _ if code.starts_with("08") => Kind::Broken,
        _ => Kind::Other,
    }
}

/// By SQLite's result codes; the extended ones carry the primary one in their low byte.
fn sqlite_kind(error: &dyn DatabaseError) -> Kind {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READONLY: u32 = 8;
    const IOERR: u32 = 10;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    const NOTADB: u32 = 26;
    let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
    match code & 0xFF {
        FULL => Kind::Full,
        BUSY | LOCKED | READONLY | IOERR | CANTOPEN => Kind::Unavailable,
        CORRUPT | NOTADB => Kind::Corrupt,
        _ => Kind::Other,
    }
}
