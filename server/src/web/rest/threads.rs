//! `/v1/threads`: conversations.

use axum::Json as Answer;
use types::{ThreadId, api::Thread};

use crate::web::{caller::Caller, docs::Problems, extract::Path, failure::Result};

/// A conversation, oldest message first
#[utoipa::path(
    get, path = "/v1/threads/{id}", tag = "messages",
    params(("id" = ThreadId, Path, description = "The conversation")),
    responses((status = 200, description = "Its messages", body = Thread), Problems)
)]
pub(crate) async fn show(caller: Caller, Path(id): Path<ThreadId>) -> Result<Answer<Thread>> {
    Ok(Answer(caller.access.thread(id).await?))
}
