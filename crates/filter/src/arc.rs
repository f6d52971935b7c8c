//! ARC (RFC 8617): what those who passed the mail on say of it, if the chain holds.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use mail_auth::common::crypto::Algorithm;
use mail_auth::{ArcOutput, AuthenticatedMessage, DkimResult, DnsError, Error, MessageAuthenticator};
use tokio::time::timeout;

use crate::dkim::MIN_RSA_BYTES;
use types::address::domain_key;

use crate::dns::to_a_labels;
use crate::{AuthResult, Outcome};

/// Verifies the chain.
pub(crate) async fn verify<'x>(
    authenticator: &MessageAuthenticator,
    message: &'x AuthenticatedMessage<'x>,
    within: Duration,
) -> ArcOutput<'x> {
    let verifying = AssertUnwindSafe(authenticator.verify_arc(message)).catch_unwind();
    let unknown = |result| ArcOutput::default().with_result(result);
    match timeout(within, verifying).await {
        Ok(Ok(output)) => output,
        Ok(Err(_)) => unknown(DkimResult::Fail(Error::ParseError)),
        Err(_) => unknown(DkimResult::TempError(Error::Dns(DnsError::Resolver(String::new())))),
    }
}

/// What is to be told of the chain; nothing if there is none.
pub(crate) fn result(output: &ArcOutput<'_>, body_bytes: usize) -> Option<AuthResult> {
    let (outcome, reason) = match output.result() {
        DkimResult::None => return None,
        DkimResult::Pass if is_weak(output, body_bytes) => {
            (Outcome::Policy, Some("a seal is weak".to_owned()))
        }
        DkimResult::Pass => (Outcome::Pass, None),
        DkimResult::TempError(_) => (Outcome::TempError, None),
        DkimResult::PermError(error) => (Outcome::PermError, Some(error.to_string())),
        // RFC 8617 §4.4 knows none, pass and fail.
        DkimResult::Neutral(error) | DkimResult::Fail(error) => (Outcome::Fail, Some(error.to_string())),
    };
    let mut result = AuthResult::new("arc", outcome);
    result.reason = reason;
    if let Some(last) = output.sets().last() {
        result = result.with("header.d", &*last.seal.header.d).with("header.s", &*last.seal.header.s);
    }
    Some(result)
}

/// Whether a chain that holds was made by trusted sealers only, and the first of them saw DMARC pass for this domain.
pub(crate) fn vouches(output: &ArcOutput<'_>, body_bytes: usize, trusted: &[String], author: &str) -> bool {
    let is_trusted = |sealer: &str| {
        let sealer = domain_key(sealer);
        trusted.iter().any(|domain| domain_key(domain) == sealer)
    };
    *output.result() == DkimResult::Pass
        && !is_weak(output, body_bytes)
        && output.sets().iter().all(|set| is_trusted(&set.seal.header.d))
        && output.sets().first().is_some_and(|set| saw_pass(set.results.value, author))
}

fn is_weak(output: &ArcOutput<'_>, body_bytes: usize) -> bool {
    let short = |algorithm, signature: &[u8]| match algorithm {
        Algorithm::RsaSha256 => signature.len() < MIN_RSA_BYTES,
        Algorithm::Ed25519Sha256 => false,
        Algorithm::RsaSha1 => true,
    };
    output.sets().iter().any(|set| {
        let (seal, signature) = (set.seal.header, set.signature.header);
        short(seal.a, &seal.b) || short(signature.a, &signature.b)
    }) || output.sets().last().is_some_and(|set| {
        let signature = set.signature.header;
        signature.l > 0 && signature.l < body_bytes as u64
            || !signature.h.iter().any(|name| name.trim().eq_ignore_ascii_case("from"))
    })
}

/// Whether `ARC-Authentication-Results` has `dmarc=pass` for the domain.
fn saw_pass(results: &[u8], author: &str) -> bool {
    let text = crate::results::without_comments(&String::from_utf8_lossy(results));
    text.split(';').any(|info| {
        let mut words = info.split_ascii_whitespace();
        let method = words.next().unwrap_or_default();
        let from = words.find_map(|word| word.strip_prefix("header.from="));
        method.eq_ignore_ascii_case("dmarc=pass")
            && from.and_then(|from| to_a_labels(from.trim_matches('"'))).as_deref() == Some(author)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pass_for_this_domain_is_one() {
        let check =
            |results: &str, wanted| assert_eq!(saw_pass(results.as_bytes(), "a.test"), wanted, "{results}");
        check(" i=1; mx.test; dkim=pass header.d=x; dmarc=pass header.from=a.test\r\n", true);
        check(" i=1; mx.test;\r\n\tdmarc=pass (p=reject; dis=none) header.from=\"A.test\"\r\n", true);
        check(" i=1; mx.test; dmarc=pass header.from=b.test\r\n", false);
        check(" i=1; mx.test; dmarc=fail header.from=a.test\r\n", false);
        check(" i=1; mx.test (; dmarc=pass header.from=a.test)\r\n", false);
        check(" i=1; mx.test; dmarc=pass\r\n", false);
        check("", false);
    }
}
