//! Byte ranges (RFC 9110 §14): which part of some bytes a request wants.

use std::ops::Range;

use axum::http::{HeaderMap, header};

/// What to answer to a request that may have a `Range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// 200 with everything.
    All,
    /// 206 with this part.
    Part(Range<u64>),
    /// 416: nothing of it is there.
    Nothing,
    /// 304: the client has it.
    Unchanged,
}

/// Reads `If-None-Match`, `Range` and `If-Range` for bytes of this size and strong tag.
/// Several ranges at once, and what is not understood, are answered with everything (§14.2).
pub(crate) fn wanted(headers: &HeaderMap, size: u64, tag: &str) -> Wanted {
    let field = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    if let Some(known) = field(header::IF_NONE_MATCH)
        && known.split(',').any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
    {
        return Wanted::Unchanged;
    }
    let Some(range) = field(header::RANGE) else {
        return Wanted::All;
    };
    // §13.1.5: only a strong tag that is the present one lets the range stand. There are no dates to compare.
    if field(header::IF_RANGE).is_some_and(|known| known != tag) {
        return Wanted::All;
    }
    match range.strip_prefix("bytes=").map(str::trim) {
        Some(spec) if !spec.contains(',') => one(spec, size),
        _ => Wanted::All,
    }
}

/// `first-last`, `first-` or `-length`.
fn one(spec: &str, size: u64) -> Wanted {
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::All;
    };
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (first, last) {
        ("", length) => match number(length) {
            Some(0) => return Wanted::Nothing,
            Some(length) => size.saturating_sub(length)..size,
            None => return Wanted::All,
        },
        (first, "") => match number(first) {
            Some(first) => first..size,
            None => return Wanted::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            _ => return Wanted::All,
        },
    };
    if range.start >= size { Wanted::Nothing } else { Wanted::Part(range) }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(fields: &[(header::HeaderName, &'static str)], expected: &Wanted) {
        let headers: HeaderMap =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        assert_eq!(&wanted(&headers, 100, "\"t\""), expected, "{fields:?}");
    }

    #[test]
    fn ranges_of_a_hundred_bytes() {
        for (range, expected) in [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=90-", Wanted::Part(90..100)),
            ("bytes=90-500", Wanted::Part(90..100)),
            ("bytes=-10", Wanted::Part(90..100)),
            ("bytes=-500", Wanted::Part(0..100)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("bytes=99999999999999999999-", Wanted::All),
            ("bytes=", Wanted::All),
        ] {
            check(&[(header::RANGE, range)], &expected);
        }
    }

    #[test]
    fn tags_decide_first() {
        check(&[], &Wanted::All);
        check(&[(header::IF_NONE_MATCH, "\"x\", W/\"t\"")], &Wanted::Unchanged);
        check(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"t\"")], &Wanted::Part(0..2));
        check(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"old\"")], &Wanted::All);
        check(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "W/\"t\"")], &Wanted::All);
    }
}
