//! MAIL and RCPT with their parameters: given only where the host knows them and they say something.

use std::fmt::Write as _;

use message::{header_of, utf8_xtext};
use types::{EmailAddress, Late, Notify, Ret};

use super::{Connection, Envelope};
use crate::{Reply, Target, route::to_a_labels};

/// Why this host is not to get the mail at all.
pub(super) fn refusal(connection: &Connection, envelope: &Envelope, target: &Target) -> Option<Reply> {
    let host = &target.host;
    if envelope.terms.require_tls {
        // RFC 8689 §4.2.1: to nobody who might be another, and to nobody who would not ask for the same.
        if !connection.is_encrypted() || !target.security.is_authenticated() {
            let text = format!("{host} cannot be told from another over TLS, as the sender requires");
            return Some(Reply::ours("5.7.10", &text));
        }
        if !connection.offers("REQUIRETLS") {
            let text = format!("{host} does not promise to go on over TLS, as the sender requires");
            return Some(Reply::ours("5.7.30", &text));
        }
    }
    // RFC 2852 §4.1.4.
    let by = envelope.by.filter(|by| by.late == Late::Return)?;
    if by.seconds <= 0 {
        return Some(Reply::ours("5.4.7", "The time by which the mail was to be there is over"));
    }
    (!connection.offers("DELIVERBY")).then(|| {
        let text = format!("{host} does not promise to deliver in time, as the sender requires");
        Reply::ours("5.3.3", &text)
    })
}

pub(super) fn mail(connection: &Connection, envelope: &Envelope, recipients: &[EmailAddress]) -> String {
    let from = envelope.return_path.as_ref().map(on_the_wire).unwrap_or_default();
    let mut command = format!("MAIL FROM:<{from}>");
    let mut say = |parameter: &str| {
        let _ = write!(command, " {parameter}");
    };
    if connection.offers("SIZE") {
        say(&format!("SIZE={}", envelope.body.len()));
    }
    if connection.offers("8BITMIME") && !envelope.body.is_ascii() {
        say("BODY=8BITMIME");
    }
    let header = header_of(&envelope.body);
    let is_utf8 = !envelope.return_path.as_ref().is_none_or(|from| from.local().is_ascii())
        || recipients.iter().any(|to| !to.local().is_ascii())
        || !header.is_ascii();
    if connection.offers("SMTPUTF8") && is_utf8 {
        say("SMTPUTF8");
    }
    let terms = &envelope.terms;
    if terms.require_tls {
        say("REQUIRETLS");
    }
    if connection.offers("DSN") {
        match terms.ret {
            Some(Ret::Full) => say("RET=FULL"),
            Some(Ret::Headers) => say("RET=HDRS"),
            None => {}
        }
        if let Some(id) = &terms.envelope_id {
            say(&format!("ENVID={}", xtext(id)));
        }
    }
    if connection.offers("MT-PRIORITY") && terms.priority.value() != 0 {
        say(&format!("MT-PRIORITY={}", terms.priority.value()));
    }
    if let Some(by) = envelope.by.filter(|_| connection.offers("DELIVERBY")) {
        let late = if by.late == Late::Return { 'R' } else { 'N' };
        let trace = if by.trace { "T" } else { "" };
        // §4: at most nine digits.
        say(&format!("BY={};{late}{trace}", by.seconds.clamp(-999_999_999, 999_999_999)));
    }
    command
}

pub(super) fn rcpt(connection: &Connection, envelope: &Envelope, to: &EmailAddress) -> String {
    let mut command = format!("RCPT TO:<{}>", on_the_wire(to));
    let wishes = envelope.wishes.iter().find(|(address, _)| address == to).map(|(_, wishes)| wishes);
    let Some(wishes) = wishes.filter(|_| connection.offers("DSN")) else { return command };
    if let Some(notify) = wishes.notify {
        let _ = write!(command, " NOTIFY={}", notify_words(notify));
    }
    if let Some(original) = &wishes.original {
        let address = match original.address.is_ascii() {
            true => xtext(&original.address),
            false => utf8_xtext(&original.address),
        };
        let _ = write!(command, " ORCPT={};{address}", xtext(&original.kind));
    }
    command
}

fn notify_words(notify: Notify) -> String {
    if notify.is_never() {
        return "NEVER".to_owned();
    }
    let words = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
    words.into_iter().filter(|(wanted, _)| *wanted).map(|(_, word)| word).collect::<Vec<_>>().join(",")
}

/// RFC 3461 §4.
fn xtext(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => {
                let _ = write!(out, "+{byte:02X}");
            }
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "+{byte:02X}");
            }
        }
    }
    out
}

/// The domain in A-labels wherever the local part does not need SMTPUTF8 anyway.
fn on_the_wire(address: &EmailAddress) -> String {
    if address.local().is_ascii() {
        format!("{}@{}", address.local(), to_a_labels(address.domain()))
    } else {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_written_in_ascii() {
        for (text, expected) in [("QQ314159", "QQ314159"), ("a+b=c d", "a+2Bb+3Dc+20d"), ("한", "+ED+95+9C")]
        {
            assert_eq!(xtext(text), expected);
        }
        assert_eq!(utf8_xtext("밥+x@멀리.test"), "\\x{BC25}\\x{2B}x@\\x{BA40}\\x{B9AC}.test");
        let notify = |success, failure, delay| notify_words(Notify { success, failure, delay });
        assert_eq!(notify(false, false, false), "NEVER");
        assert_eq!(notify(true, false, true), "SUCCESS,DELAY");
    }
}
