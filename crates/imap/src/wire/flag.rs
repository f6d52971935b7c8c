//! Flags and keywords (RFC 9051 §2.3.2).

use types::{Flags, flags::is_keyword};

use super::cursor::{Cursor, Parsed, SyntaxError, is_atom_char};
use super::utf7;

/// A flag of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// One of those that every message can have, among them `$Forwarded`.
    System(Flags),
    /// A keyword: the webmail's labels.
    Keyword(String),
    /// `\Recent`, which only a server may give and which this one never does; or one that is not known.
    Unknown,
}

const NAMES: [(&str, Flags); 6] = [
    ("\\Answered", Flags::ANSWERED),
    ("\\Flagged", Flags::FLAGGED),
    ("\\Deleted", Flags::DELETED),
    ("\\Seen", Flags::SEEN),
    ("\\Draft", Flags::DRAFT),
    ("$Forwarded", Flags::FORWARDED),
];

impl Flag {
    /// `flag = "\Answered" / ... / flag-keyword / flag-extension`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let is_extension = cursor.eat(b'\\');
        let name = if is_extension { cursor.atom()? } else { keyword(cursor)? };
        let is_named = |known: &str| match known.strip_prefix('\\') {
            Some(known) => is_extension && known.eq_ignore_ascii_case(name),
            None => !is_extension && known.eq_ignore_ascii_case(name),
        };
        if let Some((_, flag)) = NAMES.into_iter().find(|(known, _)| is_named(known)) {
            return Ok(Self::System(flag));
        }
        if is_extension {
            return Ok(Self::Unknown);
        }
        let name = label(name);
        if is_keyword(&name) { Ok(Self::Keyword(name)) } else { Err(SyntaxError("a bad keyword")) }
    }

    /// A keyword as `SEARCH KEYWORD` names it.
    pub(super) fn parse_keyword(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.peek() == Some(b'\\') {
            Err(SyntaxError("a keyword is missing"))
        } else {
            Self::parse(cursor)
        }
    }

    /// `flag-list = "(" [flag *(SP flag)] ")"`
    pub(super) fn parse_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<Self>> {
        cursor.list(Self::parse)
    }
}

/// An atom; letters outside ASCII are people's labels, which those clients may name that show them.
fn keyword<'a>(cursor: &mut Cursor<'a>) -> Parsed<&'a str> {
    cursor.chars(|byte| is_atom_char(byte) || byte >= 0x80, "a flag is missing")
}

/// The label that a keyword stands for: clients write letters outside ASCII in modified UTF-7.
fn label(name: &str) -> String {
    let decoded = utf7::decode(name).filter(|label| !label.is_ascii() && is_keyword(label));
    decoded.unwrap_or_else(|| name.to_owned())
}

/// The names of the flags in a set.
pub(crate) fn names(flags: Flags) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(move |(_, flag)| flags.contains(*flag)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_in_any_case() {
        let flag = |text: &str| Flag::parse(&mut Cursor::new(text.as_bytes(), false));
        assert_eq!(flag("\\sEEN"), Ok(Flag::System(Flags::SEEN)));
        assert_eq!(flag("$forwarded"), Ok(Flag::System(Flags::FORWARDED)));
        assert_eq!(flag("\\Recent"), Ok(Flag::Unknown));
        assert_eq!(flag("Seen"), Ok(Flag::Keyword("Seen".into())));
        assert_eq!(flag("가족"), Ok(Flag::Keyword("가족".into())));
        assert_eq!(flag("&rADIcQ-"), Ok(Flag::Keyword("가족".into())));
        assert_eq!(flag("a&-b"), Ok(Flag::Keyword("a&-b".into())));
        // RFC 9051 §9: of the braces only the opening one is an atom-special.
        assert_eq!(flag("a}"), Ok(Flag::Keyword("a}".into())));
        assert!(flag("\\").is_err() && flag("(").is_err());
        assert!(names(Flags::SEEN | Flags::FORWARDED).eq(["\\Seen", "$Forwarded"]));
    }
}
