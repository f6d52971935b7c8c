//! What can go wrong in a use-case, split by whose fault it is.

use std::time::Duration;

use types::{Problem, ProblemKind};

/// The result of every use-case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use-case could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can mend it: what is wrong, and where.
    #[error("{detail}")]
    Invalid { field: Option<String>, detail: String },
    #[error("the address or the password is wrong")]
    Credentials,
    #[error("no session, or one that ended")]
    Unauthenticated,
    #[error("{0}")]
    Forbidden(String),
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("the cursor is none of this list; begin again without it")]
    Cursor,
    #[error("the mailbox is full")]
    Quota,
    /// A mail that a group has sent on comes around again.
    #[error("the mail goes in circles")]
    Circle,
    #[error("too many attempts; try again in {} s", retry_after.as_secs())]
    Limited { retry_after: Duration },
    /// There is no room left for anything. The cause is for the log alone.
    #[error("the storage is full")]
    Full(#[source] storage::Error),
    /// Our fault, or the storage's. The cause is for the log alone.
    #[error("the storage failed")]
    Storage(#[source] storage::Error),
    #[error("{0}")]
    Internal(String),
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Full(_) => Self::Full(error),
            other => Self::Storage(other),
        }
    }
}

impl Error {
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { field: Some(field.into()), detail: detail.into() }
    }

    /// Whether the same call may succeed later by itself.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_temporary(),
            Self::Limited { .. } | Self::Full(_) => true,
            _ => false,
        }
    }

    /// Whether what is stored is not what was stored.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Storage(storage::Error::Corrupt(_)))
    }

    /// The kind of problem that the API calls it.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        match self {
            Self::Invalid { .. } | Self::Circle => ProblemKind::InvalidRequest,
            Self::Credentials => ProblemKind::InvalidCredentials,
            Self::Unauthenticated => ProblemKind::Unauthenticated,
            Self::Forbidden(_) => ProblemKind::Forbidden,
            Self::NotFound(_) => ProblemKind::NotFound,
            Self::Conflict(_) | Self::Storage(storage::Error::Exists(_)) => ProblemKind::Conflict,
            Self::TooLarge(_) => ProblemKind::TooLarge,
            Self::Cursor => ProblemKind::InvalidCursor,
            Self::Quota => ProblemKind::QuotaExceeded,
            Self::Limited { .. } => ProblemKind::RateLimited,
            Self::Full(_) | Self::Storage(storage::Error::Unavailable(_) | storage::Error::Moving) => {
                ProblemKind::Unavailable
            }
            Self::Storage(_) | Self::Internal(_) => ProblemKind::Internal,
        }
    }

    /// The problem as the API shows it: nothing of the inside.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let detail = match self {
            Self::Storage(storage::Error::Exists(_)) => "Something of that name exists already.".to_owned(),
            Self::Full(_) => "The service has no room left. Nothing was stored.".to_owned(),
            Self::Storage(storage::Error::Unavailable(_) | storage::Error::Moving) => {
                "Please try again in a moment.".to_owned()
            }
            Self::Storage(_) | Self::Internal(_) => "It has been logged. Please try again.".to_owned(),
            other => sentence(&other.to_string()),
        };
        let mut problem = Problem::new(self.kind(), detail);
        match self {
            Self::Invalid { field, .. } => problem.field.clone_from(field),
            Self::Limited { retry_after } => problem.retry_after_s = Some(retry_after.as_secs().max(1)),
            _ => {}
        }
        problem
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_file_descriptors_passes() {
        let error = std::io::Error::from_raw_os_error(24);
        let error = Error::from(storage::Error::from_io(error));
        assert!(error.is_temporary());
        assert_eq!((error.kind(), error.problem().status), (ProblemKind::Unavailable, 503));
    }
}
