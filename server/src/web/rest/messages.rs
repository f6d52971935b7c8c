//! `/v1/messages`: reading and changing mail.

pub(crate) mod bytes;
pub(crate) mod compose;
pub(crate) mod unsubscribe;

use axum::{Json as Answer, http::StatusCode};
use types::{
    MessageId,
    api::{Changed, Message, Patch, PatchMany},
};

use crate::web::{
    caller::Caller,
    docs::Problems,
    extract::{Json, Path},
    failure::Result,
};

/// A whole message; its `html` is already safe
#[utoipa::path(
    get, path = "/v1/messages/{id}", tag = "messages",
    params(("id" = MessageId, Path, description = "The message")),
    responses((status = 200, description = "The message", body = Message), Problems)
)]
pub(crate) async fn show(caller: Caller, Path(id): Path<MessageId>) -> Result<Answer<Message>> {
    Ok(Answer(caller.access.message(id).await?))
}

/// Change a message: read, starred, labels, folder
#[utoipa::path(
    patch, path = "/v1/messages/{id}", tag = "messages",
    params(("id" = MessageId, Path, description = "The message")),
    request_body = Patch,
    responses((status = 200, description = "The message as it is now", body = Changed), Problems)
)]
pub(crate) async fn patch(
    caller: Caller,
    Path(id): Path<MessageId>,
    Json(patch): Json<Patch>,
) -> Result<Answer<Changed>> {
    Ok(Answer(Changed { messages: vec![caller.access.patch_one(id, &patch).await?] }))
}

/// Change many messages alike
#[utoipa::path(
    patch, path = "/v1/messages", tag = "messages",
    request_body = PatchMany,
    responses((status = 200, description = "Those that exist, as they are now", body = Changed), Problems)
)]
pub(crate) async fn patch_many(caller: Caller, Json(patch): Json<PatchMany>) -> Result<Answer<Changed>> {
    let (ids, patch) = patch.split();
    Ok(Answer(Changed { messages: caller.access.patch(&ids, &patch).await? }))
}

/// Delete a message: to Trash, from Trash for good
#[utoipa::path(
    delete, path = "/v1/messages/{id}", tag = "messages",
    params(("id" = MessageId, Path, description = "The message")),
    responses((status = 204, description = "Deleted"), Problems)
)]
pub(crate) async fn remove(caller: Caller, Path(id): Path<MessageId>) -> Result<StatusCode> {
    caller.access.delete(&[id]).await?;
    Ok(StatusCode::NO_CONTENT)
}
