//! What somebody may do with a mailbox that is shared with them (RFC 4314 §2.1), as a set.

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};

/// A set of rights. There are no others; the obsolete `c` and `d` stand for several each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u16);

impl Rights {
    pub const NONE: Self = Self(0);
    /// It is listed.
    pub const LOOKUP: Self = Self(1);
    /// What is in it can be read.
    pub const READ: Self = Self(1 << 1);
    /// `\Seen` can be changed.
    pub const SEEN: Self = Self(1 << 2);
    /// Other flags and keywords can be changed, but for `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    pub const INSERT: Self = Self(1 << 4);
    /// On an inbox: mail can be sent in its owner's name.
    pub const POST: Self = Self(1 << 5);
    /// Mailboxes can be made in it.
    pub const CREATE: Self = Self(1 << 6);
    /// It can be deleted or renamed.
    pub const DELETE: Self = Self(1 << 7);
    /// `\Deleted` can be changed.
    pub const DELETED: Self = Self(1 << 8);
    pub const EXPUNGE: Self = Self(1 << 9);
    /// Who has which rights can be seen and changed.
    pub const ADMINISTER: Self = Self(1 << 10);
    pub const ALL: Self = Self((1 << 11) - 1);
    /// Of these, one is needed to change any flag.
    pub const FLAGS: Self = Self(Self::SEEN.0 | Self::WRITE.0 | Self::DELETED.0);
    /// RFC 4314 §2.1.1: `c`.
    const OLD_CREATE: Self = Self(Self::CREATE.0 | Self::DELETE.0);
    /// RFC 4314 §2.1.1: `d`.
    const OLD_DELETE: Self = Self(Self::DELETED.0 | Self::EXPUNGE.0);

    /// The set with these bits; unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & Self::ALL.0)
    }

    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the two have a right in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What [`Rights::parse`] takes, in words for whoever wrote something else.
    pub const SPELLING: &str =
        "letters of lrswipkxtea (RFC 4314), and the obsolete c, which stands for kx, and d, for te";

    /// The rights that these letters stand for; `None` if one is none. `c` and `d` are obsolete (RFC 4314 §2.1.1).
    #[must_use]
    pub fn parse(letters: &str) -> Option<Self> {
        let right = |letter| match letter {
            'c' => Some(Self::OLD_CREATE),
            'd' => Some(Self::OLD_DELETE),
            letter => LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, right)| *right),
        };
        letters.chars().try_fold(Self::NONE, |all, letter| Some(all | right(letter)?))
    }

    /// The letters as IMAP tells them: with `c` and `d` where any of what they stand for is there (RFC 4314 §2.1.1).
    #[must_use]
    pub fn with_obsolete(self) -> String {
        let mut letters = self.to_string();
        for (letter, rights) in [('c', Self::OLD_CREATE), ('d', Self::OLD_DELETE)] {
            if self.meets(rights) {
                letters.push(letter);
            }
        }
        letters
    }
}

/// In the order in which they are told.
const LETTERS: [(char, Rights); 11] = [
    ('l', Rights::LOOKUP),
    ('r', Rights::READ),
    ('s', Rights::SEEN),
    ('w', Rights::WRITE),
    ('i', Rights::INSERT),
    ('p', Rights::POST),
    ('k', Rights::CREATE),
    ('x', Rights::DELETE),
    ('t', Rights::DELETED),
    ('e', Rights::EXPUNGE),
    ('a', Rights::ADMINISTER),
];

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = LETTERS.iter().filter(|(_, right)| self.contains(*right));
        f.write_str(&letters.map(|(letter, _)| letter).collect::<String>())
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Rights {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0 & Self::ALL.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_sets_are_the_same() {
        for (letters, told, with_obsolete) in [
            ("", "", ""),
            ("rl", "lr", "lr"),
            ("lrswipkxtea", "lrswipkxtea", "lrswipkxteacd"),
            ("c", "kx", "kxc"),
            ("d", "te", "ted"),
            ("lx", "lx", "lxc"),
        ] {
            let rights = Rights::parse(letters).unwrap();
            assert_eq!(rights.to_string(), told);
            assert_eq!(rights.with_obsolete(), with_obsolete);
            assert_eq!(Rights::from_bits(rights.bits()), rights);
        }
        for letter in 'a'..='z' {
            // Each letter that is taken is a word, or in the one of all letters.
            let mut words = Rights::SPELLING.split([' ', ',']);
            let is_told =
                words.any(|word| word == letter.to_string() && word != "a") || "lrswipkxtea".contains(letter);
            assert_eq!(Rights::parse(&letter.to_string()).is_some(), is_told, "{letter}");
        }
        assert!(Rights::SPELLING.contains(&Rights::ALL.to_string()));
        assert_eq!(Rights::parse("lz"), None);
        assert_eq!(Rights::parse("L"), None);
    }

    #[test]
    fn sets_change() {
        let rights = Rights::READ | Rights::LOOKUP;
        assert!(rights.contains(Rights::READ) && !rights.contains(Rights::READ | Rights::POST));
        assert!(rights.meets(Rights::READ | Rights::POST) && !rights.meets(Rights::FLAGS));
        assert_eq!(!rights & Rights::READ, Rights::NONE);
        assert_eq!(Rights::from_bits(u16::MAX), Rights::ALL);
    }
}
