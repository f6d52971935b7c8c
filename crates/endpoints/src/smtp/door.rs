//! The checks of a mail from another server, before it is accepted: what they find is written on top of it.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use filter::{Action, Filter, Mail, Verdict, aggregate, results};
use smtp::Reply;
use types::{EmailAddress, MessageId, Network};

/// Who checks, and whom not.
pub struct Door {
    pub filter: Filter,
    /// Clients whose mail is taken without checks.
    pub trusted: Vec<Network>,
    /// Counts what is to be reported to others.
    pub ledger: Option<Arc<dyn aggregate::Ledger>>,
}

/// A mail whose content is whole.
pub(super) struct Arrived<'a> {
    pub(super) id: MessageId,
    pub(super) client: IpAddr,
    pub(super) hello: Option<String>,
    pub(super) sender: Option<&'a EmailAddress>,
    pub(super) recipients: Vec<EmailAddress>,
    pub(super) raw: Bytes,
    /// Length of the headers that this server has put in front.
    pub(super) trace: usize,
}

/// Tells mail programs that the mail belongs to Junk. It is only believed above our own `Received`.
const JUNK: &str = "X-Spam-Flag: YES\r\n";

impl Door {
    /// The mail with what was found on top, or the refusal.
    pub(super) async fn check(&self, arrived: Arrived<'_>) -> Result<Bytes, Reply> {
        let Arrived { id, client, hello, sender, recipients, raw, trace } = arrived;
        if self.trusted.iter().any(|network| network.contains(client)) {
            return Ok(without_our_name(raw, trace, self.filter.hostname()));
        }
        if results::is_bomb(raw.get(trace..).unwrap_or_default()) {
            return Err(Reply::new(550, (6, 0), "The mail has too many header fields"));
        }
        let mail = Mail {
            client: client.to_canonical(),
            hello,
            sender: sender.cloned(),
            recipients,
            raw: raw.slice(trace.min(raw.len())..),
            sample: sample(id),
        };
        let verdict = self.filter.check(&mail).await;
        if let Some(ledger) = &self.ledger {
            aggregate::note(&**ledger, &mail, &verdict);
        }
        let forged = results::forged(&mail.raw, self.filter.hostname());
        drop(mail);
        metrics::counter!("magpie_filter_verdicts_total", "action" => name(&verdict.action)).increment(1);
        if let Action::Defer(reply) | Action::Reject(reply) = verdict.action {
            return Err(Reply::new(reply.code, reply.enhanced, "").with_text(reply.text));
        }
        // Only this function has the bytes now, so that they are changed where they are.
        let mut raw = raw.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        cut(&mut raw, forged.into_iter().map(|range| range.start + trace..range.end + trace));
        insert(&mut raw, self.on_top(&verdict).as_bytes());
        Ok(raw.freeze())
    }

    fn on_top(&self, verdict: &Verdict) -> String {
        let junk = if verdict.action == Action::Quarantine { JUNK } else { "" };
        let results = results::field(self.filter.hostname(), &verdict.results);
        format!("{results}{junk}{}", verdict.headers)
    }
}

/// The mail without fields that claim to tell what we found (RFC 8601 §5): nobody was to write them but us, whoever they
/// are. `trace` bytes in front are our own.
pub(super) fn without_our_name(raw: Bytes, trace: usize, hostname: &str) -> Bytes {
    let forged = results::forged(raw.get(trace..).unwrap_or_default(), hostname);
    if forged.is_empty() {
        return raw;
    }
    let mut raw = raw.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    cut(&mut raw, forged.into_iter().map(|range| range.start + trace..range.end + trace));
    raw.freeze()
}

/// Some of the id's randomness, as a percentage.
fn sample(id: MessageId) -> u8 {
    id.0.as_bytes().last().copied().unwrap_or_default() % 100
}

const fn name(action: &Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Quarantine => "quarantine",
        Action::Defer(_) => "defer",
        Action::Reject(_) => "reject",
    }
}

/// Takes the ranges out, which are in order.
fn cut(bytes: &mut BytesMut, ranges: impl Iterator<Item = Range<usize>>) {
    let mut ranges = ranges.peekable();
    let Some(first) = ranges.peek() else { return };
    let mut to = first.start;
    while let Some(range) = ranges.next() {
        let kept = range.end..ranges.peek().map_or(bytes.len(), |next| next.start);
        let length = kept.len();
        bytes.copy_within(kept, to);
        to += length;
    }
    bytes.truncate(to);
}

/// Puts the fields behind `Return-Path`, which comes first (RFC 5321 §4.4).
fn insert(bytes: &mut BytesMut, fields: &[u8]) {
    let first = bytes.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    let at = if first.starts_with(b"Return-Path:") { first.len() } else { 0 };
    bytes.extend_from_slice(fields);
    if let Some(rest) = bytes.get_mut(at..) {
        rest.rotate_right(fields.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_taken_out() {
        let check = |ranges: &[Range<usize>], wanted: &str| {
            let mut bytes = BytesMut::from("0123456789");
            cut(&mut bytes, ranges.iter().cloned());
            assert_eq!(bytes, wanted, "{ranges:?}");
        };
        check(&[], "0123456789");
        check(std::slice::from_ref(&(2..4)), "01456789");
        check(&[0..1, 3..5, 9..10], "125678");
        check(&[0..5, 5..10], "");
    }

    #[test]
    fn what_says_to_be_ours_goes() {
        let ours = "Return-Path: <>\r\nAuthentication-Results: mx.test; none\r\n";
        let theirs = "authentication-results: MX.test;\r\n spf=pass\r\nAuthentication-Results: far.test; none\r\n\r\nx";
        let raw = without_our_name(Bytes::from(format!("{ours}{theirs}")), ours.len(), "mx.test");
        assert_eq!(raw, format!("{ours}Authentication-Results: far.test; none\r\n\r\nx"));
    }

    #[test]
    fn fields_come_behind_the_return_path() {
        let check = |mail: &str, wanted: &str| {
            let mut bytes = BytesMut::from(mail);
            insert(&mut bytes, b"A: b\r\n");
            assert_eq!(bytes, wanted);
        };
        check("Return-Path: <>\r\nReceived: x\r\n", "Return-Path: <>\r\nA: b\r\nReceived: x\r\n");
        check("Received: x\r\n", "A: b\r\nReceived: x\r\n");
        check("", "A: b\r\n");
    }
}
