//! What a database's error means for the caller.

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, error::DatabaseError},
};
use storage::Error;

/// The port's error for one of the database.
pub(crate) fn failed(error: DbErr) -> Error {
    let kind = match &error {
        DbErr::ConnectionAcquire(_) => Kind::Unavailable,
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => kind(inner),
        _ => Kind::Other,
    };
    match kind {
        Kind::Full => Error::Full(error.into()),
        Kind::Unavailable => Error::Unavailable(error.into()),
        Kind::Corrupt => Error::Corrupt(error.to_string()),
        Kind::Other => Error::Backend(error.into()),
    }
}

/// The port's error for one of the pool itself.
pub(crate) fn not_connected(error: sqlx::Error) -> Error {
    failed(DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}

enum Kind {
    Full,
    Unavailable,
    Corrupt,
    Other,
}

fn kind(error: &sqlx::Error) -> Kind {
    match error {
        sqlx::Error::Database(error) => sqlite_kind(error.as_ref()),
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => Kind::Unavailable,
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
