//! Reading delivery status notifications (RFC 3464): what another server says became of a mail of ours.

use crate::{
    Parsed, Part, decode,
    header::{self, Header},
    references,
};

/// A notification about a mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounce {
    /// The Message-ID of the mail it is about, if it brings the mail or its header back.
    pub message_id: Option<String>,
    /// ENVID, as whoever made the notification was told it.
    pub envelope_id: Option<String>,
    pub recipients: Vec<BouncedRecipient>,
}

/// What it says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BouncedRecipient {
    /// Whom the sender wrote to, as far as that is said, and whom the mail went to in the end.
    pub addresses: Vec<String>,
    pub action: BounceAction,
    /// RFC 3463.
    pub status: String,
    /// What the last server said, e.g. `550 5.1.1 No such user`.
    pub diagnostic: Option<String>,
    pub remote_mta: Option<String>,
}

/// RFC 3464 §2.3.3; what is `expanded` was delivered to a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BounceAction {
    #[default]
    Failed,
    Delayed,
    Delivered,
    Relayed,
}

const MAX_RECIPIENTS: usize = 1_000;
/// Longer parts are read as far as this.
const MAX_BYTES: usize = 1 << 20;

impl Bounce {
    /// What the mail says, if it is a notification.
    #[must_use]
    pub fn read(raw: &[u8], parsed: &Parsed) -> Option<Self> {
        let top = parsed.structure.parts.first()?;
        let kind = top.content_type.get("report-type").unwrap_or_default();
        if top.content_type.value != "multipart/report" || !kind.eq_ignore_ascii_case("delivery-status") {
            return None;
        }
        let mut bounce = Self::default();
        for part in parsed.structure.parts.iter().filter(|part| part.depth == 1) {
            match part.content_type.value.as_str() {
                "message/delivery-status" | "message/global-delivery-status" => {
                    bounce.status(&text(raw, part))
                }
                "message/rfc822" | "message/global" | "text/rfc822-headers" | "message/global-headers" => {
                    let text = text(raw, part);
                    let header = Header::scan(&text, 0, |_| false);
                    let ids = header.get("Message-ID").map(references::ids).unwrap_or_default();
                    bounce.message_id = bounce.message_id.or(ids.into_iter().next());
                }
                _ => {}
            }
        }
        (!bounce.recipients.is_empty()).then_some(bounce)
    }

    /// Groups of fields, parted by empty lines: first of the mail, then of each recipient.
    fn status(&mut self, text: &[u8]) {
        let mut at = 0;
        while at < text.len() && self.recipients.len() < MAX_RECIPIENTS {
            let group = Header::scan(text, at, |_| false);
            let field = |name: &str| group.get(name).map(|value| header::text(value, 900));
            if let Some(id) = field("Original-Envelope-Id") {
                self.envelope_id = Some(id);
            }
            self.recipients.extend(recipient(&field));
            at = if group.end > at { group.end } else { text.len() };
        }
    }
}

fn recipient(field: &impl Fn(&str) -> Option<String>) -> Option<BouncedRecipient> {
    let addresses =
        ["Original-Recipient", "Final-Recipient"].iter().filter_map(|name| address(&field(name)?));
    let addresses = addresses.collect::<Vec<_>>();
    if addresses.is_empty() {
        return None;
    }
    let action = match field("Action")?.trim().to_ascii_lowercase().as_str() {
        "failed" => BounceAction::Failed,
        "delayed" => BounceAction::Delayed,
        "delivered" | "expanded" => BounceAction::Delivered,
        "relayed" => BounceAction::Relayed,
        _ => return None,
    };
    let typed = |value: String| value.split_once(';').map(|(_, rest)| rest.trim().to_owned());
    let status = field("Status").unwrap_or_default();
    let status = status.split_whitespace().next().unwrap_or_default().to_owned();
    let diagnostic = field("Diagnostic-Code").and_then(typed).filter(|text| !text.is_empty());
    Some(BouncedRecipient {
        addresses,
        action,
        status,
        diagnostic,
        remote_mta: field("Remote-MTA").and_then(typed),
    })
}

/// `type; address`; that of type `utf-8` may be written in ASCII (RFC 6533 §3).
fn address(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let address = address.trim().trim_matches(['<', '>']);
    let address =
        if kind.trim().eq_ignore_ascii_case("utf-8") { unescaped(address) } else { address.to_owned() };
    address.contains('@').then_some(address)
}

/// RFC 6533 §3: `\x{HEX}` is a character.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x{") {
        out.push_str(before);
        let char = after
            .split_once('}')
            .and_then(|(hex, behind)| Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, behind)));
        match char {
            Some((char, behind)) => {
                out.push(char);
                rest = behind;
            }
            None => {
                out.push_str("\\x{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

fn text(raw: &[u8], part: &Part) -> Vec<u8> {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(raw.len());
    let (start, end) = (place(part.body.start), place(part.body.end));
    let end = end.min(start.saturating_add(MAX_BYTES));
    decode(part.encoding, raw.get(start..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Report, dsn, parse};

    fn read(mail: &[u8]) -> Option<Bounce> {
        Bounce::read(mail, &parse(mail))
    }

    #[test]
    fn what_we_write_we_read() {
        let recipient = |address: &str, action| dsn::Recipient {
            address: address.to_owned(),
            action,
            status: "5.2.2".to_owned(),
            diagnostic: Some("smtp; 552 5.2.2 Mailbox full".to_owned()),
            remote_mta: Some("mx.there.test".to_owned()),
            ..dsn::Recipient::default()
        };
        let report = Report {
            reporting_mta: "mx.demo.test".to_owned(),
            envelope_id: Some("QQ 314159".to_owned()),
            recipients: vec![
                recipient("bob@there.test", dsn::Action::Failed),
                recipient("밥@멀리.test", dsn::Action::Delayed),
            ],
            original_header: b"Subject: x\r\nMessage-ID: <1@demo.test>\r\n\r\n".to_vec(),
            ..Report::default()
        };
        let bounce = read(&dsn(&report)).unwrap();
        assert_eq!(bounce.message_id.as_deref(), Some("1@demo.test"));
        assert_eq!(bounce.envelope_id.as_deref(), Some("QQ 314159"));
        let [bob, other] = bounce.recipients.try_into().unwrap();
        assert_eq!((bob.addresses, bob.action), (vec!["bob@there.test".to_owned()], BounceAction::Failed));
        assert_eq!(bob.diagnostic.as_deref(), Some("552 5.2.2 Mailbox full"));
        assert_eq!((bob.status.as_str(), bob.remote_mta.as_deref()), ("5.2.2", Some("mx.there.test")));
        assert_eq!((other.addresses, other.action), (vec!["밥@멀리.test".to_owned()], BounceAction::Delayed));
    }

    #[test]
    fn other_mail_is_no_notification() {
        for mail in [
            "Subject: x\r\n\r\nFinal-Recipient: rfc822; a@b.c\r\nAction: failed\r\n",
            "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n",
            "",
        ] {
            assert_eq!(read(mail.as_bytes()), None, "{mail}");
        }
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (text, expected) in [
            ("\\x{BC25}@x", "밥@x"),
            ("a\\x{}b", "a\\x{}b"),
            ("a\\x{zz}\\x{2B}", "a\\x{zz}+"),
            ("\\x{110000}\\x{", "\\x{110000}\\x{"),
            ("plain", "plain"),
        ] {
            assert_eq!(unescaped(text), expected, "{text}");
        }
    }
}
