//! Axum's extractors, with problems instead of plain text where a request is not of the documented form.

mod query;

use axum::{
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{JsonRejection, PathRejection},
    },
    http::{StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::de::DeserializeOwned;
use types::ProblemKind;

pub(crate) use self::query::{Limit, Query, blank_is_none};
use super::{Web, failure::Failure};

/// A JSON body that arrives in time.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Web> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Failure> {
        match in_time(web, axum::Json::from_request(request, web)).await? {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_failure(&rejection)),
        }
    }
}

/// The fields of a form that arrives in time.
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Web> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        match in_time(web, axum::Form::from_request(request, web)).await {
            Ok(Ok(axum::Form(value))) => Ok(Self(value)),
            Ok(Err(rejection)) => Err(rejection.into_response()),
            Err(failure) => Err(failure.into_response()),
        }
    }
}

/// Whatever the body is, once it has arrived, in time.
pub(crate) struct Body(pub(crate) Bytes);

impl FromRequest<Web> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Failure> {
        match in_time(web, Bytes::from_request(request, web)).await? {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(Failure::new(ProblemKind::TooLarge, "The body is larger than this service takes."))
            }
            Err(_) => Err(Failure::new(ProblemKind::InvalidRequest, "The body did not arrive.")),
        }
    }
}

async fn in_time<T>(web: &Web, reading: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(web.config.http.timeout.0, reading).await.map_err(|_| {
        Failure::new(ProblemKind::Unavailable, "The request took too long to arrive.")
            .with_status(StatusCode::REQUEST_TIMEOUT)
    })
}

fn json_failure(rejection: &JsonRejection) -> Failure {
    let status = rejection.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return Failure::new(ProblemKind::TooLarge, "The body is larger than this service takes.");
    }
    let detail = match rejection {
        JsonRejection::MissingJsonContentType(_) => {
            "The body must be JSON, with Content-Type: application/json.".into()
        }
        other => without_types(&other.body_text()),
    };
    let failure = Failure::new(ProblemKind::InvalidRequest, detail);
    match rejection {
        JsonRejection::MissingJsonContentType(_) => failure.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        _ => failure,
    }
}

/// The library's words without its talk of types.
fn without_types(text: &str) -> String {
    let reason = text
        .strip_prefix("Failed to deserialize the JSON body into the target type: ")
        .or_else(|| text.strip_prefix("Failed to parse the request body as JSON: "));
    reason.unwrap_or(text).to_owned()
}

/// Ids in the path. One that cannot be an id names nothing: 404.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(_)) => {
                Err(Failure::new(ProblemKind::NotFound, "The id in the address is not one of ours."))
            }
            Err(other) => Err(Failure::new(ProblemKind::Internal, "It has been logged. Please try again."))
                .inspect_err(|_| tracing::error!(%other, "a route without its parameters")),
        }
    }
}
