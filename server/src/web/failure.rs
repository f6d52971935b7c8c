//! What goes wrong, as an answer: `application/problem+json` (RFC 9457).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use types::{Problem, ProblemKind};

/// A problem on its way to the client.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

/// The result of every handler.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(Problem::new(kind, detail))
    }

    /// The same problem under a more exact status than that of its kind.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// No such address in the API.
    pub(crate) fn no_route() -> Self {
        Self::new(ProblemKind::NotFound, "There is no such address. /openapi.json lists what there is.")
    }

    /// The address is there, but not with this method.
    pub(crate) fn no_method() -> Self {
        Self::new(
            ProblemKind::InvalidRequest,
            "This address does not take this method; see the Allow header.",
        )
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
    }
}

impl From<mail::Error> for Failure {
    fn from(error: mail::Error) -> Self {
        // Not what has a status of servers because there is no other, such as a full mailbox.
        if matches!(error.kind(), ProblemKind::Internal | ProblemKind::Unavailable) {
            error.log("a request failed");
        }
        Self(error.problem())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"magpie\""));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// What the log says of a problem.
    fn told(error: mail::Error) -> (u16, String) {
        let (mut log, writer) = std::io::pipe().unwrap();
        let make = move || writer.try_clone().unwrap();
        let logging = tracing_subscriber::fmt().with_ansi(false).with_writer(make).finish();
        let status = tracing::subscriber::with_default(logging, || Failure::from(error).0.status);
        let mut told = String::new();
        log.read_to_string(&mut told).unwrap();
        (status, told)
    }

    #[test]
    fn the_log_has_what_is_our_fault_alone() {
        let (status, told_of) = told(mail::Error::Internal("a reason".to_owned()));
        assert_eq!(status, 500);
        assert!(told_of.contains("ERROR") && told_of.contains("a reason"), "{told_of}");
        for (error, wanted) in [
            (mail::Error::Quota, 507),
            (mail::Error::NotFound("message"), 404),
            (mail::Error::Storage(storage::Error::Exists("the folder")), 409),
        ] {
            assert_eq!(told(error), (wanted, String::new()));
        }
    }
}
