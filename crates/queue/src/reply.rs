//! What the other side said (RFC 5321 §4.2), or what we say in its place where there was nobody to ask.

use std::fmt;

/// A reply of an SMTP server; its lines joined by LF, without the code but with the enhanced code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
    /// Who said it; `None`: we did.
    pub host: Option<String>,
}

/// RFC 5321 §4.2.1, by the first digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// 2yz and 3yz.
    Positive,
    /// 4yz, and whatever is no reply code.
    Temporary,
    /// 5yz.
    Permanent,
}

/// What became of an attempt to deliver to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Delivered(Reply),
    Deferred(Reply),
    Failed(Reply),
}

impl Reply {
    /// A refusal of our own, with an RFC 3463 status like `5.1.2`; its class makes the code.
    #[must_use]
    pub fn ours(status: &str, text: &str) -> Self {
        let code = match status.as_bytes().first() {
            Some(b'2') => 250,
            Some(b'5') => 550,
            _ => 450,
        };
        Self { code, text: format!("{status} {text}"), host: None }
    }

    #[must_use]
    pub fn class(&self) -> Class {
        match self.code / 100 {
            2 | 3 => Class::Positive,
            5 => Class::Permanent,
            _ => Class::Temporary,
        }
    }

    /// The RFC 3463 status that the text begins with (RFC 2034), or the general one of the reply's class.
    #[must_use]
    pub fn status(&self) -> String {
        let word = self.text.split_whitespace().next().unwrap_or_default();
        let digit = char::from_digit(u32::from(self.code / 100), 10).unwrap_or('4');
        let mut parts = word.split('.');
        let is_class = parts.next().is_some_and(|class| class.len() == 1 && class.starts_with(digit));
        let is_number =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let numbers = parts.map(is_number).collect::<Vec<_>>();
        if is_class && numbers == [true, true] { word.to_owned() } else { format!("{digit}.0.0") }
    }

    /// The outcome for a recipient whom this reply speaks of.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        match self.class() {
            Class::Positive => Outcome::Delivered(self),
            Class::Temporary => Outcome::Deferred(self),
            Class::Permanent => Outcome::Failed(self),
        }
    }
}

impl Outcome {
    #[must_use]
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) | Self::Deferred(reply) | Self::Failed(reply) => reply,
        }
    }
}

/// As in a log, e.g. `550 5.1.1 No such user`: what people are shown.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_servers_or_the_general_one() {
        for (code, text, status) in [
            (550, "5.1.1 No such user", "5.1.1"),
            (550, "4.1.1 mixed up", "5.0.0"),
            (451, "4.7.650 slow down", "4.7.650"),
            (550, "5.1 half", "5.0.0"),
            (550, "5.1.1.1 too much", "5.0.0"),
            (550, "no", "5.0.0"),
            (250, "", "2.0.0"),
        ] {
            assert_eq!(Reply { code, text: text.to_owned(), host: None }.status(), status, "{text}");
        }
        assert_eq!(Reply::ours("5.1.2", "No such domain").to_string(), "550 5.1.2 No such domain");
    }
}
