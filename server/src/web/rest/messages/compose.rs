//! `POST /v1/messages`: sending, and keeping drafts; and taking back what was to go later.

use axum::{Json as Answer, http::StatusCode};
use types::{
    MessageId,
    api::{Compose, Composed, Summary},
};

use crate::web::{
    caller::Caller,
    docs::Problems,
    extract::{Json, Path},
    failure::Result,
};

/// Send a mail, or keep it as a draft
///
/// When this is answered, the mail is safely in the queue and its copy in Sent.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages",
    request_body = Compose,
    responses((status = 201, description = "The Sent copy, or the draft", body = Composed), Problems)
)]
pub(crate) async fn compose(
    caller: Caller,
    Json(mail): Json<Compose>,
) -> Result<(StatusCode, Answer<Composed>)> {
    Ok((StatusCode::CREATED, Answer(caller.access.compose(mail).await?)))
}

/// Take a sent mail back before its `send_at`
///
/// It is a draft again. Once it may have left, the answer is 409.
#[utoipa::path(
    post, path = "/v1/messages/{id}/recall", tag = "messages",
    params(("id" = MessageId, Path, description = "The Sent copy")),
    responses((status = 200, description = "The draft", body = Summary), Problems)
)]
pub(crate) async fn recall(caller: Caller, Path(id): Path<MessageId>) -> Result<Answer<Summary>> {
    Ok(Answer(caller.access.recall(id).await?))
}
