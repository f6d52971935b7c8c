//! Mail that came as any bytes (BINARYMIME, RFC 3030 §3), made into lines of text, as which alone mail is kept and
//! travels on.

use std::ops::Range;

use memchr::memchr_iter;

use crate::{
    Encoding, Part,
    compose::base64_lines,
    header::{Header, trim_line_end},
    tree,
};

/// RFC 5321 §4.5.3.1.6, without CRLF.
const MAX_LINE: usize = 998;

/// The mail with those parts in base64 that are no lines of text; what they decode to stays the same to the byte.
/// `None` if it is lines of text already.
#[must_use]
pub fn as_lines(raw: &[u8]) -> Option<Vec<u8>> {
    if is_lines(raw) {
        return None;
    }
    let (structure, _) = tree::scan(raw);
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 2);
    let mut at = 0;
    for leaf in structure.parts.iter().filter(|part| is_plain_leaf(part)) {
        let (header, body) = (range(&leaf.header), range(&leaf.body));
        let content = raw.get(body.clone()).unwrap_or_default();
        if header.start < at || is_lines(content) {
            continue;
        }
        lines(raw.get(at..header.start).unwrap_or_default(), &mut out);
        relabelled(raw.get(header).unwrap_or_default(), &mut out);
        base64_lines(content, &mut out);
        at = body.end;
    }
    lines(raw.get(at..).unwrap_or_default(), &mut out);
    Some(out)
}

/// The same of a mail that came as lines of text, of which some may be longer than others have to take. One with a part that
/// is signed (RFC 1847) stays as it is.
#[must_use]
pub fn as_short_lines(raw: &[u8]) -> Option<Vec<u8>> {
    if is_lines(raw) {
        return None;
    }
    let (structure, _) = tree::scan(raw);
    let is_signed = |part: &Part| part.content_type.value == "multipart/signed";
    if structure.parts.iter().any(is_signed) { None } else { as_lines(raw) }
}

/// Whether nothing is done to its bytes yet.
fn is_plain_leaf(part: &Part) -> bool {
    let encoded = matches!(part.encoding, Encoding::Base64 | Encoding::QuotedPrintable);
    !part.is_multipart() && !part.is_message() && !encoded
}

fn is_lines(bytes: &[u8]) -> bool {
    let mut start = 0;
    for end in memchr_iter(b'\n', bytes) {
        let line = bytes.get(start..end).and_then(|line| line.strip_suffix(b"\r"));
        if !line.is_some_and(is_line) {
            return false;
        }
        start = end + 1;
    }
    bytes.get(start..).is_none_or(is_line)
}

fn is_line(line: &[u8]) -> bool {
    line.len() <= MAX_LINE && !line.iter().any(|byte| matches!(byte, b'\r' | 0))
}

/// The header with another Content-Transfer-Encoding.
fn relabelled(header: &[u8], out: &mut Vec<u8>) {
    for field in Header::scan(header, 0, |_| false).fields {
        if field.name.eq_ignore_ascii_case("Content-Transfer-Encoding") {
            continue;
        }
        out.extend_from_slice(field.name.as_bytes());
        out.push(b':');
        lines(trim_line_end(field.value), out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
}

/// Bytes outside of contents: each CR and each LF ends a line, a NUL is nothing.
fn lines(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes.iter().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            0 => {}
            b'\r' => {
                rest.next_if(|next| **next == b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            other => out.push(*other),
        }
    }
}

fn range(offsets: &Range<u64>) -> Range<usize> {
    let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    at(offsets.start)..at(offsets.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, parse, search_text};

    #[test]
    fn what_is_signed_stays_as_it_is() {
        let long = "x".repeat(2_000);
        let of = |kind: &str| {
            format!("Content-Type: multipart/{kind}; boundary=b\r\n\r\n--b\r\n\r\n{long}\r\n--b--\r\n")
        };
        assert_eq!(as_short_lines(of("signed").as_bytes()), None);
        let short = as_short_lines(of("mixed").as_bytes()).unwrap();
        assert!(is_lines(&short));
        assert_eq!(as_short_lines(&short), None);
    }

    #[test]
    fn lines_of_text_stay_as_they_are() {
        for raw in
            ["", "Subject: x\r\n\r\nText\r\n", "Content-Transfer-Encoding: binary\r\n\r\nno line break"]
        {
            assert_eq!(as_lines(raw.as_bytes()), None, "{raw:?}");
        }
    }

    #[test]
    fn any_bytes_decode_to_what_they_were() {
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).cycle().take(5_000).collect();
        let mut raw = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\n\r\nHello\r\n--b\r\nContent-Type: image/png\r\ncontent-transfer-encoding: BINARY\r\n\
            Content-Disposition: attachment\r\n\r\n"
            .to_vec();
        raw.extend_from_slice(&bytes);
        raw.extend_from_slice(b"\r\n--b--\r\n");
        let made = as_lines(&raw).unwrap();
        assert!(is_lines(&made));
        let parsed = parse(&made);
        let part = parsed.structure.parts.iter().find(|part| part.is_attachment()).unwrap();
        assert_eq!(part.encoding, Encoding::Base64);
        assert_eq!(decode(part.encoding, &made[range(&part.body)]), bytes);
        let text = search_text(&parsed.structure, 1_000, &mut |at| Some(made[range(&at)].into()));
        assert!(text.body.contains("Hello"));
    }

    #[test]
    fn a_single_part_and_bare_line_ends() {
        let made = as_lines(b"Subject: x\nTo: y\r\n\r\none\ntwo\rthree\0").unwrap();
        assert!(is_lines(&made), "{:?}", String::from_utf8_lossy(&made));
        let part = parse(&made).structure.parts[0].clone();
        assert_eq!(decode(part.encoding, &made[range(&part.body)]), b"one\ntwo\rthree\0");
    }
}
