//! How large a mail may be, as the command line says it.

use std::{fmt, str::FromStr};

use crate::config::Size;

/// A size, or none of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageLimit(pub(super) Option<u64>);

impl FromStr for MessageLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            size => Ok(Self(Some(size.parse::<Size>()?.0))),
        }
    }
}

impl fmt::Display for MessageLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "at most {bytes} bytes"),
            None => f.write_str("as many bytes as everybody's"),
        }
    }
}
