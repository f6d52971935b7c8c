//! From the stored bytes to what goes over the wire.

use std::borrow::Cow;

use bytes::Bytes;
use message::without_fields;

/// The mail without its Bcc fields: only the sender's copy keeps them (RFC 5322 §3.6.3).
#[must_use]
pub fn without_bcc(mail: Bytes) -> Bytes {
    without_fields(&mail, &["Bcc", "Resent-Bcc"]).map_or(mail, Bytes::from)
}

/// The mail with every line ended by CRLF, as it goes where dots mean nothing (RFC 3030).
#[must_use]
pub fn with_crlf(mail: &[u8]) -> Cow<'_, [u8]> {
    let mut before = 0;
    let is_fit = |&byte: &u8| {
        let fits = (byte == b'\n') == (before == b'\r');
        before = byte;
        fits
    };
    if mail.iter().all(is_fit) && mail.last() != Some(&b'\r') {
        return Cow::Borrowed(mail);
    }
    let mut wire = Vec::with_capacity(mail.len() + mail.len() / 32);
    let mut after_cr = false;
    for &byte in mail {
        match byte {
            b'\n' => wire.extend_from_slice(b"\r\n"),
            // A CR that no LF follows ends a line as well.
            _ if after_cr => wire.extend_from_slice(b"\r\n"),
            _ => {}
        }
        after_cr = byte == b'\r';
        if !matches!(byte, b'\r' | b'\n') {
            wire.push(byte);
        }
    }
    if after_cr {
        wire.extend_from_slice(b"\r\n");
    }
    Cow::Owned(wire)
}

/// RFC 5321 §4.5.2: doubles leading dots, makes every line end CRLF, ends with the final dot. Piece by piece.
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    after_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false }
    }
}

impl DotStuffer {
    /// Appends what this piece of the mail looks like on the wire.
    pub fn push(&mut self, piece: &[u8], wire: &mut Vec<u8>) {
        for &byte in piece {
            match byte {
                b'\n' => {
                    wire.extend_from_slice(b"\r\n");
                    (self.at_line_start, self.after_cr) = (true, false);
                    continue;
                }
                b'\r' => {
                    self.bare_cr(wire);
                    self.after_cr = true;
                    continue;
                }
                _ => self.bare_cr(wire),
            }
            if byte == b'.' && self.at_line_start {
                wire.push(b'.');
            }
            wire.push(byte);
            self.at_line_start = false;
        }
    }

    /// Appends the end of the data.
    pub fn finish(mut self, wire: &mut Vec<u8>) {
        self.bare_cr(wire);
        wire.extend_from_slice(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" });
    }

    /// A CR that no LF followed ends a line as well: on the wire it must not stand alone.
    fn bare_cr(&mut self, wire: &mut Vec<u8>) {
        if std::mem::take(&mut self.after_cr) {
            wire.extend_from_slice(b"\r\n");
            self.at_line_start = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bcc_fields_go_with_their_continuations() {
        for (stored, sent) in [
            (
                "From: a\r\nBcc: x,\r\n y\r\nTo: b\r\n\r\nBcc: text\r\n",
                "From: a\r\nTo: b\r\n\r\nBcc: text\r\n",
            ),
            ("bcc : x\r\nResent-BCC: y\r\nTo: b\r\n\r\n", "To: b\r\n\r\n"),
            ("To: b\r\n Bcc: no field\r\n\r\ntext", "To: b\r\n Bcc: no field\r\n\r\ntext"),
            ("To: b\nBcc: x\n\ntext", "To: b\n\ntext"),
            ("\r\nBcc: text", "\r\nBcc: text"),
            ("Bcc: only", ""),
            ("", ""),
        ] {
            assert_eq!(without_bcc(Bytes::from_static(stored.as_bytes())), sent.as_bytes(), "{stored:?}");
        }
    }

    #[test]
    fn chunks_have_lines_that_end_with_crlf() {
        for (mail, wire) in [
            ("a\r\n.b\r\n", "a\r\n.b\r\n"),
            ("a\n.\nb", "a\r\n.\r\nb"),
            ("a\r.\rb\r", "a\r\n.\r\nb\r\n"),
            ("a\r\r\nb", "a\r\n\r\nb"),
            ("\n\n\r", "\r\n\r\n\r\n"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8(with_crlf(mail.as_bytes()).into_owned()).unwrap(), wire, "{mail:?}");
        }
        assert!(matches!(with_crlf(b"a\r\nb"), Cow::Borrowed(_)));
    }

    #[test]
    fn dots_are_doubled_and_lines_end_with_crlf() {
        for (mail, wire) in [
            ("a\r\n.b\r\n", "a\r\n..b\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".\r\n.\r\n", "..\r\n..\r\n.\r\n"),
            ("a.b\r\nno end", "a.b\r\nno end\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb\r", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\r\nb", "a\r\n\r\nb\r\n.\r\n"),
            ("", ".\r\n"),
        ] {
            for size in 1..=mail.len().max(1) {
                let (mut stuffer, mut out) = (DotStuffer::default(), Vec::new());
                mail.as_bytes().chunks(size).for_each(|piece| stuffer.push(piece, &mut out));
                stuffer.finish(&mut out);
                assert_eq!(String::from_utf8(out).unwrap(), wire, "{mail:?} by {size}");
            }
        }
    }
}
