//! How bytes and texts are written into a mail (RFC 2045 §6).

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// RFC 2046 §4.1.1: every line break is CRLF. NUL is dropped; the text ends with a line break.
pub(crate) fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 32 + 2);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push_str("\r\n");
            }
            '\n' => out.push_str("\r\n"),
            '\0' => {}
            c => out.push(c),
        }
    }
    if !out.is_empty() && !out.ends_with("\r\n") {
        out.push_str("\r\n");
    }
    out
}

/// Base64 in lines of 76 letters.
pub(crate) fn base64_lines(bytes: &[u8], out: &mut Vec<u8>) {
    let mut line = [0; 76];
    for chunk in bytes.chunks(57) {
        let length = STANDARD.encode_slice(chunk, &mut line).unwrap_or_default();
        out.extend_from_slice(line.get(..length).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }
}

/// RFC 2045 §6.7 of a text with CRLF line breaks.
pub(super) fn quoted_printable(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for line in text.split_inclusive("\r\n") {
        let content = line.strip_suffix("\r\n").unwrap_or(line).as_bytes();
        let mut column = 0;
        for (at, &byte) in content.iter().enumerate() {
            let last = at + 1 == content.len();
            let starts_from = at == 0 && content.starts_with(b"From ");
            let plain = matches!(byte, 33..=126) && byte != b'=' && !starts_from
                || matches!(byte, b' ' | b'\t') && !last;
            let width = if plain { 1 } else { 3 };
            if column + width > 75 {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            column += width;
            if plain {
                out.push(byte);
            } else {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
            }
        }
        if line.ends_with("\r\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
}
