//! `POST /v1/messages`: sending, and keeping drafts.

use axum::{Json as Answer, http::StatusCode};
use types::api::{Compose, Composed};

use crate::web::{caller::Caller, docs::Problems, extract::Json, failure::Result};

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
