//! RFC 5802 §3 and RFC 5803: what a server keeps of a password, so that it can tell who knows it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// The keys of one password for SCRAM-SHA-256. Whoever has them can try passwords, but cannot log in with them.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: NonZeroU32,
    pub(crate) stored_key: [u8; 32],
    pub(crate) server_key: [u8; 32],
}

/// A text that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the keys of SCRAM-SHA-256")]
pub struct InvalidKeys;

impl Keys {
    /// Takes as long as `iterations` say, on purpose.
    #[must_use]
    pub fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let password = prepared(password);
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        let stored_key = hash(&sign(&salted, &[b"Client Key"]));
        let server_key = sign(&salted, &[b"Server Key"]);
        Self { salt: salt.to_vec(), iterations, stored_key, server_key }
    }

    /// For whom there are none: always the same for the same name, so that nobody learns by asking who is here, and
    /// no password fits.
    #[must_use]
    pub fn of_nobody(secret: &[u8; 32], name: &str, iterations: NonZeroU32) -> Self {
        let part = |what: &[u8]| sign(secret, &[what, b"\0", name.as_bytes()]);
        let salt = part(b"salt").get(..Self::SALT_BYTES).unwrap_or_default().to_vec();
        Self { salt, iterations, stored_key: part(b"stored"), server_key: part(b"server") }
    }

    /// Bytes of a fresh salt.
    pub const SALT_BYTES: usize = 16;

    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    #[must_use]
    pub const fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }
}

/// RFC 5802 §2.2: SASLprep. What it forbids stays as it is: such passwords exist, and must go on to work.
fn prepared(password: &str) -> std::borrow::Cow<'_, str> {
    stringprep::saslprep(password).unwrap_or(std::borrow::Cow::Borrowed(password))
}

pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

pub(crate) fn sign(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().try_into().unwrap_or_default()
}

impl fmt::Display for Keys {
    /// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`, as other programs keep them too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        write!(f, "SCRAM-SHA-256${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for Keys {
    type Err = InvalidKeys;

    fn from_str(text: &str) -> Result<Self, InvalidKeys> {
        let read = || {
            let rest = text.strip_prefix("SCRAM-SHA-256$")?;
            let (cost, keys) = rest.split_once('$')?;
            let ((iterations, salt), (stored, server)) = (cost.split_once(':')?, keys.split_once(':')?);
            let key = |text: &str| STANDARD.decode(text).ok()?.try_into().ok();
            Some(Self {
                salt: STANDARD.decode(salt).ok()?,
                iterations: iterations.parse().ok()?,
                stored_key: key(stored)?,
                server_key: key(server)?,
            })
        };
        read().ok_or(InvalidKeys)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: NonZeroU32 = NonZeroU32::new(4_096).unwrap();

    #[test]
    fn keys_are_kept_as_text() {
        let keys = Keys::derive("pencil", b"0123456789abcdef", COST);
        assert_eq!(keys.to_string().parse(), Ok(keys.clone()));
        assert!(!format!("{keys:?}").contains("stored"));
        for wrong in [
            "",
            "SCRAM-SHA-1$1:YQ==$YQ==:YQ==",
            "SCRAM-SHA-256$0:YQ==$YQ==:YQ==",
            "SCRAM-SHA-256$1:YQ==$YQ==",
        ] {
            assert_eq!(wrong.parse::<Keys>(), Err(InvalidKeys), "{wrong}");
        }
    }

    #[test]
    fn nobody_has_the_same_keys_every_time() {
        let keys = |name| Keys::of_nobody(&[7; 32], name, COST);
        assert_eq!(keys("a@b.c"), keys("a@b.c"));
        assert_ne!(keys("a@b.c").salt, keys("d@b.c").salt);
        assert_eq!(keys("a@b.c").salt.len(), Keys::SALT_BYTES);
    }

    #[test]
    fn spellings_of_a_password_are_one() {
        let key = |password| Keys::derive(password, b"salt", NonZeroU32::MIN);
        assert_eq!(key("\u{212b}"), key("\u{c5}"));
        assert_eq!(key("a\u{a0}b"), key("a b"));
        assert_ne!(key("a\u{7}b"), key("ab"));
    }
}
