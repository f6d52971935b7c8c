//! `Content-Type` and `Content-Disposition`: a value and parameters (RFC 2045 §5.1, RFC 2183), and the parameters that
//! are continued, labelled and percent-encoded (RFC 2231).

use serde::{Deserialize, Serialize};

use crate::{charset, header};

/// A value with its parameters, as written: names in lower case, values unquoted but not decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Parametrised {
    /// In lower case: `text/plain`, `attachment`.
    pub value: String,
    pub params: Vec<(String, Vec<u8>)>,
}

const MAX_PARAMS: usize = 64;
const MAX_VALUE: usize = 2_048;

impl Parametrised {
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let raw = header::unfold(raw, 32 * 1_024);
        let mut rest = raw.as_slice();
        let mut value = token(&mut rest);
        value.retain(|byte| !byte.is_ascii_whitespace());
        let mut parsed = Self { value: lower(&value), params: Vec::new() };
        while let Some(start) = rest.iter().position(|byte| *byte == b';') {
            rest = rest.get(start + 1..).unwrap_or_default();
            let name = lower(token(&mut rest).trim_ascii());
            if name.is_empty() || rest.first() != Some(&b'=') {
                continue;
            }
            rest = rest.get(1..).unwrap_or_default();
            let mut value = param_value(&mut rest);
            value.truncate(MAX_VALUE);
            if parsed.params.len() < MAX_PARAMS && !parsed.params.iter().any(|(known, _)| *known == name) {
                parsed.params.push((name, value));
            }
        }
        parsed
    }

    /// A parameter's value as text: RFC 2231 continuations joined and decoded, RFC 2047 words (which have no business
    /// here, but are common) decoded, 8-bit bytes guessed.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        if let Some((_, value)) = self.params.iter().find(|(known, _)| extended(known, name) == Some("")) {
            return Some(header::decode_words(value));
        }
        let mut label = None;
        let mut bytes = Vec::new();
        let mut encoded_any = false;
        // `name*`, or `name*0`, `name*1*`, … in any order.
        let mut pieces: Vec<(usize, bool, &[u8])> = (self.params.iter())
            .filter_map(|(known, value)| {
                let suffix = extended(known, name)?.strip_prefix('*')?;
                let (number, encoded) = match suffix.strip_suffix('*') {
                    Some(number) => (number, true),
                    None => (suffix, suffix.is_empty()),
                };
                let number = if number.is_empty() { 0 } else { number.parse().ok()? };
                Some((number, encoded, value.as_slice()))
            })
            .collect();
        pieces.sort_by_key(|(number, ..)| *number);
        for (index, (_, encoded, mut value)) in pieces.into_iter().enumerate() {
            if encoded {
                encoded_any = true;
                if index == 0
                    && let [charset, _language, text] =
                        value.splitn(3, |byte| *byte == b'\'').collect::<Vec<_>>().as_slice()
                {
                    label = Some(String::from_utf8_lossy(charset).into_owned());
                    value = text;
                }
                percent_decode(value, &mut bytes);
            } else {
                bytes.extend_from_slice(value);
            }
        }
        if bytes.is_empty() {
            return None;
        }
        Some(if encoded_any {
            charset::decode(label.as_deref(), &bytes).into_owned()
        } else {
            header::decode_words(&bytes)
        })
    }

    /// A parameter's bytes as written.
    pub(crate) fn raw(&self, name: &str) -> Option<&[u8]> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// What follows `name` in `known`: nothing, or the `*…` of RFC 2231.
fn extended<'k>(known: &'k str, name: &str) -> Option<&'k str> {
    known.strip_prefix(name).filter(|suffix| suffix.is_empty() || suffix.starts_with('*'))
}

fn lower(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(128)).unwrap_or_default()).to_ascii_lowercase()
}

/// Up to `;` or `=`, comments left out.
fn token(rest: &mut &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut depth = 0_usize;
    let mut end = rest.len();
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b';' | b'=' if depth == 0 => {
                end = at;
                break;
            }
            _ if depth == 0 => out.push(byte),
            _ => {}
        }
    }
    *rest = rest.get(end..).unwrap_or_default();
    out
}

/// A token or a quoted string; an unquoted value with blanks in it (a common mistake in file names) is taken whole.
fn param_value(rest: &mut &[u8]) -> Vec<u8> {
    let text = rest.trim_ascii_start();
    let Some(inner) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end).unwrap_or((text, b""));
        *rest = after;
        // A comment may stand after the value: `7bit (or so)`.
        let end = memchr::memmem::find(value, b" (").unwrap_or(value.len());
        return value.get(..end).unwrap_or_default().trim_ascii().to_vec();
    };
    let mut out = Vec::new();
    let mut bytes = inner.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => {
                *rest = inner.get(at + 1..).unwrap_or_default();
                return out;
            }
            // A backslash before anything but these is a Windows path.
            b'\\' if matches!(inner.get(at + 1), Some(b'"' | b'\\')) => {
                out.extend(bytes.next().map(|(_, byte)| *byte));
            }
            byte => out.push(byte),
        }
    }
    *rest = b"";
    out
}

fn percent_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, crate::decoder::hex_pair(after)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, value: &str, name: &str, expected: Option<&str>) {
        let parsed = Parametrised::parse(raw.as_bytes());
        assert_eq!(parsed.value, value, "{raw}");
        assert_eq!(parsed.get(name).as_deref(), expected, "{raw}");
    }

    #[test]
    fn values_and_parameters() {
        check("text/plain", "text/plain", "charset", None);
        check("Text/HTML; Charset=\"UTF-8\"", "text/html", "charset", Some("UTF-8"));
        check("text/plain (c); charset = us-ascii (Plain)", "text/plain", "charset", Some("us-ascii"));
        check("a/b; name=\"x \\\"y\\\".txt\"", "a/b", "name", Some("x \"y\".txt"));
        check("a/b; name=two words.txt; x=1", "a/b", "name", Some("two words.txt"));
        check("a/b; name=\"never ends", "a/b", "name", Some("never ends"));
        check(
            "attachment; filename*=utf-8'ko'%EB%B3%B4%EA%B3%A0.pdf",
            "attachment",
            "filename",
            Some("보고.pdf"),
        );
        check(
            "a; filename*1*=%EC%84%9C.pdf; filename*0*=utf-8''%EB%B3%B4",
            "a",
            "filename",
            Some("보서.pdf"),
        );
        check("a; filename*0=\"long\"; filename*1=\"name.txt\"", "a", "filename", Some("longname.txt"));
        check("a; filename=\"=?utf-8?B?7JWI64WVLnR4dA==?=\"", "a", "filename", Some("안녕.txt"));
        check("a; filename=\"C:\\\\dir\\file.txt\"", "a", "filename", Some("C:\\dir\\file.txt"));
        check(";;;=;=;", "", "x", None);
        check("", "", "x", None);
    }
}
