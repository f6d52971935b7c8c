//! What is answered, as bytes: untagged data, piece by piece.

use std::fmt::{Arguments, Write as _};

use bytes::{Bytes, BytesMut};
use types::Flags;

use super::flag;
use super::set::Ranges;
use super::status::Status;
use super::utf7;

/// Gathers responses.
#[derive(Debug, Default)]
pub struct Writer {
    out: BytesMut,
    /// Whether names may be written in UTF-8.
    utf8: bool,
}

impl Writer {
    #[must_use]
    pub fn new(utf8: bool) -> Self {
        Self { out: BytesMut::new(), utf8 }
    }

    /// With room for about so many bytes.
    #[must_use]
    pub fn with_capacity(utf8: bool, bytes: usize) -> Self {
        Self { out: BytesMut::with_capacity(bytes), utf8 }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was gathered.
    #[must_use]
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Text of ours, as it is.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.out.extend_from_slice(text.as_bytes());
        self
    }

    /// Numbers and the like.
    pub fn format(&mut self, text: Arguments<'_>) -> &mut Self {
        let _ = self.out.write_fmt(text);
        self
    }

    /// A number, as there are many of.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.text(itoa::Buffer::new().format(number))
    }

    /// Bytes that are encoded already.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.out.extend_from_slice(bytes);
        self
    }

    /// Ends a response.
    pub fn end(&mut self) -> &mut Self {
        self.text("\r\n")
    }

    /// An untagged response of text alone.
    pub fn line(&mut self, text: Arguments<'_>) -> &mut Self {
        self.text("* ").format(text).end()
    }

    /// An untagged status.
    pub fn status(&mut self, status: &Status) -> &mut Self {
        let mut text = String::new();
        status.write(&mut text);
        self.text("* ").text(&text).end()
    }

    /// `string`: quoted where that can be, otherwise a literal.
    pub fn string(&mut self, value: &[u8]) -> &mut Self {
        let is_plain = |byte: &u8| match byte {
            b'\r' | b'\n' | 0 => false,
            0x80.. => self.utf8,
            _ => true,
        };
        if value.len() <= MAX_QUOTED && value.iter().all(is_plain) && std::str::from_utf8(value).is_ok() {
            self.out.extend_from_slice(b"\"");
            for byte in value {
                if matches!(byte, b'"' | b'\\') {
                    self.out.extend_from_slice(b"\\");
                }
                self.out.extend_from_slice(&[*byte]);
            }
            return self.text("\"");
        }
        self.literal(value)
    }

    /// `nstring`
    pub fn nstring(&mut self, value: Option<&[u8]>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.text("NIL"),
        }
    }

    /// `literal`
    pub fn literal(&mut self, value: &[u8]) -> &mut Self {
        self.literal_start(value.len() as u64).raw(value)
    }

    /// The beginning of a literal whose bytes follow.
    pub fn literal_start(&mut self, length: u64) -> &mut Self {
        self.format(format_args!("{{{length}}}\r\n"))
    }

    /// `literal8`'s beginning (RFC 3516).
    pub fn literal8_start(&mut self, length: u64) -> &mut Self {
        self.format(format_args!("~{{{length}}}\r\n"))
    }

    /// The name of a mailbox, in the client's spelling.
    pub fn mailbox(&mut self, name: &str) -> &mut Self {
        if self.utf8 {
            return self.string(name.as_bytes());
        }
        self.string(utf7::encode(name).as_bytes())
    }

    /// `"(" [flag *(SP flag)] ")"`
    pub fn flags(&mut self, flags: Flags, keywords: &[String]) -> &mut Self {
        self.text("(").flag_names(flags, keywords).text(")")
    }

    /// The flags without parentheses.
    pub fn flag_names(&mut self, flags: Flags, keywords: &[String]) -> &mut Self {
        let start = self.out.len();
        for name in flag::names(flags) {
            self.space_after(start).text(name);
        }
        for keyword in keywords {
            self.space_after(start).keyword(keyword);
        }
        self
    }

    /// A space if anything was written since then.
    fn space_after(&mut self, start: usize) -> &mut Self {
        if self.out.len() > start { self.text(" ") } else { self }
    }

    /// A keyword; letters outside ASCII in modified UTF-7 for who does not read UTF-8, as some clients write them.
    fn keyword(&mut self, keyword: &str) -> &mut Self {
        if self.utf8 || keyword.is_ascii() { self.text(keyword) } else { self.text(&utf7::encode(keyword)) }
    }

    /// Ascending numbers as the text of a set.
    #[must_use]
    pub fn set_text(numbers: impl Iterator<Item = u32> + Clone) -> String {
        Ranges(numbers).to_string()
    }

    /// Ascending numbers as a set.
    pub fn set(&mut self, numbers: impl Iterator<Item = u32> + Clone) -> &mut Self {
        self.format(format_args!("{}", Ranges(numbers)))
    }
}

/// Longer strings are literals: clients read lines into buffers.
const MAX_QUOTED: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_where_that_can_be() {
        let string = |utf8: bool, value: &str| Writer::new(utf8).string(value.as_bytes()).take();
        assert_eq!(string(false, "a \"b\" \\"), "\"a \\\"b\\\" \\\\\"");
        assert_eq!(string(false, "é"), "{2}\r\né".as_bytes());
        assert_eq!(string(true, "é"), "\"é\"".as_bytes());
        assert_eq!(string(true, "a\r\nb"), "{4}\r\na\r\nb");
        assert_eq!(Writer::new(false).mailbox("가족/R&D").take(), "\"&rADIcQ-/R&-D\"");
        assert_eq!(
            Writer::new(false).nstring(None).flags(Flags::SEEN, &["x".into()]).take(),
            "NIL(\\Seen x)"
        );
    }
}
