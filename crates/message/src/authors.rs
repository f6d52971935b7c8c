//! Whom a mail is from, read as it is shown: before it is known what else is in it.

use types::Address;

use crate::{MAX_ADDRESSES, address, header::Header};

/// The addresses of each From field. A mail has one such field (RFC 5322 §3.6); what has several wants to be read
/// differently by different programs.
#[must_use]
pub fn authors(raw: &[u8]) -> Vec<Vec<Address>> {
    let header = Header::scan(raw, 0, |_| false);
    let fields = header.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("from"));
    fields.map(|field| address::parse(field.value, MAX_ADDRESSES).decoded()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
