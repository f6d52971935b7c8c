//! RFC 5321 §4.1.2: where mail comes from and goes to.

use std::fmt;

use types::EmailAddress;

/// `Reverse-path`: whom to tell when delivery fails; `<>` for mail that nobody is told of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    Null,
    Mailbox(EmailAddress),
}

impl ReversePath {
    /// The address, if it is not null.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&EmailAddress> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }
}

/// `Forward-path`: a recipient. `<Postmaster>` alone means the one of the server itself (RFC 5321 §4.5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    Postmaster,
    Mailbox(EmailAddress),
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

/// Splits `<path>` off the front: what stands between the brackets, without a source route
/// (RFC 5321 appendix C: to be accepted and ignored), and what follows.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inner.bytes().position(|byte| {
        let end = byte == b'>' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        end
    })?;
    let (path, rest) = (inner.get(..end)?, inner.get(end + 1..)?);
    let path = match path.strip_prefix('@') {
        Some(route) => route.split_once(':')?.1,
        None => path,
    };
    Some((path, rest))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn brackets_quotes_and_routes() {
        for (text, wanted) in [
            ("<a@b> SIZE=1", Some(("a@b", " SIZE=1"))),
            ("<>", Some(("", ""))),
            ("<\"a>\\\"b\"@c>x", Some(("\"a>\\\"b\"@c", "x"))),
            ("<@one,@two:a@b>", Some(("a@b", ""))),
            ("<@one>", None),
            ("a@b", None),
            ("<a@b", None),
            ("<\"a>@b", None),
        ] {
            assert_eq!(split(text), wanted, "{text}");
        }
    }
}
