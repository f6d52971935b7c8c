//! What goes wrong, as the API says it: RFC 9457 problem details with stable types.

use serde::{Deserialize, Serialize};

/// The kinds of problem. The `type` on the wire is `/problems/<kind>`; kinds are never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ProblemKind {
    /// The request is not of the documented form.
    InvalidRequest,
    /// Wrong address or password.
    InvalidCredentials,
    /// No session, or one that ended.
    Unauthenticated,
    /// The session may not do this; also a request without its CSRF defence.
    Forbidden,
    /// There is no such thing, or it is somebody else's.
    NotFound,
    /// It cannot be done in the present state: a name that is taken, a folder that must stay.
    Conflict,
    /// Larger than the configured limit.
    TooLarge,
    /// A cursor that this service did not make.
    InvalidCursor,
    /// The account's storage is used up.
    QuotaExceeded,
    /// Too many requests; `retry_after_s` says when to come back.
    RateLimited,
    /// A part of the service is not there right now; try again.
    Unavailable,
    /// A fault of the service itself; it is in its log.
    Internal,
}

impl ProblemKind {
    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::InvalidCursor => 400,
            Self::InvalidCredentials | Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::QuotaExceeded => 507,
        }
    }

    /// A short summary, the same for every problem of this kind.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is not valid",
            Self::InvalidCredentials => "The address or the password is wrong",
            Self::Unauthenticated => "Please log in",
            Self::Forbidden => "This is not allowed",
            Self::NotFound => "There is no such thing here",
            Self::Conflict => "This cannot be done now",
            Self::TooLarge => "This is too large",
            Self::InvalidCursor => "The cursor is not valid",
            Self::QuotaExceeded => "The mailbox is full",
            Self::RateLimited => "Too many requests",
            Self::Unavailable => "A part of the service is not available",
            Self::Internal => "Something went wrong on our side",
        }
    }

    /// The `type` member: a relative URI, documented under that address.
    #[must_use]
    pub fn uri(self) -> String {
        format!("/problems/{}", self.name())
    }

    /// The last part of [`ProblemKind::uri`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::InvalidCredentials => "invalid-credentials",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::InvalidCursor => "invalid-cursor",
            Self::QuotaExceeded => "quota-exceeded",
            Self::RateLimited => "rate-limited",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    const ALL: [Self; 12] = [
        Self::InvalidRequest,
        Self::InvalidCredentials,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::TooLarge,
        Self::InvalidCursor,
        Self::QuotaExceeded,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The kind that a `type` member names.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix("/problems/")?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The body of an error answer, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{title}: {detail}")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// Stable, e.g. `/problems/not-found`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What is wrong with this request, and what to do about it.
    pub detail: String,
    /// The member of the request that is wrong, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// For `rate-limited`: seconds until another try can succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    #[must_use]
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: kind.uri(),
            title: kind.title().to_owned(),
            status: kind.status(),
            detail: detail.into(),
            field: None,
            retry_after_s: None,
        }
    }

    /// The same problem, of this member of the request.
    #[must_use]
    pub fn in_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Its kind; `Internal` for one that this version does not know.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        ProblemKind::from_uri(&self.kind).unwrap_or(ProblemKind::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_uri() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::from_uri(&kind.uri()), Some(kind));
            assert_eq!(Problem::new(kind, "x").kind(), kind);
        }
    }
}
