//! Whom a client's certificate names (RFC 5280 §4.2.1.6: `subjectAltName`, `rfc822Name`). That it is to be believed was
//! decided before, in the handshake.

use rustls::pki_types::CertificateDer;

/// The addresses in it.
pub(super) fn addresses(certificate: &CertificateDer<'_>) -> Vec<String> {
    extensions(certificate).map(names).unwrap_or_default()
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `[3]` of TBSCertificate, `[1]` of GeneralName.
const EXTENSIONS: u8 = 0xa3;
const RFC822_NAME: u8 = 0x81;
/// `id-ce-subjectAltName`, 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What lies within `Extensions`. RFC 5280 §4.1: version, serial, algorithm, issuer, validity, subject, key, and then.
fn extensions(certificate: &[u8]) -> Option<&[u8]> {
    let whole = Element::first(certificate)?.of(SEQUENCE)?;
    let mut rest = Element::first(whole)?.of(SEQUENCE)?;
    while let Some(element) = Element::first(rest) {
        if element.tag == EXTENSIONS {
            return Element::first(element.content)?.of(SEQUENCE);
        }
        rest = element.rest;
    }
    None
}

/// The names in the first extension that has names.
fn names(extensions: &[u8]) -> Vec<String> {
    let mut rest = extensions;
    while let Some(extension) = Element::first(rest) {
        if let Some(names) = extension.of(SEQUENCE).and_then(alternative_names) {
            return names;
        }
        rest = extension.rest;
    }
    Vec::new()
}

/// `None`: it is another extension.
fn alternative_names(extension: &[u8]) -> Option<Vec<String>> {
    let identifier = Element::first(extension)?;
    if identifier.of(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
        return None;
    }
    // Whether it is critical may stand in between.
    let mut value = Element::first(identifier.rest)?;
    if value.tag != OCTET_STRING {
        value = Element::first(value.rest)?;
    }
    let mut rest = Element::first(value.of(OCTET_STRING)?)?.of(SEQUENCE)?;
    let mut names = Vec::new();
    while let Some(name) = Element::first(rest) {
        if let Some(Ok(address)) = name.of(RFC822_NAME).map(str::from_utf8) {
            names.push(address.to_owned());
        }
        rest = name.rest;
    }
    Some(names)
}

/// A DER element.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        let [tag, first, ..] = bytes else { return None };
        let first = usize::from(*first);
        let (header, length) = if first < 0x80 {
            (2, first)
        } else {
            let count = first - 0x80;
            let digits = bytes.get(2..2 + count).filter(|digits| (1..=4).contains(&digits.len()))?;
            (2 + count, digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
        };
        let end = header.checked_add(length)?;
        Some(Self { tag: *tag, content: bytes.get(header..end)?, rest: bytes.get(end..)? })
    }

    /// What is in it, if it is of this kind.
    fn of(&self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn made(names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn addresses_are_found_among_other_names() {
        let address = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
        let host = SanType::DnsName("mx.test".try_into().unwrap());
        assert_eq!(
            addresses(&made(vec![host.clone(), address("a@b.test"), address("c@d.test")])),
            ["a@b.test", "c@d.test"]
        );
        assert_eq!(addresses(&made(vec![host])), [""; 0]);
        assert_eq!(addresses(&made(Vec::new())), [""; 0]);
    }

    proptest! {
        #[test]
        fn anything_may_come(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..400,
            at in 0_usize..400,
        ) {
            addresses(&CertificateDer::from(bytes.clone()));
            let name = SanType::Rfc822Name("a@b.test".try_into().unwrap());
            let mut whole = made(vec![name]).to_vec();
            if let (Some(byte), Some(with)) = (whole.get_mut(at), bytes.first()) {
                *byte = *with;
            }
            whole.truncate(cut);
            addresses(&CertificateDer::from(whole));
        }
    }
}
