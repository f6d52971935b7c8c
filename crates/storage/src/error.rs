//! One error for every port, split by what can be done about it.

use std::error::Error as StdError;

/// The result of every call to a port. "Not found" is `Ok(None)`, never an error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a port could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something of this name or key is there already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// There are as many as there may be.
    #[error("{0} has reached its limit")]
    Reached(&'static str),
    /// There is no room left on the device, or in the database.
    #[error("the storage is full")]
    Full(#[source] Source),
    /// Not there right now: a broken connection, a time-out, a fence. The same call may succeed later.
    #[error("the storage is not available")]
    Unavailable(#[source] Source),
    /// The account is being moved to another shard, or was. After [`crate::Shards::refresh`] the same call may be made
    /// where it lives then.
    #[error("the account is being moved to another shard")]
    Moving,
    /// What was read is not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// Anything else that the back end says; a fault of ours or its.
    #[error("the storage failed")]
    Backend(#[source] Source),
}

/// What the back end said, for the log only.
pub type Source = Box<dyn StdError + Send + Sync>;

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Unavailable(_) | Self::Moving)
    }

    /// The error for an I/O error of a file.
    #[must_use]
    pub fn from_io(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => Self::Full(error.into()),
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::Interrupted => Self::Unavailable(error.into()),
            _ => Self::Backend(error.into()),
        }
    }
}
