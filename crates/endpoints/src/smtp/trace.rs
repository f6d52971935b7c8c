//! RFC 5321 §4.4: the headers that tell where a mail has been.

use std::net::IpAddr;

use memchr::memchr_iter;
use smtp::{Hello, ReversePath};
use time::format_description::well_known::Rfc2822;
use types::{EmailAddress, MessageId, Timestamp};

/// RFC 5321 §6.3: a mail that has been through more servers than this goes in circles.
pub(super) const MAX_HOPS: usize = 100;

/// What `Received:` says of a transaction.
pub(super) struct Trace<'a> {
    pub(super) hello: Option<&'a Hello>,
    pub(super) client: IpAddr,
    pub(super) hostname: &'a str,
    /// By LMTP.
    pub(super) local: bool,
    pub(super) secure: bool,
    pub(super) authenticated: bool,
    pub(super) utf8: bool,
    pub(super) id: MessageId,
    /// Said only if it is the only one: others are nobody's business (RFC 5321 §7.6).
    pub(super) recipient: Option<&'a EmailAddress>,
    pub(super) at: Timestamp,
}

impl Trace<'_> {
    pub(super) fn received(&self) -> String {
        let name = self.hello.map_or("unknown", |hello| hello.name.as_str());
        let client = match self.client.to_canonical() {
            IpAddr::V4(v4) => format!("[{v4}]"),
            IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
        };
        let (hostname, with, id) = (self.hostname, self.protocol(), self.id);
        let recipient = self.recipient.map(|address| format!("\r\n\tfor <{address}>")).unwrap_or_default();
        let date = date(self.at);
        format!(
            "Received: from {name} ({client})\r\n\tby {hostname} with {with} id {id}{recipient};\r\n\t{date}\r\n"
        )
    }

    /// RFC 3848 and RFC 6531 §4.3.
    fn protocol(&self) -> String {
        if !self.hello.is_some_and(|hello| hello.extended) {
            return "SMTP".into();
        }
        let base = match (self.utf8, self.local) {
            (false, false) => "ESMTP",
            (true, false) => "UTF8SMTP",
            (false, true) => "LMTP",
            (true, true) => "UTF8LMTP",
        };
        let (secure, authenticated) =
            (if self.secure { "S" } else { "" }, if self.authenticated { "A" } else { "" });
        format!("{base}{secure}{authenticated}")
    }
}

/// `Return-Path:`, which the server of the final delivery adds.
pub(super) fn return_path(path: &ReversePath) -> String {
    format!("Return-Path: {path}\r\n")
}

/// What RFC 6409 §8.2 and §8.3 have a submission server add where it is missing.
pub(super) fn missing_fields(
    mail: &[u8],
    id: MessageId,
    hostname: &str,
    author: &EmailAddress,
    at: Timestamp,
) -> String {
    let mut fields = String::new();
    if count(mail, b"date") == 0 {
        fields.push_str(&format!("Date: {}\r\n", date(at)));
    }
    if count(mail, b"message-id") == 0 {
        fields.push_str(&format!("Message-ID: <{id}@{hostname}>\r\n"));
    }
    if count(mail, b"from") == 0 {
        fields.push_str(&format!("From: <{author}>\r\n"));
    }
    fields
}

/// RFC 5322 §3.3.
fn date(at: Timestamp) -> String {
    at.utc().format(&Rfc2822).unwrap_or_default()
}

/// How many servers the header of a mail names.
pub(super) fn hops(mail: &[u8]) -> usize {
    count(mail, b"received")
}

/// How many fields of this name the header of a mail has.
fn count(mail: &[u8], name: &[u8]) -> usize {
    let (mut count, mut start) = (0, 0);
    for end in memchr_iter(b'\n', mail) {
        let line = mail.get(start..end).unwrap_or_default();
        if line.is_empty() || line == b"\r" {
            break;
        }
        if let Some((found, rest)) = line.split_at_checked(name.len())
            && found.eq_ignore_ascii_case(name)
            && rest.trim_ascii_start().starts_with(b":")
        {
            count += 1;
        }
        start = end + 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use smtp::ClientName;

    use super::*;

    fn check(trace: &Trace<'_>, wanted: &str) {
        assert_eq!(trace.received(), wanted);
    }

    #[test]
    fn received_says_who_how_and_for_whom() {
        let hello = |extended| Hello { name: ClientName::new("client.test").unwrap(), extended };
        let (ehlo, helo) = (hello(true), hello(false));
        let recipient = "bob@demo.test".parse().unwrap();
        let at = Timestamp::from_seconds(1_795_350_000);
        let id = MessageId::at(at, [7; 10]);
        let trace = Trace {
            hello: Some(&ehlo),
            client: "::ffff:192.0.2.1".parse().unwrap(),
            hostname: "mx.test",
            local: false,
            secure: true,
            authenticated: false,
            utf8: false,
            id,
            recipient: Some(&recipient),
            at,
        };
        let date = "Sun, 22 Nov 2026 12:20:00 +0000\r\n";
        check(
            &trace,
            &format!(
                "Received: from client.test ([192.0.2.1])\r\n\tby mx.test with ESMTPS id {id}\
                 \r\n\tfor <bob@demo.test>;\r\n\t{date}"
            ),
        );
        check(
            &Trace { client: "2001:db8::1".parse().unwrap(), authenticated: true, recipient: None, ..trace },
            &format!(
                "Received: from client.test ([IPv6:2001:db8::1])\r\n\tby mx.test with ESMTPSA id {id};\r\n\t{date}"
            ),
        );
        check(
            &Trace { hello: Some(&helo), recipient: None, client: "192.0.2.1".parse().unwrap(), ..trace },
            &format!(
                "Received: from client.test ([192.0.2.1])\r\n\tby mx.test with SMTP id {id};\r\n\t{date}"
            ),
        );
    }

    #[test]
    fn hops_are_counted_in_the_header_only() {
        assert_eq!(hops(b"Received: a\r\n\tb\r\nrecEIVED:x\r\nX-Received: y\r\n\r\nReceived: z\r\n"), 2);
        assert_eq!(hops(b"Received : a\r\nReceiver: b\r\n\r\n"), 1);
        assert_eq!(hops(b""), 0);
        assert_eq!(hops(b"Received"), 0);
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let at = Timestamp::from_seconds(1_795_350_000);
        let id = MessageId::at(at, [7; 10]);
        let date = "Date: Sun, 22 Nov 2026 12:20:00 +0000\r\n";
        let message_id = format!("Message-ID: <{id}@mx.test>\r\n");
        let check = |mail: &[u8], wanted: &str| {
            let author = "alice@demo.test".parse().unwrap();
            assert_eq!(missing_fields(mail, id, "mx.test", &author, at), wanted);
        };
        let from = "From: <alice@demo.test>\r\n";
        check(b"Subject: x\r\n\r\nDate: y\r\n", &format!("{date}{message_id}{from}"));
        check(b"DATE: x\r\nfrom: y\r\n\r\n", &message_id);
        check(b"message-id : <x@y>\r\nFrom: y\r\n\r\n", date);
        check(b"Message-ID: <x@y>\r\nDate: x\r\nFrom: y\r\n\r\n", "");
    }
}
