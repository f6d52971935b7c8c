//! What can go wrong with a MeiliSearch, and what to do about it.

use std::{future::Future, time::Duration};

use meilisearch_sdk::errors::{Error as SdkError, ErrorCode, ErrorType, MeilisearchError};
use storage::{Error, Result};

/// How long an answer may take.
pub(super) const REQUEST: Duration = Duration::from_secs(30);

/// Why an index could not be opened. One line, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "no MeiliSearch answers at {host}; see that it runs, and that host and port are right ({reason})"
    )]
    Unreachable { host: String, reason: String },
    #[error("what answers at {host} is no MeiliSearch; see that host and port are right")]
    Other { host: String },
    #[error(
        "the MeiliSearch at {host} does not accept the key; give the URL `?key=` with one that may do everything with the indexes `{name}-*`"
    )]
    Key { host: String, name: String },
    #[error("the MeiliSearch at {host} is version {version}; {least} or a newer one is needed")]
    TooOld { host: String, version: String, least: &'static str },
    #[error(
        "the MeiliSearch at {host} has the index `{uid}` of a newer version of Magpie; run that version, or choose another name with `&index=`"
    )]
    Newer { host: String, uid: String },
    #[error("the MeiliSearch at {host} failed: {reason}")]
    Failed { host: String, reason: String },
}

/// The outcome of a request, if it comes in time.
pub(super) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = std::result::Result<T, SdkError>>,
) -> Result<T> {
    match tokio::time::timeout(limit, request).await {
        Ok(outcome) => outcome.map_err(into_error),
        Err(late) => Err(Error::Unavailable(late.into())),
    }
}

pub(super) fn into_error(error: SdkError) -> Error {
    match error {
        SdkError::Meilisearch(error) => refused(&error),
        SdkError::MeilisearchCommunication(error) if error.status_code < 500 => {
            Error::Backend(format!("MeiliSearch answered with {}", error.status_code).into())
        }
        SdkError::MeilisearchCommunication(error) => {
            Error::Unavailable(format!("MeiliSearch answered with {}", error.status_code).into())
        }
        SdkError::HttpError(_) | SdkError::Timeout => Error::Unavailable(error.into()),
        _ => Error::Backend(error.into()),
    }
}

/// What MeiliSearch says of a request or a task that it refused or could not finish.
pub(super) fn refused(error: &MeilisearchError) -> Error {
    let said = format!("MeiliSearch says: {}", error.error_message.replace('\n', " "));
    match (&error.error_code, &error.error_type) {
        (ErrorCode::NoSpaceLeftOnDevice | ErrorCode::DatabaseSizeLimitReached, _) => Error::Full(said.into()),
        // Its settings are not ours, or it is not there: nothing that it says may be believed.
        (ErrorCode::IndexNotFound | ErrorCode::InvalidSearchFilter | ErrorCode::InvalidSearchSort, _) => {
            Error::Backend(format!("{said} (restart, or run `magpie index rebuild`)").into())
        }
        (ErrorCode::PayloadTooLarge, _) => {
            Error::Backend(format!("{said} (raise its http-payload-size-limit)").into())
        }
        (ErrorCode::InvalidApiKey | ErrorCode::MissingAuthorizationHeader, _) => {
            Error::Backend(format!("{said} (see the key in search.url)").into())
        }
        (ErrorCode::TooManyOpenFiles | ErrorCode::IoError, _) | (_, ErrorType::Internal) => {
            Error::Unavailable(said.into())
        }
        _ => Error::Backend(said.into()),
    }
}

/// An answer that MeiliSearch does not give.
pub(super) fn unlike() -> Error {
    Error::Backend("what answers does not answer like MeiliSearch".into())
}
