//! Bytes to be saved: ranges, tags, names; never anything that a browser would run.

use std::ops::Range;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use mail::Download;
use types::{MessageId, api::Attachment};

use super::{
    headers::{FILE_POLICY, set},
    range::{Wanted, wanted},
};

/// What goes with the bytes. They never change, so the tag is made of ids; but whoever has them asks whether they may
/// still be seen.
pub(crate) struct File<'f> {
    pub(crate) tag: String,
    pub(crate) name: &'f str,
    pub(crate) content_type: &'f str,
}

/// The answer with an attachment of a message.
pub(crate) fn attached(
    request: &HeaderMap,
    message: MessageId,
    attachment: &Attachment,
    download: Download,
) -> Response {
    let file = File {
        tag: format!("\"{message}-{}\"", attachment.id),
        name: &attachment.filename,
        content_type: &attachment.content_type,
    };
    respond(request, &file, download)
}

/// The answer to a request for a file (RFC 9110 §14).
pub(crate) fn respond(request: &HeaderMap, file: &File<'_>, download: Download) -> Response {
    let size = download.size_bytes;
    let (status, range): (StatusCode, Range<u64>) = match wanted(request, size, &file.tag) {
        Wanted::All => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        Wanted::Unchanged => (StatusCode::NOT_MODIFIED, 0..0),
    };
    let length = range.end - range.start;
    let content_range = match status {
        StatusCode::PARTIAL_CONTENT => {
            Some(format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1)))
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{size}")),
        _ => None,
    };
    let mut response = if length == 0 {
        status.into_response()
    } else {
        (status, Body::from_stream(download.content.bytes(range))).into_response()
    };
    let headers = response.headers_mut();
    if let Some(content_range) = content_range {
        set(headers, header::CONTENT_RANGE, &content_range);
    }
    if status.is_success() {
        set(headers, header::CONTENT_TYPE, file.content_type);
        set(headers, header::CONTENT_LENGTH, &length.to_string());
        set(headers, header::CONTENT_DISPOSITION, &disposition(file));
    }
    set(headers, header::ETAG, &file.tag);
    set(headers, header::ACCEPT_RANGES, "bytes");
    set(headers, header::CACHE_CONTROL, "private, no-cache");
    set(headers, header::CONTENT_SECURITY_POLICY, FILE_POLICY);
    response
}

/// RFC 6266: the name in plain ASCII for old programs, and as it is (RFC 8187) for all others.
fn disposition(file: &File<'_>) -> String {
    let plain: String = file
        .name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    let mut exact = String::new();
    for byte in file.name.bytes() {
        // RFC 8187 §3.2.1 attr-char.
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            exact.push(char::from(byte));
        } else {
            exact.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_whatever_they_are() {
        let check = |name: &str, wanted: &str| {
            let file = File { tag: String::new(), name, content_type: "" };
            assert_eq!(disposition(&file), wanted);
        };
        check("a b.pdf", "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf");
        check("견적.pdf", "attachment; filename=\"__.pdf\"; filename*=UTF-8''%EA%B2%AC%EC%A0%81.pdf");
        check("a\"\r\nx: y", "attachment; filename=\"a___x: y\"; filename*=UTF-8''a%22%0D%0Ax%3A%20y");
    }
}
