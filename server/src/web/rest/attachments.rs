//! `/v1/attachments`: files that wait to be attached.

#![expect(unused_qualifications, reason = "the macro that describes parameters writes whole paths")]

use std::time::Duration;

use axum::{
    Json as Answer,
    body::{Body, BodyDataStream},
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use types::{ProblemKind, UploadId, api::Uploaded};
use utoipa::IntoParams;

use crate::web::{
    Web,
    caller::Caller,
    docs::Problems,
    extract::{Path, Query},
    failure::{Failure, Result},
};

/// What the file is called.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Name {
    /// As the recipient will see it.
    #[serde(default)]
    filename: String,
}

/// Upload a file, to be attached by its id
#[utoipa::path(
    post, path = "/v1/attachments", tag = "messages",
    params(Name),
    request_body(content = Vec<u8>, content_type = "*/*", description = "The bytes; their type as Content-Type"),
    responses((status = 201, description = "Kept for two days", body = Uploaded), Problems)
)]
pub(crate) async fn upload(
    State(web): State<Web>,
    caller: Caller,
    Query(Name { filename }): Query<Name>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Answer<Uploaded>)> {
    web.limit_uploads(&caller.access).await?;
    let field = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let limit = web.config.limits.upload_size.0;
    if field(header::CONTENT_LENGTH)
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length > limit)
    {
        let detail = format!("A file to attach has at most {limit} bytes.");
        return Err(Failure::new(ProblemKind::TooLarge, detail));
    }
    let content_type = field(header::CONTENT_TYPE).unwrap_or("application/octet-stream");
    let pieces = pieces(body.into_data_stream(), web.config.http.timeout.0);
    let uploaded = caller.access.upload(&filename, content_type, pieces.boxed()).await.map_err(broken)?;
    Ok((StatusCode::CREATED, Answer(uploaded)))
}

/// The body piece by piece; an error if the next one does not come in time.
fn pieces(
    body: BodyDataStream,
    patience: Duration,
) -> impl futures::Stream<Item = storage::Result<Bytes>> + Send + 'static {
    stream::try_unfold(body, move |mut body| async move {
        match tokio::time::timeout(patience, body.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some((piece, body))),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(storage::Error::Backend(Box::new(Broken(error.to_string())))),
            Err(_) => Err(storage::Error::Backend(Box::new(Broken("the next piece did not come".into())))),
        }
    })
}

/// The sender's connection broke, or stood still.
#[derive(Debug, thiserror::Error)]
#[error("the upload broke off: {0}")]
struct Broken(String);

/// A broken upload is not our fault, and nobody is there to read about it.
fn broken(error: mail::Error) -> Failure {
    match error {
        mail::Error::Storage(storage::Error::Backend(source)) if source.is::<Broken>() => {
            Failure::new(ProblemKind::InvalidRequest, "The upload broke off; nothing was kept.")
                .with_status(StatusCode::REQUEST_TIMEOUT)
        }
        other => other.into(),
    }
}

/// Give an upload up
#[utoipa::path(
    delete, path = "/v1/attachments/{id}", tag = "messages",
    params(("id" = UploadId, Path, description = "The upload")),
    responses((status = 204, description = "Gone"), Problems)
)]
pub(crate) async fn discard(caller: Caller, Path(id): Path<UploadId>) -> Result<StatusCode> {
    caller.access.discard_upload(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
