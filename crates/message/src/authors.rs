//! Whom a mail is from, read as it is shown: before it is known what else is in it.

use types::Address;

use crate::{MAX_ADDRESSES, Malformed, address, header::Header, mailboxes};

/// The addresses of each From field. A mail has one such field (RFC 5322 §3.6); what has several wants to be read
/// differently by different programs.
#[must_use]
pub fn authors(raw: &[u8]) -> Vec<Vec<Address>> {
    let header = Header::scan(raw, 0, |_| false);
    let fields = header.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("from"));
    fields.map(|field| address::parse(field.value, MAX_ADDRESSES).decoded()).collect()
}

/// Who a mail says has written it, and who has sent it: the addresses in all its fields of these names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Authorship {
    pub authors: Vec<String>,
    pub senders: Vec<String>,
}

/// A field that does not name mailboxes as it must (RFC 5322 §3.6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field {field} is no list of mailboxes (RFC 5322): {why}")]
pub struct NoMailboxes {
    pub field: &'static str,
    pub why: Malformed,
}

/// The same where it matters that every program reads it so.
pub fn authorship(raw: &[u8]) -> Result<Authorship, NoMailboxes> {
    let header = Header::scan(raw, 0, |_| false);
    let named = |field: &'static str| {
        let mut all = Vec::new();
        for one in header.fields.iter().filter(|one| one.name.eq_ignore_ascii_case(field)) {
            let room = MAX_ADDRESSES.saturating_sub(all.len());
            all.extend(mailboxes::parse(one.value, room).map_err(|why| NoMailboxes { field, why })?);
        }
        Ok(all)
    };
    Ok(Authorship { authors: named("From")?, senders: named("Sender")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_fields_are_read_by_their_grammar() {
        let read = |mail: &str| authorship(mail.as_bytes());
        let found = read("from: A. B <a@x.test>, b@y.test\r\nSender: <c@z.test>\r\nFrom: d@x.test\r\n\r\n");
        let found = found.unwrap();
        assert_eq!(found.authors, ["a@x.test", "b@y.test", "d@x.test"]);
        assert_eq!(found.senders, ["c@z.test"]);
        assert_eq!(read("Subject: x\r\n\r\n"), Ok(Authorship::default()));
        let refused = read("From: a@x.test\r\nSender: b@y.test <a@x.test>\r\n\r\n").unwrap_err().to_string();
        assert_eq!(
            refused,
            "the field Sender is no list of mailboxes (RFC 5322): a name with @ or < in it is to be in quotes"
        );
    }

    #[test]
    fn every_from_field_is_told() {
        let check = |mail: &str, wanted: &[&[&str]]| {
            let found = authors(mail.as_bytes());
            let found: Vec<Vec<_>> = found
                .iter()
                .map(|field| field.iter().map(|author| author.email.as_str()).collect())
                .collect();
            assert_eq!(found, wanted, "{mail:?}");
        };
        check("From: A <a@x.test>\r\n\r\n", &[&["a@x.test"]]);
        check("From: \"b@y.test\" <a@x.test>\r\n\r\n", &[&["a@x.test"]]);
        check("from : a@x.test,\r\n b@y.test\r\n\r\nFrom: c@z.test\r\n", &[&["a@x.test", "b@y.test"]]);
        check("From: a@x.test\r\nFROM: b@y.test\r\n\r\n", &[&["a@x.test"], &["b@y.test"]]);
        check("Subject: x\r\n\r\n", &[]);
    }
}
