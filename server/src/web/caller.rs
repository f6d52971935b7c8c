//! Who calls: a session's cookie or a bearer token, and the checks that go with each.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
};
use types::{ProblemKind, Secret};

use super::{Web, failure::Failure, origin};

/// The name of the session's cookie.
pub(crate) const COOKIE: &str = "magpie_session";

/// Somebody who is logged in. Every handler of the API that touches mail takes one.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) access: mail::Access,
    pub(crate) token: Secret,
}

/// How a request says who sends it.
#[derive(Debug)]
pub(crate) enum Credentials {
    Bearer(Secret),
    Cookie(Secret),
}

impl Credentials {
    /// RFC 6750 §2.1 `Authorization: Bearer`, or the cookie; the former wins.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
            let (scheme, token) = value.split_once(' ')?;
            return scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| Self::Bearer(token.trim().to_owned().into()));
        }
        cookie(headers, COOKIE).map(|token| Self::Cookie(token.to_owned().into()))
    }

    pub(crate) fn token(&self) -> &Secret {
        match self {
            Self::Bearer(token) | Self::Cookie(token) => token,
        }
    }
}

impl FromRequestParts<Web> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Failure> {
        let credentials = Credentials::of(&parts.headers).ok_or_else(unauthenticated)?;
        if let Credentials::Cookie(_) = credentials
            && !is_safe(&parts.method)
        {
            origin::check_csrf(&parts.headers, web.config.http.public_url.as_deref())?;
        }
        let token = credentials.token().clone();
        let access = web.mail.access(&token).await?;
        web.limit_requests(&access).await?;
        Ok(Self { access, token })
    }
}

/// Somebody who is logged in and an operator; everybody else is told that it is not for them.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) mail::Operator);

impl FromRequestParts<Web> for Operator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, web).await?;
        Ok(Self(caller.access.operator().await?))
    }
}

fn unauthenticated() -> Failure {
    Failure::new(ProblemKind::Unauthenticated, "This needs a session: POST /v1/session.")
}

/// RFC 9110 §9.2.1.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A cookie's value.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

impl Web {
    /// `Set-Cookie` that begins a session in a browser.
    pub(crate) fn session_cookie(&self, token: &Secret) -> HeaderValue {
        let age = self.config.auth.session_lifetime.0.as_secs();
        self.set_cookie(token.expose(), age)
    }

    /// `Set-Cookie` that ends it.
    pub(crate) fn no_session_cookie(&self) -> HeaderValue {
        self.set_cookie("", 0)
    }

    fn set_cookie(&self, value: &str, max_age_s: u64) -> HeaderValue {
        let is_https = self.config.http.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
        let secure = if is_https { "; Secure" } else { "" };
        // Lax, not Strict: a link to a message from another site must find the person logged in.
        let text = format!("{COOKIE}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_from_either_header() {
        let check = |name: &'static str, value: &'static str, wanted: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let found = Credentials::of(&headers);
            assert_eq!(found.as_ref().map(|c| c.token().expose().as_str()), wanted, "{name}: {value}");
        };
        check("authorization", "Bearer abc", Some("abc"));
        check("authorization", "bearer abc", Some("abc"));
        check("authorization", "Basic abc", None);
        check("cookie", "a=b; magpie_session=abc; c=d", Some("abc"));
        check("cookie", "xmagpie_session=abc", None);
    }
}
