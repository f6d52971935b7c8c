//! RFC 7628 OAUTHBEARER, and XOAUTH2: a token that somebody got elsewhere.
//!
//! ```text
//! oauthbearer = ("n" / "y") "," ["a=" saslname] "," kvsep *(key "=" value kvsep) kvsep
//! xoauth2     = "user=" user kvsep "auth=Bearer" SP token kvsep kvsep       ; kvsep = %x01
//! ```

use types::Secret;

use crate::exchange::{Fault, Question};

/// What is said before the failure itself, for programs (RFC 7628 §3.2.2).
pub(crate) const REFUSED: &str = r#"{"status":"invalid_token","schemes":"bearer","scope":"mail"}"#;

pub(crate) fn oauthbearer(text: &str) -> Result<Question, Fault> {
    let (header, pairs) = text.split_once('\u{1}').ok_or(Fault::Malformed)?;
    let mut parts = header.split(',');
    let (Some("n" | "y"), Some(authzid), Some(""), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::Malformed);
    };
    let user = match authzid {
        "" => None,
        name => {
            Some(name.strip_prefix("a=").ok_or(Fault::Malformed)?.replace("=2C", ",").replace("=3D", "="))
        }
    };
    Ok(Question::Token { user, token: token(pairs)? })
}

pub(crate) fn xoauth2(text: &str) -> Result<Question, Fault> {
    let (user, pairs) = text.split_once('\u{1}').ok_or(Fault::Malformed)?;
    let user = user.strip_prefix("user=").ok_or(Fault::Malformed)?;
    Ok(Question::Token { user: Some(user.to_owned()), token: token(pairs)? })
}

/// Of the pairs only this one matters.
fn token(pairs: &str) -> Result<Secret, Fault> {
    let pairs = pairs.strip_suffix("\u{1}\u{1}").ok_or(Fault::Malformed)?;
    let auth = pairs.split('\u{1}').find_map(|pair| pair.strip_prefix("auth=")).ok_or(Fault::Malformed)?;
    let (scheme, token) = auth.split_once(' ').ok_or(Fault::Malformed)?;
    let good = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty();
    if good { Ok(Secret::new(token.trim().to_owned())) } else { Err(Fault::Malformed) }
}
