//! SASL PLAIN (RFC 4616), as IMAP and POP3 carry it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sasl::{Exchange, Fault, Mechanism, Question, Step};
use types::Secret;

/// Padding is required by RFC 4648; some clients forget it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `[authzid] NUL authcid NUL passwd`, in Base64: the user and the password.
pub(crate) fn plain(response: &[u8]) -> Result<(String, Secret), Fault> {
    // RFC 4959 §3: an equals sign is an empty response.
    let response = if response == b"=" { b"" } else { response };
    let bytes = BASE64.decode(response).map_err(|_| Fault::Malformed)?;
    match Exchange::new(Mechanism::Plain, None).respond(&bytes) {
        Step::Ask(Question::Password { user, password }) => Ok((user, password)),
        Step::Failed(fault) => Err(fault),
        Step::Ask(_) | Step::Challenge(_) => Err(Fault::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_read() {
        let plain = |text: &str| {
            plain(BASE64.encode(text).as_bytes()).map(|(user, password)| (user, password.expose().clone()))
        };
        assert_eq!(plain("\0a\0b"), Ok(("a".into(), "b".into())));
        assert_eq!(plain("a\0a\0b"), Ok(("a".into(), "b".into())));
        assert_eq!(plain("x\0a\0b"), Err(Fault::AnotherName));
        assert_eq!(plain("a\0b"), Err(Fault::Malformed));
        assert_eq!(super::plain(b"="), Err(Fault::Malformed));
        assert_eq!(super::plain(b"!"), Err(Fault::Malformed));
    }
}
