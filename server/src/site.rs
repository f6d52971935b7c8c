//! The browser's files, embedded in the binary: WebAssembly and its loader, styles, icons.
//!
//! `cargo xtask` builds them (see `build.rs`). Files under `/assets/` carry a hash of their content in the name and
//! are kept by browsers for ever; the others are asked for anew each time, and answered 304 while they are the same.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// Where the page finds its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assets {
    pub(crate) css: &'static str,
    /// A module that fetches the WebAssembly and starts it: `<script type="module" src>` is all it takes.
    pub(crate) js: &'static str,
    /// For `<link rel="preload" as="fetch" type="application/wasm" crossorigin>`: saves a round trip.
    pub(crate) wasm: &'static str,
}

impl Assets {
    /// The embedded ones; none in a binary that was built without the site.
    #[must_use]
    pub(crate) fn embedded() -> Option<Self> {
        let find = |end: &str| {
            FILES
                .iter()
                .map(|file| file.path)
                .find(|path| path.starts_with("/assets/magpie.") && path.ends_with(end))
        };
        Some(Self { css: find(".css")?, js: find(".js")?, wasm: find(".wasm")? })
    }
}

/// Serves every embedded file at its path.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    // A page that is open while the server is renewed asks for names that are gone: a plain 404, not a rendered page.
    let router = Router::new().route("/assets/{*path}", get(|| async { StatusCode::NOT_FOUND }));
    FILES.iter().fold(router, |router, file| {
        router.route(file.path, get(move |headers: HeaderMap| async move { file.respond(&headers) }))
    })
}

/// A file of the site with its compressed forms.
struct File {
    path: &'static str,
    hash: &'static str,
    plain: &'static [u8],
    br: Option<&'static [u8]>,
    gz: Option<&'static [u8]>,
}

static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/site.rs"));

impl File {
    fn respond(&self, request: &HeaderMap) -> Response {
        let (encoding, content) = self.form(request);
        let tag = format!("\"{}{}\"", self.hash, encoding.map(|name| format!("-{name}")).unwrap_or_default());
        let unchanged = values(request, header::IF_NONE_MATCH)
            .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag);
        let mut response = if unchanged {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Body::from(content).into_response()
        };
        let headers = response.headers_mut();
        if !unchanged {
            set(headers, header::CONTENT_TYPE, &self.content_type());
            if let Some(encoding) = encoding {
                set(headers, header::CONTENT_ENCODING, encoding);
            }
        }
        set(headers, header::ETAG, &tag);
        set(headers, header::VARY, "accept-encoding");
        set(headers, header::CACHE_CONTROL, self.cache_control());
        response
    }

    /// The smallest form that the browser understands, and its name.
    fn form(&self, request: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        let accepts = |name: &str| values(request, header::ACCEPT_ENCODING).any(|offer| names(offer, name));
        match (self.br, self.gz) {
            (Some(content), _) if accepts("br") => (Some("br"), content),
            (_, Some(content)) if accepts("gzip") => (Some("gzip"), content),
            _ => (None, self.plain),
        }
    }

    fn content_type(&self) -> String {
        let kind = mime_guess::from_path(self.path).first_or_octet_stream();
        let text = kind.type_() == "text"
            || kind.subtype() == "json"
            || kind.suffix().is_some_and(|end| end == "json");
        if text { format!("{kind}; charset=utf-8") } else { kind.to_string() }
    }

    fn cache_control(&self) -> &'static str {
        if self.path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
    }
}

/// The members of a header field that is a list.
fn values(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether an offer such as `br;q=0.9` names this coding, and not by `q=0` to refuse it (RFC 9110 §12.5.3).
fn names(offer: &str, coding: &str) -> bool {
    let (name, weight) = offer.split_once(';').unwrap_or((offer, ""));
    let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
    name.trim().eq_ignore_ascii_case(coding) && weight.is_none_or(|weight| weight > 0.0)
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static STYLES: File = File {
        path: "/assets/magpie.1234.css",
        hash: "77",
        plain: b"plain",
        br: Some(b"br"),
        gz: Some(b"gz"),
    };
    static ICON: File = File { path: "/icon.png", hash: "88", plain: b"png", br: None, gz: None };

    fn ask(file: &'static File, fields: &[(header::HeaderName, &'static str)]) -> Response {
        file.respond(
            &fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect(),
        )
    }

    fn check(file: &'static File, accepted: &'static str, encoding: Option<&str>, tag: &str) {
        let response = ask(file, &[(header::ACCEPT_ENCODING, accepted)]);
        assert_eq!(response.status(), StatusCode::OK);
        let field = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(field(header::CONTENT_ENCODING), encoding, "{accepted}");
        assert_eq!(field(header::ETAG), Some(tag), "{accepted}");
    }

    #[test]
    fn the_smallest_accepted_form_is_sent() {
        check(&STYLES, "gzip, deflate, br, zstd", Some("br"), "\"77-br\"");
        check(&STYLES, "gzip, deflate", Some("gzip"), "\"77-gzip\"");
        check(&STYLES, "br;q=0, gzip;q=0.5", Some("gzip"), "\"77-gzip\"");
        check(&STYLES, "identity", None, "\"77\"");
        check(&ICON, "gzip, br", None, "\"88\"");
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let accepted = (header::ACCEPT_ENCODING, "br");
        for known in ["\"77-br\"", "\"1\", W/\"77-br\"", "*"] {
            let response = ask(&STYLES, &[accepted.clone(), (header::IF_NONE_MATCH, known)]);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!(ask(&STYLES, &[accepted, (header::IF_NONE_MATCH, "\"77\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn hashed_names_are_kept_and_others_asked_for() {
        let field = |file, name| ask(file, &[]).headers()[name].to_str().unwrap().to_owned();
        assert!(field(&STYLES, header::CACHE_CONTROL).contains("immutable"));
        assert_eq!(field(&ICON, header::CACHE_CONTROL), "no-cache");
        assert_eq!(field(&STYLES, header::CONTENT_TYPE), "text/css; charset=utf-8");
        assert_eq!(field(&ICON, header::CONTENT_TYPE), "image/png");
    }
}
