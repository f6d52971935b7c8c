//! RFC 5321 §4.2: what the server answers, with the enhanced status codes of RFC 3463.

use std::borrow::Cow;
use std::fmt;

use bytes::BufMut;

/// Subject and detail of RFC 3463 §2. The class is that of the reply's code, so the two never disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enhanced {
    pub subject: u16,
    pub detail: u16,
}

/// One answer, of one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    text: Cow<'static, str>,
}

/// RFC 5321 §4.5.3.1.5: 512 octets with code and CRLF.
const MAX_TEXT_BYTES: usize = 480;

impl Reply {
    /// A reply with an enhanced code: `new(550, (1, 1), "...")` is `550 5.1.1 ...`. Each line of `text` becomes a line.
    /// A code outside 200 to 599 is taken as 554.
    #[must_use]
    pub const fn new(code: u16, (subject, detail): (u16, u16), text: &'static str) -> Self {
        Self { code: valid(code), enhanced: Some(Enhanced { subject, detail }), text: Cow::Borrowed(text) }
    }

    /// A reply that has no enhanced code (RFC 2034 §4: greetings, EHLO and 3yz).
    #[must_use]
    pub const fn plain(code: u16, text: &'static str) -> Self {
        Self { code: valid(code), enhanced: None, text: Cow::Borrowed(text) }
    }

    /// The same with another text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = text.into();
        self
    }

    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    #[must_use]
    pub const fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the command was carried out, or the next part of it is awaited (2yz, 3yz).
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Whether trying again later may help (4yz).
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.code >= 400 && self.code < 500
    }

    /// Whether it never will (5yz).
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Appends the lines as they are sent. Whatever the text holds, no line breaks but the reply's own get out.
    pub fn encode(&self, out: &mut impl BufMut) {
        let mut wire = String::with_capacity(self.text.len() + 16);
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            wire.push_str(&self.code.to_string());
            wire.push(if lines.peek().is_some() { '-' } else { ' ' });
            if let Some(Enhanced { subject, detail }) = self.enhanced {
                wire.push_str(&format!("{}.{subject}.{detail} ", self.code / 100));
            }
            let line = shortened(line.trim_end_matches('\r'));
            wire.extend(line.chars().map(|c| if c.is_ascii_control() { ' ' } else { c }));
            wire.push_str("\r\n");
        }
        out.put_slice(wire.as_bytes());
    }

    /// Reads one whole reply, all lines with their CRLF.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n")?;
        let mut lines = text.split("\r\n").peekable();
        let mut reply: Option<(u16, Option<Enhanced>, String)> = None;
        while let Some(line) = lines.next() {
            let (code, rest) = line.split_at_checked(3)?;
            let code: u16 = code.parse().ok().filter(|&code| code == valid(code))?;
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            let rest = if rest.is_empty() && separator == ' ' { "" } else { rest.strip_prefix(separator)? };
            let (enhanced, rest) = enhanced(code, rest);
            match &mut reply {
                None => reply = Some((code, enhanced, rest.to_owned())),
                Some((first, _, text)) if *first == code => {
                    text.push('\n');
                    text.push_str(rest);
                }
                Some(_) => return None,
            }
        }
        reply.map(|(code, enhanced, text)| Self { code, enhanced, text: text.into() })
    }
}

fn enhanced(code: u16, rest: &str) -> (Option<Enhanced>, &str) {
    let read = || {
        let (status, text) = rest.split_once(' ')?;
        let mut parts = status.split('.').map(str::parse::<u16>);
        let (class, subject, detail) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        (parts.next().is_none() && class == code / 100).then_some((Enhanced { subject, detail }, text))
    };
    read().map_or((None, rest), |(enhanced, text)| (Some(enhanced), text))
}

const fn valid(code: u16) -> u16 {
    if code >= 200 && code < 600 { code } else { 554 }
}

fn shortened(line: &str) -> &str {
    line.get(..line.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or(line)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        if let Some(Enhanced { subject, detail }) = self.enhanced {
            write!(f, "{}.{subject}.{detail} ", self.code / 100)?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &Reply, wire: &str) {
        let mut out = Vec::new();
        reply.encode(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), wire);
    }

    #[test]
    fn replies_have_the_form_of_the_rfc_and_round_trip() {
        for (reply, wire) in [
            (Reply::new(250, (1, 0), "Sender ok"), "250 2.1.0 Sender ok\r\n"),
            (
                Reply::plain(250, "mx.test\nPIPELINING\nSIZE 10"),
                "250-mx.test\r\n250-PIPELINING\r\n250 SIZE 10\r\n",
            ),
            (Reply::new(550, (1, 1), "a\nb"), "550-5.1.1 a\r\n550 5.1.1 b\r\n"),
            (Reply::plain(354, ""), "354 \r\n"),
        ] {
            check(&reply, wire);
            assert_eq!(Reply::parse(wire.as_bytes()), Some(reply));
        }
    }

    #[test]
    fn a_text_cannot_add_replies_or_overflow_a_line() {
        check(&Reply::new(550, (0, 0), "a\r250 b\0c"), "550 5.0.0 a 250 b c\r\n");
        let mut out = Vec::new();
        Reply::plain(250, "").with_text("한".repeat(900)).encode(&mut out);
        assert!(out.len() <= 512 && std::str::from_utf8(&out).is_ok());
    }

    #[test]
    fn replies_that_are_none_are_not_read() {
        for wire in ["", "250 x", "2x0 y\r\n", "250-a\r\n", "250-a\r\n251 b\r\n", "100 x\r\n", "250_x\r\n"] {
            assert_eq!(Reply::parse(wire.as_bytes()), None, "{wire:?}");
        }
    }
}
