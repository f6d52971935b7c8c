//! One error for every port, split by what can be done about it.

use std::{error::Error as StdError, io};

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
    pub fn from_io(error: io::Error) -> Self {
        Self::for_io(kind(&error), error)
    }

    /// The same, in other words.
    #[must_use]
    pub fn from_io_of(error: &io::Error, words: impl Into<Source>) -> Self {
        Self::for_io(kind(error), words)
    }

    fn for_io(kind: Kind, source: impl Into<Source>) -> Self {
        match kind {
            Kind::Full => Self::Full(source.into()),
            Kind::Unavailable => Self::Unavailable(source.into()),
            Kind::Other => Self::Backend(source.into()),
        }
    }
}

enum Kind {
    Full,
    Unavailable,
    Other,
}

/// `ENFILE` and `EMFILE`: the machine, or the process, has no file descriptors left. Neither has a kind of its own.
const NO_DESCRIPTORS: [i32; 2] = [23, 24];

fn kind(error: &io::Error) -> Kind {
    use io::ErrorKind::{
        FileTooLarge, Interrupted, OutOfMemory, QuotaExceeded, ResourceBusy, StaleNetworkFileHandle,
        StorageFull, TimedOut, WouldBlock,
    };
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => Kind::Full,
        TimedOut | Interrupted | WouldBlock | OutOfMemory | ResourceBusy | StaleNetworkFileHandle => {
            Kind::Unavailable
        }
        _ if error.raw_os_error().is_some_and(|code| NO_DESCRIPTORS.contains(&code)) => Kind::Unavailable,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_temporary() {
        let check = |code, wanted| {
            let error = Error::from_io(io::Error::from_raw_os_error(code));
            assert_eq!(error.is_temporary(), wanted, "{code}: {error:?}");
        };
        // ENFILE, EMFILE, ENOMEM, EAGAIN, ESTALE, ENOSPC
        [23, 24, 12, 11, 116, 28].into_iter().for_each(|code| check(code, true));
        // EIO, EACCES, ENOENT
        [5, 13, 2].into_iter().for_each(|code| check(code, false));
        let said = Error::from_io_of(&io::Error::from_raw_os_error(24), "a/file: none left");
        assert!(matches!(said, Error::Unavailable(_)));
    }
}
