//! The language: commands, replies, and content with its dots doubled.

use std::num::IntErrorKind;

use types::Secret;

/// What a client wants (RFC 1939, RFC 2449, RFC 2595, RFC 5034, RFC 6856).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Capa,
    User(String),
    Pass(Secret),
    Apop,
    Auth { mechanism: Option<String>, initial: Option<Secret> },
    Stls,
    Utf8,
    Lang(Option<String>),
    Stat,
    List(Option<u32>),
    Uidl(Option<u32>),
    Retr(u32),
    Top { number: u32, lines: u32 },
    Dele(u32),
    Noop,
    Rset,
    Quit,
}

/// What a client is told: `+OK` or `-ERR`, perhaps with a code (RFC 2449 §8, RFC 3206).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub ok: bool,
    pub code: Option<&'static str>,
    pub text: String,
}

impl Reply {
    pub fn ok(text: impl Into<String>) -> Self {
        Self { ok: true, code: None, text: text.into() }
    }

    pub fn err(text: impl Into<String>) -> Self {
        Self { ok: false, code: None, text: text.into() }
    }

    pub fn err_with(code: &'static str, text: impl Into<String>) -> Self {
        Self { ok: false, code: Some(code), text: text.into() }
    }

    #[must_use]
    pub fn encode(&self) -> String {
        let sign = if self.ok { "+OK" } else { "-ERR" };
        let code = self.code.map(|code| format!("[{code}] ")).unwrap_or_default();
        // What a client sent may be in the text: it must stay one line.
        let text: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{sign} {code}{text}\r\n")
    }
}

impl Command {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// It is no command; what is wrong, in words for the client.
    pub fn parse(line: &[u8]) -> Result<Self, &'static str> {
        let line = std::str::from_utf8(line).map_err(|_| NO_COMMAND)?;
        let (word, rest) = line.split_once(' ').map_or((line, None), |(word, rest)| (word, Some(rest)));
        let optional = |rest: Option<&str>| rest.map(number).transpose();
        Ok(match (word.to_ascii_uppercase().as_str(), rest) {
            ("CAPA", None) => Self::Capa,
            ("USER", Some(user)) if !user.is_empty() => Self::User(user.to_owned()),
            // RFC 1939 §7: spaces are part of the password.
            ("PASS", Some(password)) => Self::Pass(Secret::new(password.to_owned())),
            ("APOP", Some(_)) => Self::Apop,
            ("AUTH", None) => Self::Auth { mechanism: None, initial: None },
            ("AUTH", Some(rest)) => {
                let (mechanism, initial) = rest
                    .split_once(' ')
                    .map_or((rest, None), |(mechanism, initial)| (mechanism, Some(initial)));
                let initial = initial.map(|initial| Secret::new(initial.to_owned()));
                Self::Auth { mechanism: Some(mechanism.to_ascii_uppercase()), initial }
            }
            ("STLS", None) => Self::Stls,
            ("UTF8", None) => Self::Utf8,
            ("LANG", language) => Self::Lang(language.map(str::to_owned)),
            ("STAT", None) => Self::Stat,
            ("LIST", rest) => Self::List(optional(rest)?),
            ("UIDL", rest) => Self::Uidl(optional(rest)?),
            ("RETR", Some(rest)) => Self::Retr(number(rest)?),
            ("TOP", Some(rest)) => {
                let (message, lines) = rest.split_once(' ').ok_or(NO_LINES)?;
                Self::Top { number: number(message)?, lines: lines.parse().map_err(|_| NO_LINES)? }
            }
            ("RETR" | "DELE", None) => return Err(NO_NUMBER),
            ("TOP", None) => return Err(NO_LINES),
            ("DELE", Some(rest)) => Self::Dele(number(rest)?),
            ("NOOP", None) => Self::Noop,
            ("RSET", None) => Self::Rset,
            ("QUIT", None) => Self::Quit,
            _ => return Err(NO_COMMAND),
        })
    }
}

const NO_COMMAND: &str = "There is no such command, or not like this";
const NO_NUMBER: &str = "Which message? A number comes after it, like RETR 1";
const NO_LINES: &str = "Which message, and how many lines? Like TOP 1 10";
const BAD_NUMBER: &str = "That is not the number of a message: they are counted from 1";
const UNKNOWN_NUMBER: &str = "There is no message of that number";

/// The number of a message, which may be none that there is.
fn number(text: &str) -> Result<u32, &'static str> {
    match text.parse::<u32>() {
        Ok(number) if number > 0 && !text.starts_with('+') => Ok(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err(UNKNOWN_NUMBER),
        _ if text.is_empty() => Err(NO_NUMBER),
        _ => Err(BAD_NUMBER),
    }
}

/// Content as RFC 1939 §3 sends it: lines end in CRLF, a dot at the beginning of one is doubled, a dot alone is the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stuffer {
    before: Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Before {
    #[default]
    LineStart,
    Cr,
    Other,
}

impl Stuffer {
    /// The next piece.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
        for &byte in bytes {
            match (byte, self.before) {
                (b'\n', Before::LineStart | Before::Other) => out.extend_from_slice(b"\r\n"),
                (b'.', Before::LineStart) => out.extend_from_slice(b".."),
                _ => out.push(byte),
            }
            self.before = match byte {
                b'\n' => Before::LineStart,
                b'\r' => Before::Cr,
                _ => Before::Other,
            };
        }
        out
    }

    /// The end.
    #[must_use]
    pub const fn finish(self) -> &'static [u8] {
        match self.before {
            Before::LineStart => b".\r\n",
            Before::Cr => b"\n.\r\n",
            Before::Other => b"\r\n.\r\n",
        }
    }
}

/// What TOP shows of a message: the header with the empty line behind it, and some lines of the body.
#[derive(Debug, Clone, Copy)]
pub struct Top {
    /// What is left of each.
    header: u64,
    lines: u32,
}

impl Top {
    /// Of a message whose header has so many bytes.
    #[must_use]
    pub const fn new(header: u64, lines: u32) -> Self {
        Self { header, lines }
    }

    /// How much of the next piece is shown. Less than all of it: nothing more is.
    pub fn take(&mut self, bytes: &[u8]) -> usize {
        let header = usize::try_from(self.header).unwrap_or(usize::MAX).min(bytes.len());
        self.header -= header as u64;
        for (at, &byte) in bytes.iter().enumerate().skip(header) {
            if self.lines == 0 {
                return at;
            }
            self.lines -= u32::from(byte == b'\n');
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(Command::parse(b"retr 5"), Ok(Command::Retr(5)));
        assert_eq!(Command::parse(b"LIST"), Ok(Command::List(None)));
        assert_eq!(Command::parse(b"UIDL 2"), Ok(Command::Uidl(Some(2))));
        assert_eq!(Command::parse(b"TOP 1 0"), Ok(Command::Top { number: 1, lines: 0 }));
        assert_eq!(Command::parse(b"PASS two  words "), Ok(Command::Pass(Secret::new("two  words ".into()))));
        for (bad, why) in [
            ("", NO_COMMAND),
            ("RETR", NO_NUMBER),
            ("RETR ", NO_NUMBER),
            ("RETR 0", BAD_NUMBER),
            ("RETR -1", BAD_NUMBER),
            ("RETR +1", BAD_NUMBER),
            ("RETR x", BAD_NUMBER),
            ("RETR 4294967296", UNKNOWN_NUMBER),
            ("DELE", NO_NUMBER),
            ("DELE 1 2", BAD_NUMBER),
            ("TOP", NO_LINES),
            ("TOP 1", NO_LINES),
            ("TOP 1 x", NO_LINES),
            ("TOP 0 1", BAD_NUMBER),
            ("LIST x", BAD_NUMBER),
            ("UIDL 99999999999999999999", UNKNOWN_NUMBER),
            ("USER", NO_COMMAND),
            ("NOOP x", NO_COMMAND),
            ("GET / HTTP/1.1", NO_COMMAND),
        ] {
            assert_eq!(Command::parse(bad.as_bytes()), Err(why), "{bad}");
        }
    }

    #[test]
    fn replies_stay_one_line() {
        assert_eq!(Reply::err_with("AUTH", "no\r\n+OK").encode(), "-ERR [AUTH] no  +OK\r\n");
    }

    #[test]
    fn the_top_is_the_header_and_some_lines() {
        let mail = b"A: b\r\nC: d\r\n\r\n1\r\n2\r\n3\r\n";
        for (lines, shown) in [(0, 14), (1, 17), (2, 20), (9, mail.len())] {
            for size in [1, 3, 100] {
                let mut top = Top::new(14, lines);
                let mut total = 0;
                for piece in mail.chunks(size) {
                    let taken = top.take(piece);
                    total += taken;
                    if taken < piece.len() {
                        break;
                    }
                }
                assert_eq!(total, shown, "{lines} lines in pieces of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn content_comes_out_again(lines in proptest::collection::vec("[.a\r]{0,4}", 0..8), size in 1_usize..9) {
            let lines: Vec<_> = lines.iter().map(|line| line.replace('\r', "")).collect();
            let mail = lines.join("\r\n");
            let mut stuffer = Stuffer::default();
            let mut sent: Vec<u8> = mail.as_bytes().chunks(size).flat_map(|piece| stuffer.push(piece)).collect();
            sent.extend_from_slice(stuffer.finish());
            let sent = String::from_utf8(sent).unwrap();
            let ends = sent.match_indices("\r\n.\r\n").count() + usize::from(sent.starts_with(".\r\n"));
            prop_assert_eq!(ends, 1, "one end: {:?}", sent);
            let text = sent.strip_suffix(".\r\n").unwrap();
            let read: Vec<_> = text.split_terminator("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            let read = read.join("\r\n");
            prop_assert_eq!(read.trim_end_matches("\r\n"), mail.trim_end_matches("\r\n"));
        }
    }
}
