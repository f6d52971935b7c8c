//! `/.well-known/mta-sts.txt` at `mta-sts.<a domain of ours>` (RFC 8461 §3.3).

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

use types::address;

use super::{
    Web,
    failure::{Failure, Result},
};
use crate::{parts, sts};

pub(crate) fn router() -> Router<Web> {
    Router::new().route("/.well-known/mta-sts.txt", get(policy))
}

async fn policy(State(web): State<Web>, headers: HeaderMap) -> Result<Response> {
    let policy = sts::policy(&web.config, &parts::hostname(&web.config)).ok_or_else(Failure::no_route)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let host = address::domain_key(host);
    let domain = host.strip_prefix("mta-sts.").ok_or_else(Failure::no_route)?;
    if !web.mail.is_domain(domain).await? {
        return Err(Failure::no_route());
    }
    let mut response = policy.text.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}
