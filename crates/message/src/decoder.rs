//! Content transfer encodings (RFC 2045 §6), decoded piece by piece and tolerant of what is wrong in them.

use serde::{Deserialize, Serialize};

/// A `Content-Transfer-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Encoding {
    #[default]
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    /// One that is not known, such as `x-uuencode`: passed through as it is.
    Other,
}

impl Encoding {
    /// From the value of the header field.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let value =
            value.split(|byte| *byte == b';' || *byte == b'(').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        match value {
            _ if value.is_empty() || is("7bit") || is("7-bit") => Self::SevenBit,
            _ if is("base64") => Self::Base64,
            _ if is("quoted-printable") => Self::QuotedPrintable,
            _ if is("8bit") || is("8-bit") => Self::EightBit,
            _ if is("binary") => Self::Binary,
            _ => Self::Other,
        }
    }

    /// The name in BODYSTRUCTURE.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBit => "8BIT",
            Self::Binary | Self::Other => "BINARY",
            Self::QuotedPrintable => "QUOTED-PRINTABLE",
            Self::Base64 => "BASE64",
        }
    }

    /// Whether the bytes as they lie are the content.
    #[must_use]
    pub const fn is_identity(self) -> bool {
        !matches!(self, Self::QuotedPrintable | Self::Base64)
    }
}

/// Decodes a body that comes in pieces: [`Decoder::push`] each, then [`Decoder::finish`].
#[derive(Debug, Clone)]
pub struct Decoder {
    encoding: Encoding,
    /// Base64: the bits gathered so far, and how many letters they are.
    bits: u32,
    letters: u8,
    /// Quoted-printable: white space or an escape whose end is not here yet.
    held: Vec<u8>,
}

impl Decoder {
    #[must_use]
    pub const fn new(encoding: Encoding) -> Self {
        Self { encoding, bits: 0, letters: 0, held: Vec::new() }
    }

    /// What `bytes` add.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self.encoding {
            Encoding::Base64 => self.base64(bytes),
            Encoding::QuotedPrintable => self.quoted_printable(bytes),
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary | Encoding::Other => bytes.to_vec(),
        }
    }

    /// What was still held back.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let bits = std::mem::take(&mut self.bits);
        match std::mem::take(&mut self.letters) {
            2 => vec![low_byte(bits >> 4)],
            3 => vec![low_byte(bits >> 10), low_byte(bits >> 2)],
            _ => {
                let held = std::mem::take(&mut self.held);
                let end = held.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |n| n + 1);
                if held == b"=" { Vec::new() } else { held.get(..end).unwrap_or_default().to_vec() }
            }
        }
    }

    fn base64(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() / 4 * 3 + 3);
        let (mut bits, mut letters) = (self.bits, self.letters);
        for byte in bytes {
            let value = BASE64.get(usize::from(*byte)).copied().unwrap_or(SKIP);
            if value < 64 {
                bits = bits << 6 | u32::from(value);
                letters += 1;
                if letters == 4 {
                    out.extend([low_byte(bits >> 16), low_byte(bits >> 8), low_byte(bits)]);
                    (bits, letters) = (0, 0);
                }
            } else if value == PAD {
                // Padding ends a group also in the middle: bodies that were joined decode on.
                match letters {
                    2 => out.push(low_byte(bits >> 4)),
                    3 => out.extend([low_byte(bits >> 10), low_byte(bits >> 2)]),
                    _ => {}
                }
                (bits, letters) = (0, 0);
            }
        }
        (self.bits, self.letters) = (bits, letters);
        out
    }

    fn quoted_printable(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            match (self.held.first(), byte) {
                (Some(b'='), _) => self.escape(byte, &mut out),
                // RFC 2045 §6.7 rule 3: white space at the end of a line was added on the way.
                (Some(_), b'\r' | b'\n') => {
                    self.held.clear();
                    out.push(byte);
                }
                (_, b' ' | b'\t') => {
                    if self.held.len() > 1_024 {
                        out.append(&mut self.held);
                    }
                    self.held.push(byte);
                }
                (_, b'=') => {
                    out.append(&mut self.held);
                    self.held.push(byte);
                }
                (_, _) => {
                    out.append(&mut self.held);
                    out.push(byte);
                }
            }
        }
        out
    }

    /// One more byte after `=`.
    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        match self.held.as_slice() {
            // A soft line break, perhaps with blanks before it.
            [b'=', .., b'\n'] => self.held.clear(),
            [b'=', blanks @ ..]
                if blanks.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r')) && blanks.len() < 1_024 => {}
            [b'=', digit] if digit.is_ascii_hexdigit() => {}
            [b'=', digits @ ..] => {
                match hex_pair(digits) {
                    Some(decoded) => out.push(decoded),
                    None => out.extend_from_slice(&self.held),
                }
                self.held.clear();
            }
            _ => {}
        }
    }
}

/// `bytes` decoded as a whole.
#[must_use]
pub fn decode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut decoder = Decoder::new(encoding);
    let mut out = decoder.push(bytes);
    out.extend(decoder.finish());
    out
}

/// How many bytes `encoded` bytes become: exact for an identity, for base64 in lines of 76 within three, for
/// quoted-printable as if nothing were escaped.
#[must_use]
pub const fn decoded_len(encoding: Encoding, encoded: u64) -> u64 {
    match encoding {
        // 78 bytes with CRLF hold 57.
        Encoding::Base64 => encoded / 78 * 57 + encoded % 78 * 3 / 4,
        Encoding::SevenBit
        | Encoding::EightBit
        | Encoding::Binary
        | Encoding::QuotedPrintable
        | Encoding::Other => encoded,
    }
}

/// The decoded length of a whole base64 body: exact if it has nothing but letters, padding and line breaks.
pub(crate) fn base64_len(body: &[u8]) -> u64 {
    let breaks = memchr::memchr2_iter(b'\r', b'\n', body).count();
    let end = body.trim_ascii_end();
    let padding = end.iter().rev().take_while(|byte| **byte == b'=').take(2).count();
    (body.len().saturating_sub(breaks + padding)) as u64 * 3 / 4
}

pub(crate) fn hex_pair(digits: &[u8]) -> Option<u8> {
    let (high, low) = (digits.first()?, digits.get(1)?);
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(value(*high)? * 16 + value(*low)?).ok()
}

fn low_byte(bits: u32) -> u8 {
    (bits & 0xFF) as u8
}

const SKIP: u8 = 255;
const PAD: u8 = 254;

#[expect(clippy::indexing_slicing, reason = "a constant: checked while compiling")]
const BASE64: [u8; 256] = {
    let mut table = [SKIP; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        table[letters[value as usize] as usize] = value;
        value += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table[b'=' as usize] = PAD;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(encoding: Encoding, encoded: &[u8], expected: &[u8]) {
        assert_eq!(decode(encoding, encoded), expected, "{}", String::from_utf8_lossy(encoded));
        for piece in 1..5 {
            let mut decoder = Decoder::new(encoding);
            let mut out: Vec<u8> = encoded.chunks(piece).flat_map(|chunk| decoder.push(chunk)).collect();
            out.extend(decoder.finish());
            assert_eq!(out, expected, "in pieces of {piece}: {}", String::from_utf8_lossy(encoded));
        }
    }

    #[test]
    fn base64_right_and_wrong() {
        check(Encoding::Base64, b"aGVsbG8=", b"hello");
        check(Encoding::Base64, b"aGVs\r\nbG8=\r\n", b"hello");
        check(Encoding::Base64, b"aGVsbG8", b"hello");
        check(Encoding::Base64, b"aGVs*!bG8=", b"hello");
        check(Encoding::Base64, b"aGVsbG8=aGVsbG8=", b"hellohello");
        check(Encoding::Base64, b"_-8", b"\xff\xef");
        check(Encoding::Base64, b"A", b"");
        check(Encoding::Base64, b"====", b"");
        check(Encoding::Base64, b"", b"");
    }

    #[test]
    fn quoted_printable_right_and_wrong() {
        check(Encoding::QuotedPrintable, b"caf=C3=A9", "café".as_bytes());
        check(Encoding::QuotedPrintable, b"one=\r\n two", b"one two");
        check(Encoding::QuotedPrintable, b"one= \t\r\ntwo", b"onetwo");
        check(Encoding::QuotedPrintable, b"one=\ntwo", b"onetwo");
        check(Encoding::QuotedPrintable, b"trail  \r\nnext", b"trail\r\nnext");
        check(Encoding::QuotedPrintable, b"a  b", b"a  b");
        check(Encoding::QuotedPrintable, b"x=ZZy", b"x=ZZy");
        check(Encoding::QuotedPrintable, b"x=4", b"x=4");
        check(Encoding::QuotedPrintable, b"x=", b"x");
        check(Encoding::QuotedPrintable, b"=c3=a9", "é".as_bytes());
    }

    #[test]
    fn lengths() {
        for length in [0_usize, 1, 2, 3, 56, 57, 58, 1_000, 100_000] {
            let mut encoded = Vec::new();
            crate::compose::base64_lines(&vec![7; length], &mut encoded);
            assert_eq!(base64_len(&encoded), length as u64);
            let estimate = decoded_len(Encoding::Base64, encoded.len() as u64);
            assert!(estimate.abs_diff(length as u64) <= 3, "{estimate} for {length}");
        }
    }
}
