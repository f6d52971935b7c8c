//! GETMETADATA and SETMETADATA (RFC 5464 §4), and what LIST asks for of them (RFC 9590).

use std::collections::BTreeSet;

use super::command::MailboxName;
use super::cursor::{Cursor, Parsed, SyntaxError};

/// Which entries are told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Longer values are left out.
    pub max_size: Option<u64>,
    pub depth: Depth,
    /// In lower case.
    pub entries: Vec<String>,
}

/// How far below an entry others are told, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    #[default]
    Zero,
    One,
    Infinity,
}

/// Names and values; what is NIL is removed.
pub type Entries = Vec<(String, Option<Vec<u8>>)>;

/// Entries named at once.
const MAX_ENTRIES: usize = 100;
const MAX_NAME: usize = 256;

impl Wanted {
    /// `["(" options ")" SP] entries`, after the space.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut wanted = Self::default();
        if wanted.options(cursor)? {
            cursor.sp()?;
        }
        wanted.names(cursor)?;
        Ok(wanted)
    }

    /// `"GETMETADATA" [SP options] SP mailbox SP entries`. The RFC's examples have the options behind the mailbox.
    pub(super) fn parse_command(cursor: &mut Cursor<'_>) -> Parsed<(MailboxName, Self)> {
        let mut wanted = Self::default();
        if wanted.options(cursor)? {
            cursor.sp()?;
        }
        let mailbox = MailboxName::parse(cursor)?;
        cursor.sp()?;
        if wanted.options(cursor)? {
            cursor.sp()?;
        }
        wanted.names(cursor)?;
        Ok((mailbox, wanted))
    }

    /// Whether there were any. What begins by a slash are entries.
    fn options(&mut self, cursor: &mut Cursor<'_>) -> Parsed<bool> {
        let mut ahead = cursor.clone();
        if !(ahead.eat(b'(') && ahead.peek().is_some_and(|byte| byte.is_ascii_alphabetic())) {
            return Ok(false);
        }
        cursor.list(|cursor| {
            let option = cursor.word()?;
            cursor.sp()?;
            match option.as_str() {
                "MAXSIZE" => self.max_size = Some(cursor.number64()?),
                "DEPTH" => {
                    self.depth = match cursor.word()?.as_str() {
                        "0" => Depth::Zero,
                        "1" => Depth::One,
                        "INFINITY" => Depth::Infinity,
                        _ => return Err(SyntaxError("a depth is 0, 1 or infinity")),
                    };
                }
                _ => return Err(SyntaxError("an option is not known")),
            }
            Ok(())
        })?;
        Ok(true)
    }

    fn names(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        self.entries = if cursor.peek() == Some(b'(') { cursor.list(entry)? } else { vec![entry(cursor)?] };
        match self.entries.len() {
            0 => Err(SyntaxError("nothing is asked for")),
            1..=MAX_ENTRIES => Ok(()),
            _ => Err(SyntaxError("too much is asked for at once")),
        }
    }

    /// Whether an entry of this name is told.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| match (name.strip_prefix(entry.as_str()), self.depth) {
            (Some(""), _) => true,
            (Some(below), Depth::One) => below.strip_prefix('/').is_some_and(|below| !below.contains('/')),
            (Some(below), Depth::Infinity) => below.starts_with('/'),
            (Some(_), Depth::Zero) | (None, _) => false,
        })
    }
}

/// `"SETMETADATA" SP mailbox SP "(" entry SP value *(SP entry SP value) ")"`; what is NIL is removed.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Parsed<(MailboxName, Entries)> {
    let mailbox = MailboxName::parse(cursor)?;
    cursor.sp()?;
    let entries = cursor.list(|cursor| {
        let name = entry(cursor)?;
        cursor.sp()?;
        Ok((name, cursor.nstring()?.map(std::borrow::Cow::into_owned)))
    })?;
    let names: BTreeSet<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() < entries.len() {
        return Err(SyntaxError("an entry is set twice"));
    }
    match entries.len() {
        0 => Err(SyntaxError("nothing is set")),
        1..=MAX_ENTRIES => Ok((mailbox, entries)),
        _ => Err(SyntaxError("too much is set at once")),
    }
}

/// RFC 5464 §3.2: `/private/...` or `/shared/...`; their names are compared without case.
fn entry(cursor: &mut Cursor<'_>) -> Parsed<String> {
    const BAD: SyntaxError = SyntaxError("that is not the name of an entry");
    let name = cursor.astring_text()?.to_ascii_lowercase();
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'*' | b'%');
    let is_rooted = ["/private", "/shared"]
        .iter()
        .any(|root| name.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    let is_good = is_rooted
        && name.len() <= MAX_NAME
        && name.bytes().all(is_plain)
        && !name.contains("//")
        && !name.ends_with('/');
    if is_good { Ok(name) } else { Err(BAD) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_tells_what_is_below() {
        let has = |depth, name: &str| {
            Wanted { max_size: None, depth, entries: vec!["/shared/a".to_owned()] }.has(name)
        };
        for (name, zero, one, infinity) in [
            ("/shared/a", true, true, true),
            ("/shared/a/b", false, true, true),
            ("/shared/a/b/c", false, false, true),
            ("/shared/ab", false, false, false),
            ("/shared", false, false, false),
        ] {
            let found = [Depth::Zero, Depth::One, Depth::Infinity].map(|depth| has(depth, name));
            assert_eq!(found, [zero, one, infinity], "{name}");
        }
    }
}
