//! Leaving the list that a message came from.

use axum::{extract::State, http::StatusCode};
use types::{MessageId, ProblemKind};

use crate::web::{
    Web,
    caller::Caller,
    docs::Problems,
    extract::Path,
    failure::{Failure, Result},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// Leave the list that a message came from, as its `unsubscribe` says: by one click or by a mail
#[utoipa::path(
    post, path = "/v1/messages/{id}/unsubscribe", tag = "messages",
    params(("id" = MessageId, Path, description = "A message of the list")),
    responses(
        (status = 204, description = "The list has been asked, or the mail is on its way"),
        (status = 502, description = "The list does not answer, or says no"),
        Problems
    )
)]
pub(crate) async fn unsubscribe(
    State(web): State<Web>,
    caller: Caller,
    Path(id): Path<MessageId>,
) -> Result<StatusCode> {
    if let Some(url) = caller.access.unsubscribe(id).await?
        && let Err(error) = web.clicks.post(&url, FORM, message::ONE_CLICK.as_bytes()).await
    {
        tracing::info!(host = url.host, %error, "a list could not be left");
        let detail = format!("{} could not be asked to take you off its list: {error}", url.host);
        return Err(Failure::new(ProblemKind::Unavailable, detail).with_status(StatusCode::BAD_GATEWAY));
    }
    Ok(StatusCode::NO_CONTENT)
}
