//! An outside judge: whatever the service says in these tests is read by imap-codec, as far as that knows the extensions.

use imap_codec::decode::Decoder as _;
use imap_codec::{GreetingCodec, ResponseCodec};

/// What imap-codec does not know yet; each with the RFC that has it.
const UNKNOWN_RESPONSES: &[&str] = &[
    "* ESEARCH ",    // RFC 4731
    "* VANISHED ",   // RFC 7162
    "* ACL ",        // RFC 4314
    "* LISTRIGHTS ", // RFC 4314
    "* MYRIGHTS ",   // RFC 4314
];
const UNKNOWN_ITEMS: &[&str] = &[
    " EMAILID (",     // RFC 8474
    "MAILBOXID (",    // RFC 8474
    " THREADID (",    // RFC 8474
    " THREADID NIL",  // RFC 8474
    " PREVIEW ",      // RFC 8970
    "(PREVIEW ",      // RFC 8970
    " SAVEDATE ",     // RFC 8514
    "(SAVEDATE ",     // RFC 8514
    "(EMAILID (",     // RFC 8474
    "(\"OLDNAME\" (", // RFC 9051 §6.3.9.7
    "(\"CHILDINFO\"", // RFC 5258
    " UIDFETCH (",    // RFC 9586
];

/// Reads one response, its literals in it.
pub(crate) fn judge(response: &[u8]) {
    let text = String::from_utf8_lossy(response);
    if response.is_empty() || is_unknown(&text) {
        return;
    }
    let outcome = ResponseCodec::default().decode(response);
    match outcome {
        Ok((rest, _)) => assert!(rest.is_empty(), "imap-codec reads less of {text:?}"),
        Err(error) => panic!("imap-codec does not read {text:?}: {error:?}"),
    }
}

pub(crate) fn judge_greeting(greeting: &[u8]) {
    let outcome = GreetingCodec::default().decode(greeting);
    assert!(matches!(outcome, Ok(([], _))), "{}", String::from_utf8_lossy(greeting));
}

fn is_unknown(text: &str) -> bool {
    UNKNOWN_RESPONSES.iter().any(|start| text.starts_with(start))
        || text.starts_with("* ") && UNKNOWN_ITEMS.iter().any(|item| text.contains(item))
        // Mail may have any bytes, whatever the grammar says of literals.
        || text.contains('\0')
        // RFC 9051 and RFC 6855: strings in UTF-8.
        || !text.is_ascii() && !text.contains('{')
}
