//! Whether a browser sent a request on behalf of our own pages: the defence of cookies against other sites.

use axum::http::{HeaderMap, header};
use types::ProblemKind;

use super::failure::Failure;

/// The header that other sites cannot send without asking first (and nobody here says yes).
pub(crate) const CSRF_HEADER: &str = "x-magpie-csrf";

/// Refuses what a browser says comes from another site. Programs say nothing about it.
pub(crate) fn check(headers: &HeaderMap, public_url: Option<&str>) -> Result<(), Failure> {
    let foreign = || Failure::new(ProblemKind::Forbidden, "This request comes from another site.");
    if let Some(site) = text(headers, "sec-fetch-site")
        && !matches!(site, "same-origin" | "none")
    {
        return Err(foreign());
    }
    match text(headers, header::ORIGIN.as_str()) {
        Some(origin) if !is_ours(origin, headers, public_url) => Err(foreign()),
        _ => Ok(()),
    }
}

/// The same, and the header that only our own pages can send.
pub(crate) fn check_csrf(headers: &HeaderMap, public_url: Option<&str>) -> Result<(), Failure> {
    if !headers.contains_key(CSRF_HEADER) {
        let detail = "A request that changes something needs the header X-Magpie-Csrf, or a bearer token.";
        return Err(Failure::new(ProblemKind::Forbidden, detail));
    }
    check(headers, public_url)
}

/// A browser sends the page's own host as `Host`; behind a proxy that rewrites it, `public_url` says it.
fn is_ours(origin: &str, headers: &HeaderMap, public_url: Option<&str>) -> bool {
    if public_url.is_some_and(|url| url.trim_end_matches('/').eq_ignore_ascii_case(origin)) {
        return true;
    }
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    let host = text(headers, header::HOST.as_str());
    authority.is_some() && authority.zip(host).is_some_and(|(a, host)| a.eq_ignore_ascii_case(host))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check_case(fields: &[(&'static str, &'static str)], allowed: bool) {
        let headers: HeaderMap = fields
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(check(&headers, Some("https://mail.example.com")).is_ok(), allowed, "{fields:?}");
    }

    #[test]
    fn only_our_own_pages_may() {
        check_case(&[], true);
        check_case(&[("origin", "https://mail.example.com")], true);
        check_case(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")], true);
        check_case(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:9")], false);
        check_case(&[("host", "a.test"), ("origin", "null")], false);
        check_case(&[("host", "a.test"), ("origin", "https://evil.test")], false);
        check_case(&[("sec-fetch-site", "same-origin")], true);
        check_case(&[("sec-fetch-site", "none")], true);
        check_case(&[("sec-fetch-site", "cross-site")], false);
        check_case(&[("sec-fetch-site", "same-site")], false);
    }
}
