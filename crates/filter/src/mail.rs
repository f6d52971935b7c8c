//! What is known of a mail at the door.

use std::net::IpAddr;

use bytes::Bytes;
use types::EmailAddress;

/// A mail and its envelope (RFC 5321 §2.3.1).
#[derive(Debug, Clone)]
pub struct Mail {
    pub client: IpAddr,
    /// What the client called itself: a domain or an address literal.
    pub hello: Option<String>,
    /// `None`: the null reverse-path.
    pub sender: Option<EmailAddress>,
    pub recipients: Vec<EmailAddress>,
    /// Exactly as it came, without trace headers of ours.
    pub raw: Bytes,
    /// From 0 to 99, chosen at random: policies that are for a part of all mails are for those below their percentage.
    pub sample: u8,
}

impl Mail {
    /// The header with its final empty line, and the body.
    #[must_use]
    pub fn split(&self) -> (&[u8], &[u8]) {
        split(&self.raw)
    }
}

/// Where the header ends; a mail without an empty line is all header.
pub(crate) fn split(raw: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', raw) {
        if matches!(raw.get(start..end), Some(b"" | b"\r")) {
            return raw.split_at_checked(end + 1).unwrap_or((raw, &[]));
        }
        start = end + 1;
    }
    (raw, &[])
}
