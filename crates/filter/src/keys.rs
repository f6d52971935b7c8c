//! Keys of our own: made without a network, told to the world as a TXT record (RFC 6376 §3.6.1, RFC 8463).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rsa::rand_core::{self, CryptoRng, RngCore};
use types::DkimAlgorithm;

/// A fresh key pair.
pub struct KeyPair {
    pub algorithm: DkimAlgorithm,
    /// PKCS #8. Never shown and never logged.
    pub private: Vec<u8>,
    /// As the record has it: SubjectPublicKeyInfo for RSA, the bare key for Ed25519.
    pub public: Vec<u8>,
}

/// The key cannot be made or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {0} key cannot be made or read")]
pub struct Unusable(pub DkimAlgorithm);

const RSA_BITS: usize = 2_048;
/// RFC 8410 §7: what comes before the 32 bytes of a private key.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Makes a key from random bytes that `fill` gives. An RSA key takes a while.
pub fn generate(algorithm: DkimAlgorithm, fill: &mut dyn FnMut(&mut [u8])) -> Result<KeyPair, Unusable> {
    let (private, public) = match algorithm {
        DkimAlgorithm::Rsa => rsa(fill),
        DkimAlgorithm::Ed25519 => ed25519(fill),
    }
    .ok_or(Unusable(algorithm))?;
    Ok(KeyPair { algorithm, private, public })
}

fn rsa(fill: &mut dyn FnMut(&mut [u8])) -> Option<(Vec<u8>, Vec<u8>)> {
    let key = RsaPrivateKey::new(&mut Fill(fill), RSA_BITS).ok()?;
    let private = key.to_pkcs8_der().ok()?.as_bytes().to_vec();
    let public = key.to_public_key().to_public_key_der().ok()?.into_vec();
    Some((private, public))
}

fn ed25519(fill: &mut dyn FnMut(&mut [u8])) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut seed = [0; 32];
    fill(&mut seed);
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
    Some(([&ED25519_PKCS8[..], &seed].concat(), key.public_key().as_ref().to_vec()))
}

/// The text of the TXT record.
#[must_use]
pub fn record(algorithm: DkimAlgorithm, public: &[u8]) -> String {
    format!("v=DKIM1; k={}; p={}", algorithm.name(), STANDARD.encode(public))
}

/// Whether a published record says this key, however it is written. Under another type nobody can use it.
#[must_use]
pub fn publishes(text: &str, algorithm: DkimAlgorithm, public: &[u8]) -> bool {
    let tag = |name: &str| {
        let tags = text.split(';').filter_map(|tag| tag.split_once('='));
        tags.filter(|(found, _)| found.trim() == name).map(|(_, value)| value).next()
    };
    // RFC 6376 §3.6.1: what says no type is RSA.
    let kind = tag("k").map_or(DkimAlgorithm::Rsa.name(), str::trim);
    if !kind.eq_ignore_ascii_case(algorithm.name()) {
        return false;
    }
    let Some(key) = tag("p") else { return false };
    let key: String = key.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(key).is_ok_and(|key| key == public)
}

/// Random bytes as `rsa` wants them.
struct Fill<'a>(&'a mut dyn FnMut(&mut [u8]));

impl RngCore for Fill<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        (self.0)(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        (self.0)(bytes);
        Ok(())
    }
}

impl CryptoRng for Fill<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_recognised_however_they_are_written() {
        let public = [1_u8; 32];
        let text = record(DkimAlgorithm::Ed25519, &public);
        assert_eq!(text, "v=DKIM1; k=ed25519; p=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
        let publishes = |text: &str, public: &[u8]| publishes(text, DkimAlgorithm::Ed25519, public);
        assert!(publishes(&text, &public));
        assert!(publishes("k=ed25519;p = AQEBAQEBAQEBAQEBAQEB AQEBAQEBAQEBAQEBAQEBAQE= ; v=DKIM1", &public));
        assert!(!publishes("v=DKIM1; p=", &public), "revoked");
        assert!(!publishes(&text, &[2; 32]));
        let key = "p=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        for (kind, is_ed25519, is_rsa) in [
            ("k=rsa; ", false, true),
            ("", false, true),
            ("k = Ed25519 ;", true, false),
            ("k=dsa; ", false, false),
        ] {
            let text = format!("v=DKIM1; {kind}{key}");
            assert_eq!(publishes(&text, &public), is_ed25519, "{text}");
            assert_eq!(super::publishes(&text, DkimAlgorithm::Rsa, &public), is_rsa, "{text}");
        }
    }
}
