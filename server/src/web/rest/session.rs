//! `/v1/session`: logging in and out.

use axum::{
    Json as Answer,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse},
};
use types::api::{Login, Session};

use crate::web::{
    Web, caller::Caller, client::Client, docs::Problems, extract::Json, failure::Result, origin,
};

/// Log in
///
/// The token is for programs; browsers get the same session as an HttpOnly cookie.
#[utoipa::path(
    post, path = "/v1/session", tag = "session", security(()),
    request_body = Login,
    responses((status = 200, description = "Logged in", body = Session), Problems)
)]
pub(crate) async fn begin(
    State(web): State<Web>,
    client: Client,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse> {
    origin::check(&headers, web.config.http.public_url.as_deref())?;
    let (access, token) = web.mail.login(&login.email, &login.password, &client.into()).await?;
    let cookie = AppendHeaders([(header::SET_COOKIE, web.session_cookie(&token))]);
    let account = access.account().await?;
    Ok((cookie, Answer(Session { token: Some(token.expose().clone()), account })))
}

/// Who is logged in
#[utoipa::path(
    get, path = "/v1/session", tag = "session",
    responses((status = 200, description = "The account", body = Session), Problems)
)]
pub(crate) async fn show(caller: Caller) -> Result<Answer<Session>> {
    Ok(Answer(Session { token: None, account: caller.access.account().await? }))
}

/// Log out
#[utoipa::path(
    delete, path = "/v1/session", tag = "session",
    responses((status = 204, description = "Logged out; the token is worth nothing any more"), Problems)
)]
pub(crate) async fn end(State(web): State<Web>, caller: Caller) -> Result<impl IntoResponse> {
    web.mail.logout(&caller.token).await?;
    Ok((StatusCode::NO_CONTENT, AppendHeaders([(header::SET_COOKIE, web.no_session_cookie())])))
}
