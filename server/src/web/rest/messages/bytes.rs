//! What of a message is not JSON: its HTML for a frame, its bytes, its attachments.

#![expect(unused_qualifications, reason = "the macro that describes parameters writes whole paths")]

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use mail::{Download, Images};
use serde::Deserialize;
use types::MessageId;
use utoipa::{IntoParams, ToSchema};

use crate::web::{
    caller::Caller,
    docs::Problems,
    download::{File, attached, respond},
    extract::{Path, Query},
    failure::Result,
    headers::mail_policy,
};

/// Whether pictures are loaded from elsewhere, which tells the sender that the mail was opened.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RemoteImages {
    #[default]
    Hold,
    Show,
}

/// How the HTML is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Look {
    /// `show` loads remote pictures; they are held back by default.
    #[serde(default)]
    #[param(inline)]
    pub(crate) images: RemoteImages,
}

/// The safe HTML as a document of its own, to be shown in a frame
#[utoipa::path(
    get, path = "/v1/messages/{id}/html", tag = "messages",
    params(("id" = MessageId, Path, description = "The message"), Look),
    responses((status = 200, description = "An HTML document", body = String, content_type = "text/html"), Problems)
)]
pub(crate) async fn html(
    caller: Caller,
    Path(id): Path<MessageId>,
    Query(Look { images }): Query<Look>,
) -> Result<Response> {
    let images = images.into();
    let html = caller.access.html(id, images).await?;
    Ok(framed(html, images, "private, max-age=300"))
}

impl From<RemoteImages> for Images {
    fn from(images: RemoteImages) -> Self {
        match images {
            RemoteImages::Hold => Self::Held,
            RemoteImages::Show => Self::Shown,
        }
    }
}

/// The answer with a message's HTML, which can do nothing, and is kept by the browser as is said.
pub(crate) fn framed(html: String, images: Images, kept: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(mail_policy(images))),
        (header::CACHE_CONTROL, HeaderValue::from_static(kept)),
    ];
    (headers, html).into_response()
}

/// The mail as it was received, byte for byte
#[utoipa::path(
    get, path = "/v1/messages/{id}/raw", tag = "messages",
    params(
        ("id" = MessageId, Path, description = "The message"),
        ("Range" = Option<String>, Header, description = "A part of the bytes"),
    ),
    responses(
        (status = 200, description = "All of it", body = Vec<u8>, content_type = "message/rfc822"),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "message/rfc822"),
        (status = 304, description = "You have it"),
        (status = 416, description = "There is no such part"),
        Problems
    )
)]
pub(crate) async fn raw(caller: Caller, Path(id): Path<MessageId>, headers: HeaderMap) -> Result<Response> {
    Ok(original(&headers, id, caller.access.raw(id).await?))
}

/// The answer with a message's own bytes.
pub(crate) fn original(request: &HeaderMap, id: MessageId, download: Download) -> Response {
    let name = format!("{id}.eml");
    let file = File { tag: format!("\"{id}\""), name: &name, content_type: "message/rfc822" };
    respond(request, &file, download)
}

/// An attachment, decoded
#[utoipa::path(
    get, path = "/v1/messages/{id}/attachments/{part}", tag = "messages",
    params(
        ("id" = MessageId, Path, description = "The message"),
        ("part" = String, Path, description = "The attachment's id"),
        ("Range" = Option<String>, Header, description = "A part of the bytes"),
    ),
    responses(
        (status = 200, description = "All of it", body = Vec<u8>, content_type = "*/*"),
        (status = 206, description = "The part that was asked for", body = Vec<u8>, content_type = "*/*"),
        (status = 304, description = "You have it"),
        (status = 416, description = "There is no such part"),
        Problems
    )
)]
pub(crate) async fn attachment(
    caller: Caller,
    Path((id, part)): Path<(MessageId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let (attachment, download) = caller.access.attachment(id, &part).await?;
    Ok(attached(&headers, id, &attachment, download))
}
