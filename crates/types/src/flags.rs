//! The system flags of RFC 9051 §2.3.2 as a set, and the rule for keywords.

use std::ops::{BitAnd, BitOr, Not};

/// A set of system flags. Keywords (labels) are kept beside it, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    pub const NONE: Self = Self(0);
    pub const SEEN: Self = Self(1);
    pub const ANSWERED: Self = Self(2);
    pub const FLAGGED: Self = Self(4);
    pub const DELETED: Self = Self(8);
    pub const DRAFT: Self = Self(16);
    /// `$Forwarded` (RFC 5788 registry): kept as a bit since every list shows it.
    pub const FORWARDED: Self = Self(32);
    /// It came in at the door, which puts what it has checked on top of it. Nobody else sets this, no program sees it, and
    /// it stays whatever flags a message is given.
    pub const RECEIVED: Self = Self(64);

    /// The set with these bits; unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 127)
    }

    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    #[must_use]
    pub const fn is_unread(self) -> bool {
        !self.contains(Self::SEEN)
    }

    /// This set with `add` put in and `remove` taken out.
    #[must_use]
    pub const fn changed(self, add: Self, remove: Self) -> Self {
        Self((self.0 | add.0) & !remove.0)
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Flags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & 63)
    }
}

/// Whether `name` can be a keyword: an RFC 9051 atom of at most 64 characters that is no system flag.
/// Letters outside ASCII are allowed: labels are people's words (clients with UTF8=ACCEPT show them).
#[must_use]
pub fn is_keyword(name: &str) -> bool {
    let count = name.chars().count();
    (1..=64).contains(&count)
        && !name.chars().any(|c| c.is_control() || c.is_whitespace() || "(){%*\"\\]".contains(c))
}

/// Whether these name one keyword: their case does not matter (RFC 9051 §2.3.2).
#[must_use]
pub fn is_same_keyword(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || !(one.is_ascii() && other.is_ascii()) && one.to_lowercase() == other.to_lowercase()
}

/// Whether the keyword is among these.
#[must_use]
pub fn has_keyword(keywords: &[String], keyword: &str) -> bool {
    keywords.iter().any(|other| is_same_keyword(other, keyword))
}

/// Keywords with `add` put in and `remove` taken out: sorted, each once, as it was spelt first.
#[must_use]
pub fn changed_keywords(mut keywords: Vec<String>, add: &[String], remove: &[String]) -> Vec<String> {
    keywords.extend(add.iter().cloned());
    let mut changed: Vec<String> = Vec::with_capacity(keywords.len());
    for keyword in keywords {
        if !has_keyword(remove, &keyword) && !has_keyword(&changed, &keyword) {
            changed.push(keyword);
        }
    }
    changed.sort_unstable();
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_change() {
        let flags = Flags::SEEN | Flags::FLAGGED;
        assert!(flags.contains(Flags::SEEN) && !flags.is_unread());
        assert_eq!(flags.changed(Flags::DRAFT, Flags::SEEN), Flags::FLAGGED | Flags::DRAFT);
        assert_eq!(Flags::from_bits(255).bits(), 127);
        assert!(!(!flags).contains(Flags::RECEIVED), "whoever replaces all flags leaves that");
    }

    #[test]
    fn keywords_are_one_whatever_their_case() {
        let check = |before: &[&str], add: &[&str], remove: &[&str], after: &[&str]| {
            let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
            assert_eq!(changed_keywords(owned(before), &owned(add), &owned(remove)), after);
        };
        check(&["Work", "a"], &["WORK", "b", "B"], &[], &["Work", "a", "b"]);
        check(&["Work", "a"], &[], &["wORK"], &["a"]);
        check(&["a"], &["x"], &["X"], &["a"]);
        check(&["Work", "work"], &["z"], &[], &["Work", "z"]);
        check(&["Work", "work"], &[], &["work"], &[]);
        check(&["ÄRGER"], &["ärger", "가족"], &[], &["ÄRGER", "가족"]);
    }

    #[test]
    fn keywords_are_atoms() {
        for good in ["$Label1", "work", "가족", "a-b", "a}"] {
            assert!(is_keyword(good), "{good}");
        }
        for bad in ["", "two words", "\\Seen", "a]", "a{", "(x)", &"x".repeat(65)] {
            assert!(!is_keyword(bad), "{bad}");
        }
    }
}
