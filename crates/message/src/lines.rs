//! Ends of lines.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memmem};

/// The mail with CRLF at the end of each line (RFC 5322 §2.3); `None` if it is like that. Files of Unix have LF alone, and
/// some programs upload them as they are. One that says that a part is binary (RFC 2045 §2.9), or holds a NUL, stays as
/// it is.
#[must_use]
pub fn with_crlf(raw: &[u8]) -> Option<Vec<u8>> {
    let is_bare =
        |at: &usize| at.checked_sub(1).and_then(|before| raw.get(before)).is_none_or(|byte| *byte != b'\r');
    let bare = memchr_iter(b'\n', raw).filter(is_bare).count();
    if bare == 0 || is_binary(raw) {
        return None;
    }
    let mut whole = Vec::with_capacity(raw.len() + bare);
    let mut from = 0;
    for at in memchr_iter(b'\n', raw).filter(is_bare) {
        whole.extend_from_slice(raw.get(from..at).unwrap_or_default());
        whole.extend_from_slice(b"\r\n");
        from = at + 1;
    }
    whole.extend_from_slice(raw.get(from..).unwrap_or_default());
    Some(whole)
}

/// The text with LF alone between lines, as texts are compared.
#[must_use]
pub fn with_lf(text: Cow<'_, str>) -> String {
    let mut ends = memchr_iter(b'\r', text.as_bytes()).peekable();
    if ends.peek().is_none() {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for end in ends {
        out.push_str(text.get(from..end).unwrap_or_default());
        from = end + 1;
        if text.as_bytes().get(from) != Some(&b'\n') {
            out.push('\n');
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

fn is_binary(raw: &[u8]) -> bool {
    let lower = raw.to_ascii_lowercase();
    let says = |field: &str| memmem::find(&lower, field.as_bytes()).is_some();
    memchr(0, raw).is_some() || says("-transfer-encoding: binary") || says("-transfer-encoding:binary")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf() {
        let check = |text: &str, wanted: &str| assert_eq!(with_lf(text.into()), wanted, "{text:?}");
        check("one\ntwo", "one\ntwo");
        check("\n\rone\r\ntwo\rthree\n\n\r\r\nfour\r", "\n\none\ntwo\nthree\n\n\n\nfour\n");
    }

    #[test]
    fn every_line_ends_with_both() {
        for whole in ["", "a", "a\r\nb\r\n"] {
            assert_eq!(with_crlf(whole.as_bytes()), None);
        }
        for (raw, whole) in [("\na\n\nb", "\r\na\r\n\r\nb"), ("a\r\nb\nc\rd\n", "a\r\nb\r\nc\rd\r\n")] {
            assert_eq!(with_crlf(raw.as_bytes()).unwrap(), whole.as_bytes());
        }
    }

    #[test]
    fn what_is_binary_stays() {
        for raw in ["a\n\0b\n", "Content-Transfer-Encoding: BINARY\n\nx\n"] {
            assert_eq!(with_crlf(raw.as_bytes()), None);
        }
    }
}
