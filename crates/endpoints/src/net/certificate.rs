//! Whom a client's certificate names (RFC 5280 §4.2.1.6: `subjectAltName`, `rfc822Name`), and until when. That it is to
//! be believed was decided before, in the handshake.

use mail::Certificate;
use rustls::pki_types::CertificateDer;
use types::Timestamp;

/// What is in it; `None`: that cannot be read.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Certificate> {
    let fields = fields(certificate)?;
    let addresses = fields.extensions.map(names).unwrap_or_default();
    Some(Certificate { addresses, not_after: not_after(fields.validity)? })
}

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]` and `[3]` of TBSCertificate, `[1]` of GeneralName.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const RFC822_NAME: u8 = 0x81;
/// `id-ce-subjectAltName`, 2.5.29.17
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What lies within `Validity` and `Extensions`.
struct Fields<'a> {
    validity: &'a [u8],
    extensions: Option<&'a [u8]>,
}

/// RFC 5280 §4.1: version, serial, algorithm, issuer, validity, subject, key, and then extensions.
fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let whole = Element::first(certificate)?.of(SEQUENCE)?;
    let elements = Element::all(Element::first(whole)?.of(SEQUENCE)?);
    let mut elements = elements.skip_while(|element| element.tag == VERSION);
    let validity = elements.nth(3)?.of(SEQUENCE)?;
    let extensions = elements.find_map(|element| element.of(EXTENSIONS));
    let extensions = extensions.and_then(|extensions| Element::first(extensions)?.of(SEQUENCE));
    Some(Fields { validity, extensions })
}

/// RFC 5280 §4.1.2.5: the second time, `YYMMDDHHMMSSZ` from 1950 to 2049, or with four digits for the year.
fn not_after(validity: &[u8]) -> Option<Timestamp> {
    let end = Element::all(validity).nth(1)?;
    let text = str::from_utf8(end.content).ok()?;
    let text = match end.tag {
        UTC_TIME if text < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let (date, time) = (text.get(..8)?, text.get(8..)?);
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}").parse().ok()
}

/// The names in the first extension that has names.
fn names(extensions: &[u8]) -> Vec<String> {
    let names = |extension: Element<'_>| extension.of(SEQUENCE).and_then(alternative_names);
    Element::all(extensions).find_map(names).unwrap_or_default()
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
    let names = Element::all(Element::first(value.of(OCTET_STRING)?)?.of(SEQUENCE)?);
    let address = |name: Element<'_>| str::from_utf8(name.of(RFC822_NAME)?).ok().map(str::to_owned);
    Some(names.filter_map(address).collect())
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

    /// As many as there are, one after the other.
    fn all(bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        let mut rest = bytes;
        std::iter::from_fn(move || {
            let element = Self::first(rest)?;
            rest = element.rest;
            Some(element)
        })
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

    fn addresses(certificate: &CertificateDer<'_>) -> Vec<String> {
        read(certificate).unwrap().addresses
    }

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

    #[test]
    fn it_ends_when_it_says() {
        for (year, month, day) in [(2049, 12, 31), (2050, 1, 1), (1999, 1, 2), (9999, 12, 31)] {
            let mut params = CertificateParams::default();
            params.not_after = rcgen::date_time_ymd(year, month, day);
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let wanted = format!("{year}-{month:02}-{day:02}T00:00:00Z").parse().unwrap();
            assert_eq!(read(made.der()).unwrap().not_after, wanted);
        }
    }

    proptest! {
        #[test]
        fn anything_may_come(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..400,
            at in 0_usize..400,
        ) {
            read(&CertificateDer::from(bytes.clone()));
            let name = SanType::Rfc822Name("a@b.test".try_into().unwrap());
            let mut whole = made(vec![name]).to_vec();
            if let (Some(byte), Some(with)) = (whole.get_mut(at), bytes.first()) {
                *byte = *with;
            }
            whole.truncate(cut);
            read(&CertificateDer::from(whole));
        }
    }
}
