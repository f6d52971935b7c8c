//! The relaxed canonical forms of RFC 6376 §3.4: of a field, and of a body that comes in pieces.
//!
//! A body is taken as it will be on the wire, where every CR and LF that stands alone has become a CRLF.

use ring::digest::{Context, Digest, SHA256};

/// §3.4.2, with the CRLF at its end.
pub(crate) fn field(field: &[u8], out: &mut Vec<u8>) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at_checked(colon).unwrap_or((field, &[]));
    out.extend(name.trim_ascii_end().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let mut words =
        value.get(1..).unwrap_or_default().split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let mut words = words.by_ref().filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        out.extend_from_slice(first);
    }
    for word in words {
        out.push(b' ');
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
}

/// §3.4.4 and §3.7: the hash of a body.
pub(crate) struct BodyHash {
    hash: Context,
    buffer: Vec<u8>,
    /// Line ends that count only if something follows.
    line_ends: usize,
    blank: bool,
    after_cr: bool,
    is_empty: bool,
}

const BUFFER: usize = 16 << 10;

impl BodyHash {
    pub(crate) fn new() -> Self {
        Self {
            hash: Context::new(&SHA256),
            buffer: Vec::with_capacity(BUFFER),
            line_ends: 0,
            blank: false,
            after_cr: false,
            is_empty: true,
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(&first) = rest.first() {
            let length = match first {
                b' ' | b'\t' => {
                    (self.blank, self.after_cr) = (true, false);
                    1
                }
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    1
                }
                b'\r' | b'\n' => {
                    self.line_ends += 1;
                    (self.blank, self.after_cr) = (false, first == b'\r');
                    1
                }
                _ => {
                    let is_break = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                    let length = rest.iter().position(is_break).unwrap_or(rest.len());
                    self.text(rest.get(..length).unwrap_or_default());
                    length
                }
            };
            rest = rest.get(length..).unwrap_or_default();
        }
    }

    pub(crate) fn finish(mut self) -> Digest {
        if !self.is_empty {
            self.buffer.extend_from_slice(b"\r\n");
        }
        self.hash.update(&self.buffer);
        self.hash.finish()
    }

    fn text(&mut self, text: &[u8]) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.write(b"\r\n");
        }
        if std::mem::take(&mut self.blank) {
            self.write(b" ");
        }
        self.write(text);
        (self.after_cr, self.is_empty) = (false, false);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.hash.update(&self.buffer);
            self.buffer.clear();
        }
        if bytes.len() > BUFFER {
            self.hash.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use ring::digest::digest;

    use super::*;

    #[test]
    fn fields_are_relaxed() {
        let check = |written: &str, wanted: &str| {
            let mut out = Vec::new();
            field(written.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        };
        check("A: X\r\n", "a:X\r\n");
        check("B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n");
        check("Empty:\r\n", "empty:\r\n");
    }

    #[test]
    fn bodies_are_relaxed_however_they_come() {
        for (body, wanted) in [
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("", ""),
            ("\r\n \r\n", ""),
            ("a", "a\r\n"),
            ("a\nb\rc", "a\r\nb\r\nc\r\n"),
            ("a\r\n\r\nb \r\n", "a\r\n\r\nb\r\n"),
            ("a\r\r\nb", "a\r\n\r\nb\r\n"),
        ] {
            for size in 1..=body.len().max(1) {
                let mut hash = BodyHash::new();
                body.as_bytes().chunks(size).for_each(|piece| hash.push(piece));
                assert_eq!(
                    hash.finish().as_ref(),
                    digest(&SHA256, wanted.as_bytes()).as_ref(),
                    "{body:?} by {size}"
                );
            }
        }
    }
}
