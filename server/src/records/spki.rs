//! The public key within a certificate, as TLSA records name it (RFC 6698 §2.1.2).

use rustls::pki_types::CertificateDer;

/// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal. None if this is no certificate.
pub(crate) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    // RFC 5280 §4.1: version (if it is told), serial, algorithm, issuer, validity, subject, key.
    if rest.first() == Some(&EXPLICIT_VERSION) {
        rest = element(rest)?.2;
    }
    for _ in 0..5 {
        rest = element(rest)?.2;
    }
    let (key, _, _) = element(rest)?;
    Some(sha256(key))
}

const EXPLICIT_VERSION: u8 = 0xa0;

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first DER element, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = usize::from(*bytes.get(1)?);
    let (header, length) = if first < 0x80 {
        (2, first)
    } else {
        let count = first - 0x80;
        let digits = bytes.get(2..2 + count).filter(|digits| digits.len() <= 4)?;
        (2 + count, digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)))
    };
    let end = header.checked_add(length)?;
    Some((bytes.get(..end)?, bytes.get(header..end)?, bytes.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_certificate_is_found() {
        let made = rcgen::generate_simple_self_signed(["mx.test".to_owned()]).unwrap();
        let found = of_certificate(made.cert.der()).unwrap();
        use rcgen::PublicKeyData as _;
        assert_eq!(found, sha256(&made.signing_key.subject_public_key_info()));
        assert_eq!(of_certificate(&CertificateDer::from(vec![0x30, 0x82])), None);
        assert_eq!(of_certificate(&CertificateDer::from(Vec::new())), None);
    }
}
