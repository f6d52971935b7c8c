//! DKIM (RFC 6376, 8301, 8463): which signatures hold, and which of those are worth anything.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::FutureExt as _;
use mail_auth::common::crypto::Algorithm;
use mail_auth::common::headers::Header;
use mail_auth::dkim::Signature;
use mail_auth::{AuthenticatedMessage, DkimOutput, DkimResult, DnsError, Error, MessageAuthenticator};
use tokio::time::timeout;

use crate::mail::split;
use crate::results::{fields, is_named};
use crate::{AuthResult, Outcome};

/// Further signatures are not looked at: each costs a question to DNS and a hash of the body.
pub(crate) const MAX_SIGNATURES: usize = 8;
/// Nobody signs so many fields.
const MAX_NAMES: usize = 300;
/// RFC 8301 §3.2: shorter RSA keys are worth nothing. The signature is as long as its key.
pub(crate) const MIN_RSA_BYTES: usize = 1_024 / 8;

/// What of a mail is read: its bytes, but for signatures beyond the first few.
pub(crate) struct Readable {
    pub(crate) raw: Bytes,
    /// Signatures over a part of the body each take a hash of their own, so they are read only where there are few.
    strict: bool,
}

impl Readable {
    pub(crate) fn of(raw: &Bytes) -> Self {
        let (header, _) = split(raw);
        let (mut seals, mut cut) = (0, Vec::new());
        let mut signatures = 0;
        for field in fields(header) {
            let bytes = header.get(field.clone()).unwrap_or_default();
            if is_named(bytes, "DKIM-Signature") {
                signatures += 1;
                if signatures > MAX_SIGNATURES || signs_too_much(bytes) {
                    cut.push(field);
                }
            } else if is_named(bytes, "ARC-Message-Signature") {
                seals += 1;
                if signs_too_much(bytes) {
                    cut.push(field);
                }
            }
        }
        Self { raw: without(raw, cut), strict: signatures + seals > MAX_SIGNATURES }
    }

    /// `None` if it has no header at all.
    pub(crate) fn message(&self) -> Option<AuthenticatedMessage<'_>> {
        AuthenticatedMessage::parse_with_opts(&self.raw, None, self.strict)
    }
}

/// Each name in `h=` is looked for in the whole header.
fn signs_too_much(field: &[u8]) -> bool {
    memchr::memchr_iter(b':', field).count() > MAX_NAMES
}

/// The same bytes, if there is nothing to cut.
fn without(raw: &Bytes, cut: Vec<Range<usize>>) -> Bytes {
    if cut.is_empty() {
        return raw.clone();
    }
    let mut kept = BytesMut::with_capacity(raw.len());
    let mut at = 0;
    for field in cut {
        kept.put_slice(raw.get(at..field.start).unwrap_or_default());
        at = field.end;
    }
    kept.put_slice(raw.get(at..).unwrap_or_default());
    kept.freeze()
}

/// The mail once for each of its signatures.
pub(crate) fn each<'x>(message: &AuthenticatedMessage<'x>) -> Vec<AuthenticatedMessage<'x>> {
    let one = |signature: &Header<'x, Signature>| AuthenticatedMessage {
        dkim_headers: vec![signature.clone()],
        errors: Vec::new(),
        ..message.clone()
    };
    message.dkim_headers.iter().map(one).collect()
}

/// Verifies the only signature.
pub(crate) async fn verify<'x>(
    authenticator: &MessageAuthenticator,
    message: &'x AuthenticatedMessage<'x>,
    within: Duration,
) -> Option<DkimOutput<'x>> {
    let signature = &message.dkim_headers.first()?.header;
    let verifying = AssertUnwindSafe(authenticator.verify_dkim(message)).catch_unwind();
    match timeout(within, verifying).await {
        Ok(Ok(outputs)) => outputs.into_iter().next(),
        Ok(Err(_)) => Some(DkimOutput::perm_err(Error::ParseError).with_signature(signature)),
        Err(_) => {
            let late = Error::Dns(DnsError::Resolver(String::new()));
            Some(DkimOutput::temp_err(late).with_signature(signature))
        }
    }
}

/// What is to be told of fields that are no signatures.
pub(crate) fn unreadable(message: &AuthenticatedMessage<'_>) -> Vec<AuthResult> {
    let errors = message.errors.iter().map(|field| &field.header);
    let of_dkim = errors.filter(|error| matches!(error, Error::Dkim(_)));
    of_dkim.map(|error| AuthResult::new("dkim", Outcome::Neutral).because(error.to_string())).collect()
}

/// What is to be told of a signature. Only those that are [`Outcome::Pass`] count.
pub(crate) fn result(output: &DkimOutput<'_>, body_bytes: usize) -> AuthResult {
    let (outcome, reason) = match output.result() {
        DkimResult::Pass => match output.signature().map(|signature| worth(signature, body_bytes)) {
            Some(Ok(())) => (Outcome::Pass, None),
            Some(Err((outcome, reason))) => (outcome, Some(reason.to_owned())),
            None => (Outcome::PermError, None),
        },
        DkimResult::Neutral(error) => (Outcome::Neutral, Some(error.to_string())),
        DkimResult::Fail(error) => (Outcome::Fail, Some(error.to_string())),
        DkimResult::PermError(error) => (Outcome::PermError, Some(error.to_string())),
        DkimResult::TempError(_) => (Outcome::TempError, None),
        DkimResult::None => (Outcome::None, None),
    };
    let mut result = AuthResult::new("dkim", outcome);
    result.reason = reason;
    if let Some(signature) = output.signature() {
        result = result.with("header.d", &*signature.d).with("header.s", &*signature.s);
        if let Some(start) = signature.b.get(..6) {
            result = result.with("header.b", STANDARD.encode(start));
        }
    }
    result
}

/// What makes a signature that holds worthless all the same.
fn worth(signature: &Signature, body_bytes: usize) -> Result<(), (Outcome, &'static str)> {
    match signature.a {
        // RFC 8301 §3.1.
        Algorithm::RsaSha1 => return Err((Outcome::Policy, "rsa-sha1 is not secure")),
        Algorithm::RsaSha256 if signature.b.len() < MIN_RSA_BYTES => {
            return Err((Outcome::Policy, "the key has less than 1024 bits"));
        }
        Algorithm::RsaSha256 | Algorithm::Ed25519Sha256 => {}
    }
    // RFC 6376 §6.1.1.
    if !signature.h.iter().any(|name| name.trim().eq_ignore_ascii_case("from")) {
        return Err((Outcome::PermError, "From is not signed"));
    }
    // RFC 6376 §8.2: anybody may add to what is behind the signed part.
    if signature.l > 0 && signature.l < body_bytes as u64 {
        return Err((Outcome::Policy, "only a part of the body is signed"));
    }
    Ok(())
}

/// Whether it may count for DMARC: it holds and is worth something, or it might once DNS answers.
pub(crate) fn counts(output: &DkimOutput<'_>, body_bytes: usize) -> bool {
    match output.result() {
        DkimResult::Pass => output.signature().is_some_and(|signature| worth(signature, body_bytes).is_ok()),
        DkimResult::TempError(_) => true,
        DkimResult::Neutral(_) | DkimResult::Fail(_) | DkimResult::PermError(_) | DkimResult::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_signs_too_many_fields_is_not_read() {
        let mail = |names: usize, field: &str| {
            let signed = ":x".repeat(names - 1);
            Bytes::from(format!("{field}: v=1; h=From{signed}; b=AAAA\r\nFrom: a@b.test\r\n\r\nHello\r\n"))
        };
        for field in ["DKIM-Signature", "ARC-Message-Signature"] {
            let most = mail(MAX_NAMES, field);
            assert_eq!(Readable::of(&most).raw, most, "{field}");
            let too_many = mail(MAX_NAMES + 1, field);
            assert_eq!(Readable::of(&too_many).raw, "From: a@b.test\r\n\r\nHello\r\n", "{field}");
        }
        let others = mail(MAX_NAMES + 1, "X-Signature");
        assert_eq!(Readable::of(&others).raw, others);
    }
}
