//! Logging in and out by form, for the page before its WebAssembly has loaded (or without it).

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde::Deserialize;
use types::{ProblemKind, Secret};

use super::{
    Web,
    caller::Credentials,
    client::Client,
    extract::Form,
    failure::{Failure, Result},
    origin,
};

pub(crate) fn router() -> Router<Web> {
    Router::new().route("/login", post(login).get(super::pages::page)).route("/logout", post(logout))
}

/// The form's fields.
#[derive(Debug, Deserialize)]
struct Fields {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Secret,
}

/// To the inbox, or back to the form with a reason.
async fn login(
    State(web): State<Web>,
    client: Client,
    headers: HeaderMap,
    Form(Fields { email, password }): Form<Fields>,
) -> Result<Response> {
    origin::check(&headers, web.config.http.public_url.as_deref())?;
    match web.mail.login(&email, &password, &client.into()).await {
        Ok((_, token)) => Ok(see_other("/mail/inbox", Some(web.session_cookie(&token)))),
        Err(error) if matches!(error.kind(), ProblemKind::InvalidCredentials | ProblemKind::RateLimited) => {
            let place = format!("/login?error={}&email={}", error.kind().name(), in_query(email.trim()));
            Ok(see_other(&place, None))
        }
        Err(error) => Err(error.into()),
    }
}

/// What was typed, to be shown again; longer texts are no addresses.
fn in_query(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes().take(MAX_ADDRESS_BYTES) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

const MAX_ADDRESS_BYTES: usize = 320;

/// Ends the session; its form needs no script, so the check of the origin is its defence.
async fn logout(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Failure> {
    origin::check(&headers, web.config.http.public_url.as_deref())?;
    if let Some(credentials) = Credentials::of(&headers) {
        web.mail.logout(credentials.token()).await?;
    }
    Ok(see_other("/login", Some(web.no_session_cookie())))
}

/// RFC 9110 §15.4.4.
pub(super) fn see_other(to: &str, cookie: Option<HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    super::headers::set(response.headers_mut(), header::LOCATION, to);
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
