//! RFC 5802 §7, RFC 7677: the messages of SCRAM-SHA-256, with RFC 9266 for binding to TLS.
//!
//! ```text
//! client-first = gs2-cbind-flag "," ["a=" saslname] "," "n=" saslname ",r=" c-nonce ["," extensions]
//! server-first = "r=" nonce ",s=" base64 ",i=" posit-number
//! client-final = "c=" base64 ",r=" nonce ["," extensions] ",p=" base64
//! server-final = "v=" base64
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use types::address::key_of;

use crate::exchange::Fault;
use crate::keys::{Keys, hash, sign};

/// What the connection below can be told by: the `tls-exporter` bytes of RFC 9266.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding(pub [u8; 32]);

const BINDING: &str = "tls-exporter";

/// What the client said first.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) user: String,
    /// The GS2 header, and what it says the channel is bound by.
    header: Vec<u8>,
    bare: String,
    nonce: String,
}

/// What the client's proof is held against.
#[derive(Debug)]
pub(crate) struct Awaited {
    keys: Vec<Keys>,
    /// `client-first-bare "," server-first ","`
    message: String,
    nonce: String,
    header: Vec<u8>,
}

impl First {
    /// `plus`: by the mechanism that binds. `binding`: of the connection, if it has one.
    pub(crate) fn read(text: &str, plus: bool, binding: Option<&Binding>) -> Result<Self, Fault> {
        let (flag, rest) = text.split_once(',').ok_or(Fault::Malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(Fault::Malformed)?;
        let header_length = text.len() - bare.len();
        let mut header = text.get(..header_length).unwrap_or_default().as_bytes().to_vec();
        match (flag, plus, binding) {
            ("n", false, _) | ("y", false, None) => {}
            // It could bind, and was made to think that we cannot.
            ("y", false, Some(_)) => return Err(Fault::Binding),
            (flag, true, Some(Binding(bytes))) => match flag.strip_prefix("p=") {
                Some(name) if name == BINDING => header.extend_from_slice(bytes),
                Some(_) => return Err(Fault::Binding),
                None => return Err(Fault::Malformed),
            },
            _ => return Err(Fault::Malformed),
        }
        let mut parts = bare.split(',');
        let user = parts.next().and_then(|part| part.strip_prefix("n=")).and_then(name);
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).filter(|nonce| is_nonce(nonce));
        let (Some(user), Some(nonce)) = (user, nonce) else { return Err(Fault::Malformed) };
        match authzid {
            "" => {}
            other => match other.strip_prefix("a=").and_then(name) {
                Some(other) if key_of(&other) == key_of(&user) => {}
                Some(_) => return Err(Fault::AnotherName),
                None => return Err(Fault::Malformed),
            },
        }
        Ok(Self { user, header, nonce: nonce.to_owned(), bare: bare.to_owned() })
    }

    /// Answers it: the server's first message, and what is awaited; `None` without keys. `nonce` is the server's own part.
    pub(crate) fn answer(self, keys: Vec<Keys>, nonce: &str) -> Option<(String, Awaited)> {
        let Keys { salt, iterations, .. } = keys.first()?;
        let nonce = format!("{}{nonce}", self.nonce);
        let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        let message = format!("{},{server_first},", self.bare);
        Some((server_first, Awaited { keys, message, nonce, header: self.header }))
    }
}

impl Awaited {
    /// Checks the client's last message; gives the index of the keys that it proves, and the server's message.
    pub(crate) fn check(self, text: &str) -> Result<(usize, String), Fault> {
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(Fault::Malformed)?;
        let mut parts = without_proof.split(',');
        let header = parts.next().and_then(|part| part.strip_prefix("c=")).ok_or(Fault::Malformed)?;
        let nonce = parts.next().and_then(|part| part.strip_prefix("r=")).ok_or(Fault::Malformed)?;
        if STANDARD.decode(header).map_err(|_| Fault::Malformed)? != self.header {
            return Err(Fault::Binding);
        }
        if nonce != self.nonce {
            return Err(Fault::Malformed);
        }
        let proof: [u8; 32] =
            STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(Fault::Malformed)?;
        let message = [self.message.as_bytes(), without_proof.as_bytes()];
        let is_of = |keys: &Keys| {
            let mut client_key = proof;
            let signature = sign(&keys.stored_key, &message);
            client_key.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
            same(&hash(&client_key), &keys.stored_key)
        };
        let which = self.keys.iter().position(is_of).ok_or(Fault::Refused)?;
        let keys = self.keys.get(which).ok_or(Fault::Refused)?;
        Ok((which, format!("v={}", STANDARD.encode(sign(&keys.server_key, &message)))))
    }
}

/// Takes as long whatever differs.
fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |difference, (one, other)| difference | (one ^ other)) == 0
}

/// `saslname`: `=2C` stands for a comma and `=3D` for an equals sign.
fn name(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return None,
        };
        name.push(c);
        name.push_str(rest);
    }
    (!name.is_empty()).then_some(name)
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}
