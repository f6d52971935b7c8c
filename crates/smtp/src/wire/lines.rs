//! RFC 5321 §2.3.8: splits what comes into command lines, with a limit, before anything is parsed.
//!
//! Only CRLF ends a line. A lone CR or LF is never taken for one: the line that holds it is refused as a whole, and
//! it lasts until the next LF of any kind, so that nothing behind it is carried out.

use bytes::{Buf as _, BytesMut};
use memchr::memchr;

/// The first line of what has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A good line, without its CRLF.
    Text(BytesMut),
    /// It ended in a bare LF or had a bare CR or a NUL inside.
    Malformed,
    /// It was longer than the limit; all of it is gone.
    TooLong,
    /// It has not ended yet.
    Partial,
}

/// Finds lines. Keeps how far it has looked, so that a line that comes byte by byte is read once.
#[derive(Debug, Default)]
pub struct Lines {
    looked_at: usize,
    swallowing: bool,
}

impl Lines {
    /// Takes the first line out of `input`. `limit` is without the CRLF; while a line has not ended, no more than
    /// `limit + 2` bytes of it are kept.
    pub fn next(&mut self, input: &mut BytesMut, limit: usize) -> Line {
        let fresh = input.get(self.looked_at..).unwrap_or_default();
        let Some(found) = memchr(b'\n', fresh) else {
            if self.swallowing || input.len() > limit + 1 {
                self.swallowing = true;
                input.clear();
            }
            self.looked_at = input.len();
            return Line::Partial;
        };
        let mut line = input.split_to(self.looked_at + found);
        input.advance(1);
        self.looked_at = 0;
        if std::mem::take(&mut self.swallowing) || line.len() > limit + 1 {
            return Line::TooLong;
        }
        if line.last() != Some(&b'\r') {
            return Line::Malformed;
        }
        line.truncate(line.len() - 1);
        if memchr::memchr2(b'\r', 0, &line).is_some() { Line::Malformed } else { Line::Text(line) }
    }

    /// Whether the input begins in the middle of a line that was too long.
    #[must_use]
    pub const fn is_swallowing(&self) -> bool {
        self.swallowing
    }

    /// Forgets the line that had begun.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, wanted: &[Line]) {
        let mut whole = BytesMut::from(input);
        let mut lines = Lines::default();
        let at_once: Vec<_> =
            std::iter::repeat_with(|| lines.next(&mut whole, 8)).take(wanted.len()).collect();
        assert_eq!(at_once, wanted, "{input:?}");

        let (mut buffer, mut lines, mut one_by_one) = (BytesMut::new(), Lines::default(), Vec::new());
        for byte in input.bytes() {
            buffer.extend_from_slice(&[byte]);
            match lines.next(&mut buffer, 8) {
                Line::Partial => assert!(buffer.len() <= 9),
                line => one_by_one.push(line),
            }
        }
        one_by_one.push(Line::Partial);
        assert_eq!(one_by_one, wanted, "{input:?} byte by byte");
    }

    #[test]
    fn lines_end_in_crlf_only() {
        let text = |text: &str| Line::Text(BytesMut::from(text));
        check("NOOP\r\nQ", &[text("NOOP"), Line::Partial]);
        check("\r\n", &[text(""), Line::Partial]);
        check("12345678\r\n", &[text("12345678"), Line::Partial]);
        check("123456789\r\nOK\r\n", &[Line::TooLong, text("OK"), Line::Partial]);
        check("123456789012345\r\nOK\r\n", &[Line::TooLong, text("OK"), Line::Partial]);
        check("A\nB\r\n", &[Line::Malformed, text("B"), Line::Partial]);
        check("A\rB\r\nC\r\n", &[Line::Malformed, text("C"), Line::Partial]);
        check("A\0\r\n", &[Line::Malformed, Line::Partial]);
        check("A\r\r\n", &[Line::Malformed, Line::Partial]);
    }
}
