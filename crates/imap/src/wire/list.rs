//! LIST and what it can be told (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154).

use types::Role;

use super::command::{StatusItem, status_items};
use super::cursor::{Cursor, Parsed, SyntaxError};
use super::metadata::Wanted;
use super::utf7;

/// A LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub selection: Selection,
    pub reference: Pattern,
    pub patterns: Vec<Pattern>,
    pub returns: ListReturn,
    /// Whether it came in the form of RFC 3501 §6.3.8, without options.
    pub basic: bool,
}

/// Which mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selection {
    pub subscribed: bool,
    pub recursive_match: bool,
    pub special_use: bool,
    /// REMOTE: there are none, so it selects nothing more.
    pub remote: bool,
}

/// What is told beside the name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReturn {
    pub subscribed: bool,
    pub children: bool,
    pub special_use: bool,
    /// RFC 8440
    pub my_rights: bool,
    pub status: Option<Vec<StatusItem>>,
    /// RFC 9590
    pub metadata: Option<Wanted>,
}

/// A name with `*` and `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(pub String);

/// A use of a mailbox, as RFC 6154 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    Role(Role),
    /// `\All`, `\Flagged`, `\Important`, or one that is not known: no mailbox can have it here.
    Other,
}

/// Bytes of all patterns of a LIST: each is held against every name.
const MAX_PATTERNS: usize = 2_000;

impl List {
    /// `"LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`, after the first space.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut basic = true;
        let mut selection = Selection::default();
        if cursor.peek() == Some(b'(') {
            basic = false;
            selection = Selection::parse(cursor)?;
            cursor.sp()?;
        }
        let reference = Pattern::parse_name(cursor)?;
        cursor.sp()?;
        let patterns = if cursor.peek() == Some(b'(') {
            basic = false;
            cursor.list(Pattern::parse)?
        } else {
            vec![Pattern::parse(cursor)?]
        };
        if patterns.iter().map(|pattern| pattern.0.len()).sum::<usize>() + reference.0.len() > MAX_PATTERNS {
            return Err(SyntaxError("the patterns are too long"));
        }
        let mut returns = ListReturn::default();
        if cursor.eat_text(" RETURN ") {
            basic = false;
            returns = ListReturn::parse(cursor)?;
        }
        Ok(Self { selection, reference, patterns, returns, basic })
    }
}

impl Selection {
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut selection = Self::default();
        for option in cursor.list(Cursor::word)? {
            match option.as_str() {
                "SUBSCRIBED" => selection.subscribed = true,
                "RECURSIVEMATCH" => selection.recursive_match = true,
                "SPECIAL-USE" => selection.special_use = true,
                "REMOTE" => selection.remote = true,
                _ => return Err(SyntaxError("a selection option is not known")),
            }
        }
        if selection.recursive_match && !selection.subscribed && !selection.special_use {
            // RFC 5258 §3.5
            return Err(SyntaxError("RECURSIVEMATCH does not stand alone"));
        }
        Ok(selection)
    }
}

impl ListReturn {
    fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let mut returns = Self::default();
        cursor.list(|cursor| {
            match cursor.word()?.as_str() {
                "SUBSCRIBED" => returns.subscribed = true,
                "CHILDREN" => returns.children = true,
                "SPECIAL-USE" => returns.special_use = true,
                "MYRIGHTS" => returns.my_rights = true,
                "STATUS" => {
                    cursor.sp()?;
                    returns.status = Some(status_items(cursor)?);
                }
                "METADATA" => {
                    cursor.sp()?;
                    returns.metadata = Some(Wanted::parse(cursor)?);
                }
                _ => return Err(SyntaxError("a return option is not known")),
            }
            Ok(())
        })?;
        Ok(returns)
    }
}

impl Pattern {
    /// `list-mailbox = 1*list-char / string`
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        if cursor.is_at_string() {
            return Self::decoded(cursor.string()?.into_owned(), cursor.utf8);
        }
        let is_list_char = |byte: u8| {
            matches!(byte, 0x21..=0x7e) && !matches!(byte, b'(' | b')' | b'{' | b'"' | b'\\') || byte >= 0x80
        };
        let taken = cursor.take_while(is_list_char);
        if taken.is_empty() {
            return Err(SyntaxError("a pattern is missing"));
        }
        Self::decoded(taken.to_vec(), cursor.utf8)
    }

    fn parse_name(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        let raw = cursor.astring()?.into_owned();
        Self::decoded(raw, cursor.utf8)
    }

    /// A pattern that is no UTF-7 matches no name, but is no fault of the command: it is taken as it is.
    fn decoded(raw: Vec<u8>, utf8: bool) -> Parsed<Self> {
        if raw.len() > MAX_PATTERNS {
            return Err(SyntaxError("the pattern is too long"));
        }
        let text = String::from_utf8(raw).map_err(|_| SyntaxError("a string is not UTF-8"))?;
        let decoded = if utf8 { None } else { utf7::decode(&text) };
        Ok(Self(decoded.unwrap_or(text)))
    }

    /// Whether a name matches: `*` stands for anything, `%` for anything within a level.
    #[must_use]
    pub fn matches(&self, name: &str, separator: char) -> bool {
        let name: Vec<char> = name.chars().collect();
        // The places in the name that the pattern so far can have brought us to. One pass over the pattern, whatever it
        // is: no pattern is slow.
        let mut at = vec![false; name.len() + 1];
        if let Some(start) = at.first_mut() {
            *start = true;
        }
        for wanted in self.0.chars() {
            let mut next = vec![false; at.len()];
            let mut open = false;
            for (index, place) in next.iter_mut().enumerate() {
                let before = index.checked_sub(1).and_then(|before| name.get(before)).copied();
                *place = match wanted {
                    '*' => {
                        open |= at.get(index) == Some(&true);
                        open
                    }
                    '%' => {
                        open &= before != Some(separator);
                        open |= at.get(index) == Some(&true);
                        open
                    }
                    wanted => {
                        before == Some(wanted)
                            && index.checked_sub(1).and_then(|before| at.get(before)) == Some(&true)
                    }
                };
            }
            at = next;
        }
        at.last() == Some(&true)
    }
}

impl SpecialUse {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Parsed<Self> {
        cursor.byte(b'\\', "a special use is missing")?;
        let name = cursor.word()?;
        let role = match name.as_str() {
            "DRAFTS" => Role::Drafts,
            "SENT" => Role::Sent,
            "ARCHIVE" => Role::Archive,
            "JUNK" => Role::Junk,
            "TRASH" => Role::Trash,
            _ => return Ok(Self::Other),
        };
        Ok(Self::Role(role))
    }

    /// The attribute of a mailbox with this role, if it has one.
    #[must_use]
    pub const fn attribute(role: Role) -> Option<&'static str> {
        match role {
            Role::Inbox => None,
            Role::Drafts => Some("\\Drafts"),
            Role::Sent => Some("\\Sent"),
            Role::Archive => Some("\\Archive"),
            Role::Junk => Some("\\Junk"),
            Role::Trash => Some("\\Trash"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let check = |pattern: &str, name, wanted| {
            assert_eq!(Pattern(pattern.to_owned()).matches(name, '/'), wanted, "{pattern} {name}");
        };
        check("*", "a/b/c", true);
        check("%", "a", true);
        check("%", "a/b", false);
        check("%/%", "a/b", true);
        check("a*c", "a/b/c", true);
        check("a%c", "a/b/c", false);
        check("a%", "a", true);
        check("", "", true);
        check("", "a", false);
        check("가%", "가족", true);
        check("*%*%*", "anything/at/all", true);
        check("INBOX", "inbox", false);
    }

    #[test]
    fn no_pattern_is_slow() {
        let pattern = Pattern("*a".repeat(5_000));
        assert!(!pattern.matches(&"a".repeat(1_000), '/'));
    }
}
