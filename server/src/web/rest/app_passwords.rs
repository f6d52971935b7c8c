//! `/v1/app-passwords`: what mail programs log in with.

use axum::{Json as Answer, http::StatusCode};
use types::{
    AppPasswordId,
    api::{AppPasswords, MadeAppPassword, NewAppPassword},
};

use crate::web::{
    caller::Caller,
    client::Client,
    docs::Problems,
    extract::{Json, Path},
    failure::Result,
};

/// The app passwords of the account
#[utoipa::path(
    get, path = "/v1/app-passwords", tag = "session",
    responses((status = 200, description = "The oldest first", body = AppPasswords), Problems)
)]
pub(crate) async fn list(caller: Caller) -> Result<Answer<AppPasswords>> {
    Ok(Answer(AppPasswords { app_passwords: caller.access.app_passwords().await? }))
}

/// Make an app password
///
/// It lets one mail program in (IMAP, POP3, submission), but neither to the webmail nor to this API. A new password of the
/// account takes all of them away.
#[utoipa::path(
    post, path = "/v1/app-passwords", tag = "session",
    request_body = NewAppPassword,
    responses((status = 201, description = "Made; the password is told this once", body = MadeAppPassword), Problems)
)]
pub(crate) async fn add(
    caller: Caller,
    client: Client,
    Json(NewAppPassword { name, password }): Json<NewAppPassword>,
) -> Result<(StatusCode, Answer<MadeAppPassword>)> {
    let (app_password, password) = caller.access.add_app_password(&name, &password, &client.into()).await?;
    Ok((StatusCode::CREATED, Answer(MadeAppPassword { app_password, password })))
}

/// Take an app password away
///
/// Programs that came by it have to log in again.
#[utoipa::path(
    delete, path = "/v1/app-passwords/{id}", tag = "session",
    params(("id" = AppPasswordId, Path, description = "The app password")),
    responses((status = 204, description = "Nobody gets in by it any more"), Problems)
)]
pub(crate) async fn remove(caller: Caller, Path(id): Path<AppPasswordId>) -> Result<StatusCode> {
    caller.access.remove_app_password(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
