//! URLs of messages and their parts on this server (RFC 5092 §4, §7), as CATENATE names them.

use super::command::MailboxName;
use super::fetch::{Partial, Section, SectionKind, read_section};

/// A message, or a piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// `None`: in the selected one.
    pub mailbox: Option<MailboxName>,
    pub uid_validity: Option<u32>,
    pub uid: u32,
    pub section: Section,
    pub partial: Option<Partial>,
}

impl Url {
    /// `["/" enc-mailbox [uidvalidity] "/"] ";UID=" nz-number ["/;SECTION=" enc-section] ["/;PARTIAL=" range]`
    ///
    /// `None`: it is none, or leads elsewhere.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let at = find(text, ";uid=")?;
        let (place, rest) = text.split_at_checked(at)?;
        let mut pieces = rest.get(";uid=".len()..)?.split('/');
        let uid = number(pieces.next()?)?;
        let (mut section, mut partial) = (Section { part: Vec::new(), kind: SectionKind::Whole }, None);
        for piece in pieces {
            if let Some(value) = after(piece, ";section=") {
                section = read_section(&decoded(value)?)?;
            } else if let Some(value) = after(piece, ";partial=") {
                partial = Some(range(value)?);
            } else {
                return None;
            }
        }
        let (mailbox, uid_validity) = mailbox(place)?;
        Some(Self { mailbox, uid_validity, uid, section, partial })
    }
}

fn mailbox(place: &str) -> Option<(Option<MailboxName>, Option<u32>)> {
    if place.is_empty() {
        return Some((None, None));
    }
    let place = place.strip_prefix('/')?.strip_suffix('/')?;
    let (name, validity) = match find(place, ";uidvalidity=") {
        Some(at) => (place.get(..at)?, Some(number(after(place.get(at..)?, ";uidvalidity=")?)?)),
        None => (place, None),
    };
    let name = decoded(name)?;
    (!name.is_empty()).then(|| (Some(MailboxName::new(name)), validity))
}

/// `partial-range = number ["." nz-number]`
fn range(value: &str) -> Option<Partial> {
    let (start, count) = match value.split_once('.') {
        Some((start, count)) => (start, count.parse().ok().filter(|count| *count > 0)?),
        None => (value, u64::MAX),
    };
    Some(Partial { start: start.parse().ok()?, count })
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number > 0)
}

/// Where a text is, in any case.
fn find(text: &str, wanted: &str) -> Option<usize> {
    text.to_ascii_lowercase().find(wanted)
}

fn after<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (begin, rest) = text.split_at_checked(prefix.len())?;
    begin.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// RFC 3986 §2.1
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        let digits = std::str::from_utf8(digits).ok()?;
        out.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
        rest = after;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_messages_and_pieces() {
        let read = |text: &str| Url::read(text).unwrap_or_else(|| panic!("{text}"));
        let url = read("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER");
        assert_eq!(url.mailbox, Some(MailboxName("Drafts".to_owned())));
        assert_eq!((url.uid_validity, url.uid, url.partial), (Some(385_759_045), 20, None));
        assert_eq!(url.section, Section { part: vec![], kind: SectionKind::Header });
        let url = read("/A%2Fb/%EA%B0%80/;uid=7/;SECTION=1.2.MIME/;PARTIAL=3.4");
        assert_eq!(url.mailbox, Some(MailboxName("A/b/가".to_owned())));
        assert_eq!(url.section, Section { part: vec![1, 2], kind: SectionKind::Mime });
        assert_eq!(url.partial, Some(Partial { start: 3, count: 4 }));
        let url = read(";UID=1/;SECTION=HEADER.FIELDS%20(Subject)");
        assert!(matches!(url.section.kind, SectionKind::HeaderFields { .. }) && url.mailbox.is_none());
    }

    #[test]
    fn what_leads_elsewhere_is_none() {
        for text in [
            "",
            "x",
            "imap://other.test/INBOX/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX;UID=1",
            "//;UID=1",
            "/INBOX/;UID=1/;SECTION=NONE",
            "/INBOX/;UID=1/;URLAUTH=anonymous",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/%F/;UID=1",
            "/%+1/;UID=1",
            "/%ff/;UID=1",
            "/INBOX;UIDVALIDITY=x/;UID=1",
        ] {
            assert_eq!(Url::read(text), None, "{text}");
        }
    }
}
