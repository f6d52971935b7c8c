//! DKIM signatures of our own (RFC 6376 §5, RFC 8463), with every key of the domain.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::PublicKey;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use types::{DkimAlgorithm, Timestamp};

use crate::canonical::{self, BodyHash};
use crate::keys::Unusable;
use crate::mail::split;
use crate::results::{fields, is_named};

/// A key that signs for a domain.
pub struct SigningKey {
    pub(crate) domain: String,
    pub(crate) selector: String,
    secret: Secret,
}

enum Secret {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// Fields that are signed as often as they are there and once more, so that nobody can add another (RFC 6376 §8.15).
const SEALED: [&str; 12] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];
/// Fields that are signed as often as they are there: lists add their own.
const SIGNED: [&str; 5] = ["Sender", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Autocrypt"];

impl SigningKey {
    /// Reads a private key (PKCS #8).
    pub fn load(
        algorithm: DkimAlgorithm,
        domain: &str,
        selector: &str,
        private: &[u8],
    ) -> Result<Self, Unusable> {
        let secret = match algorithm {
            DkimAlgorithm::Rsa => RsaKeyPair::from_pkcs8(private).map(|key| Secret::Rsa(Box::new(key))),
            DkimAlgorithm::Ed25519 => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).map(Secret::Ed25519)
            }
        };
        let secret = secret.map_err(|_| Unusable(algorithm))?;
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), secret })
    }

    #[must_use]
    pub const fn algorithm(&self) -> DkimAlgorithm {
        match &self.secret {
            Secret::Rsa(_) => DkimAlgorithm::Rsa,
            Secret::Ed25519(_) => DkimAlgorithm::Ed25519,
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-sha256", self.algorithm().name())
    }

    /// Signs the canonical text.
    pub(crate) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Unusable> {
        match &self.secret {
            Secret::Rsa(key) => {
                let mut signature = vec![0; PublicKey::modulus_len(key.public())];
                // The randomness hides the key from who measures; it is not in the signature.
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
                    .map_err(|_| Unusable(DkimAlgorithm::Rsa))?;
                Ok(signature)
            }
            // RFC 8463 §3: the hash is what is signed.
            Secret::Ed25519(key) => Ok(key.sign(digest(&SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }
}

/// What all signatures of a mail have in common.
pub(crate) struct Signable<'a> {
    header: &'a [u8],
    pub(crate) body_hash: String,
}

impl<'a> Signable<'a> {
    pub(crate) fn new(mail: &'a [u8]) -> Self {
        let (header, body) = split(mail);
        let mut hash = BodyHash::new();
        hash.push(body);
        Self { header, body_hash: STANDARD.encode(hash.finish()) }
    }

    /// The names for `h=`, and the canonical text of those that are there.
    pub(crate) fn fields(&self) -> (String, Vec<u8>) {
        let all: Vec<_> =
            fields(self.header).into_iter().filter_map(|range| self.header.get(range)).collect();
        let (mut names, mut text) = (Vec::new(), Vec::new());
        for (name, sealed) in
            SEALED.map(|name| (name, true)).into_iter().chain(SIGNED.map(|name| (name, false)))
        {
            // §5.4.2: several of one name from the bottom up.
            for field in all.iter().rev().filter(|field| is_named(field, name)) {
                canonical::field(field, &mut text);
                names.push(name);
            }
            if sealed {
                names.push(name);
            }
        }
        (folded(&names), text)
    }
}

/// A colon-separated list over several lines.
fn folded(names: &[&str]) -> String {
    let mut text = String::new();
    let mut column = 0;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push(':');
            column += 1;
            if column + name.len() > LINE {
                text.push_str("\r\n\t ");
                column = 0;
            }
        }
        text.push_str(name);
        column += name.len();
    }
    text
}

const LINE: usize = 66;

/// The field with its signature: `unsigned` ends with `b=`, over which it was made.
pub(crate) fn signed(mut unsigned: String, signature: &[u8]) -> String {
    let text = STANDARD.encode(signature);
    for (at, c) in text.chars().enumerate() {
        if at % LINE == 0 {
            unsigned.push_str("\r\n\t ");
        }
        unsigned.push(c);
    }
    unsigned.push_str("\r\n");
    unsigned
}

/// The canonical form of a field that is to carry a signature: without the final CRLF (§3.7).
pub(crate) fn unsigned_form(field: &str, text: &mut Vec<u8>) {
    canonical::field(field.as_bytes(), text);
    text.truncate(text.len().saturating_sub(2));
}

/// `DKIM-Signature` fields to put before the mail, one for each key.
pub fn sign(mail: &[u8], keys: &[SigningKey], now: Timestamp) -> Result<String, Unusable> {
    let signable = Signable::new(mail);
    let (names, text) = signable.fields();
    let mut headers = String::new();
    for key in keys {
        let unsigned = format!(
            "DKIM-Signature: v=1; a={}; c=relaxed/relaxed; d={};\r\n\ts={}; t={};\r\n\th={names};\r\n\tbh={};\r\n\tb=",
            key.name(),
            key.domain,
            key.selector,
            now.seconds(),
            signable.body_hash,
        );
        let mut text = text.clone();
        unsigned_form(&unsigned, &mut text);
        headers.push_str(&signed(unsigned, &key.sign(&text)?));
    }
    Ok(headers)
}
