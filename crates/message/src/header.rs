//! Header fields: where they lie, unfolding, and the encoded words of RFC 2047.

use std::ops::Range;

use memchr::{memchr, memchr_iter};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::charset;

/// One field of a header (RFC 5322 §2.2). The ranges are offsets into the scanned bytes.
#[derive(Debug, Clone)]
pub(crate) struct Field<'m> {
    pub(crate) name: &'m str,
    /// After the colon, still folded, without the final line break.
    pub(crate) value: &'m [u8],
}

/// The fields of one header, and where it ends.
#[derive(Debug, Default)]
pub(crate) struct Header<'m> {
    pub(crate) fields: Vec<Field<'m>>,
    /// The offset behind the empty line, or where the body begins without one.
    pub(crate) end: usize,
}

/// The header fields of a mail as it is, with the empty line that ends them.
#[must_use]
pub fn header_of(mail: &[u8]) -> &[u8] {
    let end = memchr_iter(b'\n', mail).find_map(|at| match mail.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    });
    end.and_then(|end| mail.get(..end)).unwrap_or(mail)
}

/// The mail without the header fields of these names; `None` if it has none.
#[must_use]
pub fn without_fields(mail: &[u8], names: &[&str]) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let (mut at, mut copied, mut dropping) = (0, 0, false);
    for line in mail.split_inclusive(|&byte| byte == b'\n') {
        if trim_line_end(line).is_empty() {
            break;
        }
        let end = at + line.len();
        if !matches!(line, [b' ' | b'\t', ..]) {
            let name = memchr(b':', line).and_then(|colon| line.get(..colon)).map(<[u8]>::trim_ascii_end);
            let is_named =
                |name: &[u8]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
            dropping = name.is_some_and(is_named);
        }
        if dropping {
            kept.extend_from_slice(mail.get(copied..at).unwrap_or_default());
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return None;
    }
    kept.extend_from_slice(mail.get(copied..).unwrap_or_default());
    Some(kept)
}

/// A header with more fields than this has the others ignored.
const MAX_FIELDS: usize = 2_000;

impl<'m> Header<'m> {
    /// Reads the header that begins at `start`. It ends behind the first empty line, before a line that is no field,
    /// or before a line for which `is_end` holds.
    pub(crate) fn scan(raw: &'m [u8], start: usize, is_end: impl Fn(&[u8]) -> bool) -> Self {
        let mut header = Self { fields: Vec::with_capacity(16), end: start };
        let mut open: Option<(&'m str, Range<usize>)> = None;
        let mut at = start;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let length = memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
            let line = trim_line_end(rest.get(..length).unwrap_or_default());
            if line.is_empty() {
                at += length;
                break;
            }
            if is_end(line) {
                break;
            }
            if matches!(line.first(), Some(b' ' | b'\t')) && at > start {
                if let Some((_, value)) = &mut open {
                    value.end = at + line.len();
                }
            } else if let Some((name, colon)) = field_name(line) {
                header.push(raw, open.replace((name, at + colon + 1..at + line.len())));
            } else if at > start || !(line.starts_with(b"From ") || line.starts_with(b">From ")) {
                break;
            }
            at += length;
        }
        header.push(raw, open);
        header.end = at;
        header
    }

    fn push(&mut self, raw: &'m [u8], field: Option<(&'m str, Range<usize>)>) {
        if let Some((name, value)) = field
            && self.fields.len() < MAX_FIELDS
        {
            self.fields.push(Field { name, value: raw.get(value).unwrap_or_default() });
        }
    }

    /// The value of the first field of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&'m [u8]> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }
}

/// The name and the place of the colon, if the line begins a field. Blanks before the colon are let pass.
fn field_name(line: &[u8]) -> Option<(&str, usize)> {
    // Looking no further keeps a line without a colon cheap.
    let head = line.get(..line.len().min(256))?;
    let colon = memchr(b':', head)?;
    let name = head.get(..colon)?.trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(|byte| matches!(byte, 33..=126));
    std::str::from_utf8(name).ok().filter(|_| valid).map(|name| (name, colon))
}

/// Without its CRLF or LF.
pub(crate) fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// RFC 5322 §2.2.3: the line breaks of folding removed, at most `max` bytes, without blanks around it.
pub(crate) fn unfold(value: &[u8], max: usize) -> Vec<u8> {
    let value = value.trim_ascii();
    let value = value.get(..value.len().min(max)).unwrap_or_default();
    value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)).collect()
}

/// The text of an unstructured value: unfolded, encoded words decoded (also where a quoted string hides them), 8-bit
/// bytes guessed, composed (NFC), on one line, without control and direction characters, at most `max` bytes.
pub(crate) fn text(value: &[u8], max: usize) -> String {
    tidy(&decode_words(&unfold(value, max.saturating_mul(4))), max)
}

/// One line without control and direction characters, runs of white space made one blank, at most `max` bytes.
pub(crate) fn tidy(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    let composed: std::borrow::Cow<'_, str> =
        if is_nfc(text) { text.into() } else { text.nfc().collect::<String>().into() };
    let mut blank = false;
    for c in composed.chars() {
        if c.is_whitespace() {
            blank = true;
            continue;
        }
        if c.is_control() || is_direction(c) || c == char::REPLACEMENT_CHARACTER && out.is_empty() {
            continue;
        }
        if out.len() + c.len_utf8() + usize::from(blank) > max {
            break;
        }
        if blank && !out.is_empty() {
            out.push(' ');
        }
        blank = false;
        out.push(c);
    }
    out
}

/// Characters that turn the direction of what follows, and so can make a text read as another.
pub(crate) const fn is_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}' | '\u{061C}')
}

/// RFC 2047: encoded words become text. Neighbours in one charset are joined before decoding, because mailers cut
/// words within a character.
pub(crate) fn decode_words(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut pending: Option<(String, Vec<u8>)> = None;
    let mut plain = 0;
    let mut at = 0;
    while let Some(found) = value.get(at..).and_then(|rest| memchr::memmem::find(rest, b"=?")) {
        let start = at + found;
        let Some(word) = value.get(start..).and_then(encoded_word) else {
            at = start + 2;
            continue;
        };
        let between = value.get(plain..start).unwrap_or_default();
        // RFC 2047 §6.2: white space between two encoded words is not shown.
        if pending.is_none() || !between.trim_ascii().is_empty() {
            flush(&mut out, &mut pending);
            out.push_str(&charset::guess(between));
        }
        match &mut pending {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => bytes.extend(word.bytes),
            _ => {
                flush(&mut out, &mut pending);
                pending = Some((word.charset.to_owned(), word.bytes));
            }
        }
        plain = start + word.length;
        at = plain;
    }
    flush(&mut out, &mut pending);
    out.push_str(&charset::guess(value.get(plain..).unwrap_or_default()));
    out
}

fn flush(out: &mut String, pending: &mut Option<(String, Vec<u8>)>) {
    if let Some((label, bytes)) = pending.take() {
        out.push_str(&charset::decode(Some(&label), &bytes));
    }
}

struct EncodedWord<'m> {
    charset: &'m str,
    bytes: Vec<u8>,
    length: usize,
}

/// `"=?" charset "?" encoding "?" encoded-text "?="` at the beginning of `rest`.
fn encoded_word(rest: &[u8]) -> Option<EncodedWord<'_>> {
    let inner = rest.get(2..)?;
    let charset_end = memchr(b'?', inner.get(..inner.len().min(64))?)?;
    let charset = std::str::from_utf8(inner.get(..charset_end)?).ok().filter(|name| !name.is_empty())?;
    let encoding = inner.get(charset_end + 1)?.to_ascii_lowercase();
    let body = inner.get(charset_end + 2..)?.strip_prefix(b"?")?;
    // Some mailers write words far over the limit of 75; the search must still end somewhere.
    let window = body.get(..body.len().min(8_192))?;
    let body_end = memchr::memmem::find(window, b"?=")?;
    // `=?utf-8?Q??=`, or a Q text that ends in `?` and begins another: take the shortest.
    let encoded = body.get(..body_end)?;
    let bytes = match encoding {
        b'b' => crate::decoder::decode(crate::Encoding::Base64, encoded),
        b'q' => q_word(encoded),
        _ => return None,
    };
    Some(EncodedWord { charset, bytes, length: 2 + charset_end + 3 + body_end + 2 })
}

fn q_word(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'_' => out.push(b' '),
            b'=' => match crate::decoder::hex_pair(after) {
                Some(byte) => {
                    out.push(byte);
                    rest = after.get(2..).unwrap_or_default();
                }
                None => out.push(b'='),
            },
            byte => out.push(*byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &str) {
        assert_eq!(text(value.as_bytes(), 1_000), expected, "{value}");
    }

    #[test]
    fn encoded_words() {
        check("plain", "plain");
        check("=?utf-8?B?7JWI64WV?=", "안녕");
        check("=?UTF-8?Q?caf=C3=A9_au_lait?= today", "café au lait today");
        check("=?utf-8?B?7JWI?=\r\n =?utf-8?B?64WV?=", "안녕");
        check("a =?utf-8?Q?b?= c", "a b c");
        check("=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab");
        // A character cut in two, as old Korean and Japanese mailers do.
        check("=?utf-8?B?7JU=?= =?utf-8?B?iOuFlQ==?=", "안녕");
        check("=?euc-kr?B?vsiz5w==?=", "안녕");
        check("=?ks_c_5601-1987?Q?=BE=C8=B3=E7?=", "안녕");
        check("=?utf-8*ko?Q?x?=", "x");
        check("=?utf-8?X?a?=", "=?utf-8?X?a?=");
        check("=?utf-8?Q?never ends", "=?utf-8?Q?never ends");
        check("=?", "=?");
        check("tab\tand\r\n fold", "tab and fold");
        check("gnp.\u{202E}exe", "gnp.exe");
    }

    #[test]
    fn a_header_ends_at_the_empty_line_or_where_no_field_is() {
        for (raw, names, end) in [
            ("A: 1\r\nB: 2\r\n 3\r\n\r\nbody", vec!["A", "B"], 18),
            ("A: 1\nB : 2\n\nbody", vec!["A", "B"], 12),
            ("From x Mon\nA: 1\n\nb", vec!["A"], 17),
            ("no header here\r\n", vec![], 0),
            ("A: 1\r\nhello there\r\n", vec!["A"], 6),
            ("", vec![], 0),
            ("\r\nbody", vec![], 2),
            ("A: 1", vec!["A"], 4),
        ] {
            let header = Header::scan(raw.as_bytes(), 0, |_| false);
            assert_eq!(header.fields.iter().map(|f| f.name).collect::<Vec<_>>(), names, "{raw:?}");
            assert_eq!(header.end, end, "{raw:?}");
        }
    }
}
