//! The headers that keep browsers careful.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};

use super::Web;

/// For everything that is no page: nothing may be loaded from it, nobody may frame it.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// Fills in what the handler did not say.
pub(crate) async fn secure(State(web): State<Web>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut fill = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    fill(header::CONTENT_SECURITY_POLICY, NOTHING);
    fill(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Other sites learn nothing; our own need it, as browsers send `Origin: null` with forms under `no-referrer`.
    fill(header::REFERRER_POLICY, "same-origin");
    fill(header::CACHE_CONTROL, "no-store");
    fill(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    fill(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    fill(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    if web.config.http.public_url.as_ref().is_some_and(|url| url.starts_with("https:")) {
        fill(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// Sets a header whose value was made at run time; one that cannot be a value is left out.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The policy of the app's pages: own files, own data, own frames; inline scripts with this nonce only.
pub(crate) fn page_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; frame-src 'self'; manifest-src 'self'; \
         worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// The policy of a mail's HTML in its frame. No script ever; pictures of its own, remote ones when asked for.
pub(crate) fn mail_policy(images: mail::Images) -> &'static str {
    match images {
        mail::Images::Held => {
            "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'self'; \
             sandbox allow-popups allow-popups-to-escape-sandbox allow-same-origin"
        }
        mail::Images::Shown => {
            "default-src 'none'; img-src 'self' data: http: https:; style-src 'unsafe-inline'; \
             frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox allow-same-origin"
        }
    }
}

/// The policy of a downloaded file, should a browser show it all the same.
pub(crate) const FILE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";

/// The policy of the documents' page, whose script styles what it makes.
pub(crate) const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";
