//! DANE for SMTP (RFC 7672): which certificate a host must show, by its TLSA records.

use types::address::fold;

/// The usable TLSA records of a host, and the names that its certificate may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    pub records: Vec<Tlsa>,
    /// For [`Usage::TrustAnchor`]: the host's name and the names that led to it, RFC 7672 §3.2.2.
    pub names: Vec<String>,
}

/// A TLSA record that mail servers use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tlsa {
    pub usage: Usage,
    pub selector: Selector,
    pub matching: Matching,
    pub data: Vec<u8>,
}

/// RFC 7672 §3.1: the others are of no use between mail servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// DANE-TA(2).
    TrustAnchor,
    /// DANE-EE(3).
    EndEntity,
}

/// RFC 6698 §2.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Selector {
    Certificate,
    PublicKey,
}

/// RFC 6698 §2.1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matching {
    Full,
    Sha256,
    Sha512,
}

impl Tlsa {
    /// The record of these numbers, if it is of use.
    #[must_use]
    pub fn new(usage: u8, selector: u8, matching: u8, data: &[u8]) -> Option<Self> {
        let usage = match usage {
            2 => Usage::TrustAnchor,
            3 => Usage::EndEntity,
            _ => return None,
        };
        let selector = match selector {
            0 => Selector::Certificate,
            1 => Selector::PublicKey,
            _ => return None,
        };
        let (matching, length) = match matching {
            0 => (Matching::Full, data.len().max(1)),
            1 => (Matching::Sha256, 32),
            2 => (Matching::Sha512, 64),
            _ => return None,
        };
        (data.len() == length).then(|| Self { usage, selector, matching, data: data.to_vec() })
    }

    /// Whether it names this certificate, with this public key (both in DER).
    #[must_use]
    pub fn names(&self, certificate: &[u8], public_key: &[u8]) -> bool {
        use sha2::{Digest as _, Sha256, Sha512};
        let selected = match self.selector {
            Selector::Certificate => certificate,
            Selector::PublicKey => public_key,
        };
        match self.matching {
            Matching::Full => self.data == selected,
            Matching::Sha256 => self.data == Sha256::digest(selected).as_slice(),
            Matching::Sha512 => self.data == Sha512::digest(selected).as_slice(),
        }
    }
}

impl std::fmt::Display for Tlsa {
    /// As in a zone file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let usage = match self.usage {
            Usage::TrustAnchor => 2,
            Usage::EndEntity => 3,
        };
        let selector = match self.selector {
            Selector::Certificate => 0,
            Selector::PublicKey => 1,
        };
        let matching = match self.matching {
            Matching::Full => 0,
            Matching::Sha256 => 1,
            Matching::Sha512 => 2,
        };
        write!(f, "{usage} {selector} {matching} ")?;
        self.data.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl Pin {
    /// Of the host's usable records; `None` if there is none, and then TLS needs no more than to be there (§2.2).
    #[must_use]
    pub fn new(records: Vec<Tlsa>, names: &[&str]) -> Option<Self> {
        let names = names.iter().map(|name| fold(name.trim_end_matches('.'))).collect();
        (!records.is_empty()).then_some(Self { records, names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_use_are_used() {
        for (usage, selector, matching, length, of_use) in [
            (3, 1, 1, 32, true),
            (3, 0, 2, 64, true),
            (2, 0, 0, 700, true),
            (3, 1, 1, 31, false),
            (3, 1, 0, 0, false),
            (0, 1, 1, 32, false),
            (1, 1, 1, 32, false),
            (4, 1, 1, 32, false),
            (3, 2, 1, 32, false),
            (3, 1, 3, 32, false),
        ] {
            let found = Tlsa::new(usage, selector, matching, &vec![7; length]);
            assert_eq!(found.is_some(), of_use, "{usage} {selector} {matching}");
        }
    }

    #[test]
    fn a_record_names_what_it_was_made_of() {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::digest(b"key");
        let record = Tlsa::new(3, 1, 1, &hash).unwrap();
        assert!(record.names(b"certificate", b"key"));
        assert!(!record.names(b"key", b"other"));
        assert!(Tlsa::new(3, 0, 0, b"certificate").unwrap().names(b"certificate", b"key"));
    }
}
