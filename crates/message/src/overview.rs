//! What lists, search and threading need of a mail, decoded and bounded.

use mail_parser::{HeaderValue, parsers::MessageStream};
use serde::{Deserialize, Serialize};
use types::{Address, Timestamp};

use crate::{
    Structure, address,
    header::{self, Header},
    html_text, preview, references,
    text::{self, Texts},
    tree,
};

/// Addresses that are kept of one field.
pub const MAX_RECIPIENTS: usize = 1_000;

/// The longest subject, in bytes.
pub(crate) const MAX_SUBJECT: usize = 1_000;

/// As much of a text with markup, which takes more room than its words, as is decoded for the preview, in bytes.
const PREVIEW_MARKUP: usize = 128 << 10;

/// The summary of a mail. All texts are decoded, composed (NFC), on one line and free of control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Overview {
    pub from: Address,
    /// All of From; almost always one.
    pub authors: Vec<Address>,
    pub sender: Option<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    /// How many addresses To, Cc and Bcc have in all, also of those that were left out.
    pub recipients: u32,
    pub subject: String,
    pub preview: String,
    pub sent_at: Option<Timestamp>,
    /// Without angle brackets, as are the next two.
    pub message_id: Option<String>,
    pub in_reply_to: Vec<String>,
    /// References and In-Reply-To together, oldest first, each once.
    pub references: Vec<String>,
    /// Whether there is something to save that is not shown inside the text.
    pub has_attachments: bool,
    /// Whether it can be unsubscribed from (RFC 2369).
    pub list_unsubscribe: bool,
    /// Whether it was sent by a machine (RFC 3834) or to a list: such mail is never answered automatically.
    pub automatic: bool,
}

/// A field's addresses, of all its occurrences, and how many there are.
pub(crate) fn addresses(header: &Header<'_>, name: &str) -> (Vec<Address>, u32) {
    let mut found = Vec::new();
    let mut total = 0_u32;
    for field in header.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)) {
        let list = address::parse(field.value, MAX_RECIPIENTS.saturating_sub(found.len()));
        found.extend(list.decoded());
        total = total.saturating_add(list.total);
    }
    (found, total)
}

pub(crate) fn overview(raw: &[u8], header: &Header<'_>, structure: &Structure) -> Overview {
    let attachments = structure.attachments();
    let (authors, _) = addresses(header, "From");
    let (to, to_total) = addresses(header, "To");
    let (cc, cc_total) = addresses(header, "Cc");
    let (bcc, bcc_total) = addresses(header, "Bcc");
    let body = body_text(raw, structure);
    let sender = addresses(header, "Sender").0.into_iter().next();
    let ids = |name: &str| header.get(name).map(references::ids).unwrap_or_default();
    let in_reply_to = ids("In-Reply-To");
    let mut known = ids("References");
    for id in &in_reply_to {
        if !known.contains(id) {
            known.push(id.clone());
        }
    }
    Overview {
        from: authors.first().cloned().or_else(|| sender.clone()).unwrap_or_default(),
        authors,
        sender,
        reply_to: addresses(header, "Reply-To").0,
        recipients: to_total.saturating_add(cc_total).saturating_add(bcc_total),
        to,
        cc,
        bcc,
        subject: header.get("Subject").map(|value| header::text(value, MAX_SUBJECT)).unwrap_or_default(),
        preview: preview::of(&body),
        sent_at: header.get("Date").and_then(date),
        message_id: ids("Message-ID").into_iter().next(),
        in_reply_to,
        references: known,
        has_attachments: attachments.iter().any(|attachment| !attachment.inline),
        list_unsubscribe: header.get("List-Unsubscribe").is_some(),
        automatic: is_automatic(header),
    }
}

fn is_automatic(header: &Header<'_>) -> bool {
    let value = |name: &str| header.get(name).map(|value| value.trim_ascii().to_ascii_lowercase());
    value("Auto-Submitted").is_some_and(|value| !value.starts_with(b"no"))
        || value("Precedence").is_some_and(|value| matches!(value.as_slice(), b"bulk" | b"list" | b"junk"))
        || header.get("List-Id").is_some()
        || value("Return-Path").is_some_and(|value| value == b"<>")
}

/// RFC 5322 §3.3 `date-time`, with its obsolete forms.
pub(crate) fn date(value: &[u8]) -> Option<Timestamp> {
    let line = header::unfold(value, 200);
    // The reader stops at a line break, and wants one. Without a zone, the time is taken as UTC.
    let date = [b"\n".as_slice(), b" +0000\n"].iter().find_map(|end| {
        match MessageStream::new(&[line.as_slice(), end].concat()).parse_date() {
            HeaderValue::DateTime(date) => Some(date),
            _ => None,
        }
    })?;
    let plausible = (1..=12).contains(&date.month)
        && (1..=31).contains(&date.day)
        && (1..=9_999).contains(&date.year)
        && date.hour < 24
        && date.minute < 60
        && date.tz_hour < 24;
    plausible.then(|| Timestamp::from_seconds(date.to_timestamp()))
}

/// The beginning of the mail's text as plain text.
fn body_text(raw: &[u8], structure: &Structure) -> String {
    let mut out = String::new();
    for piece in Texts::of(structure).pieces {
        let room = preview::WINDOW.saturating_sub(out.len());
        if room == 0 {
            break;
        }
        let read = |index: Option<usize>| {
            let part = structure.parts().get(index?)?;
            Some(plain(part, tree::slice(raw, &part.body), room)).filter(|text| !text.trim().is_empty())
        };
        if let Some(text) = read(piece.plain).or_else(|| read(piece.html)) {
            out.push_str(if out.is_empty() { "" } else { "\n\n" });
            out.push_str(&text);
        }
    }
    out
}

/// The first words of a text part.
fn plain(part: &crate::Part, encoded: &[u8], max: usize) -> String {
    if part.subtype() == "html" {
        html_text::to_text(&text::decoded(part, encoded, PREVIEW_MARKUP), max)
    } else {
        // Twice the room: what ends lines, joins them and is of other charsets takes some.
        text::decoded(part, encoded, max.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_begin_as_short_ones_do() {
        let line = "안녕하세요, 회의는 내일 오후 세 시입니다.\r\n";
        let (utf8, euc_kr) = (line.as_bytes().to_vec(), encoding_rs::EUC_KR.encode(line).0.into_owned());
        for (header, line) in [("Content-Type: text/plain; charset=iso-8859-1\r\n", utf8), ("", euc_kr)] {
            for shift in 0..4 {
                let preview = |lines| {
                    let head = format!("{header}\r\n{}", "a".repeat(shift));
                    crate::parse(&[head.as_bytes(), &line.repeat(lines)].concat()).overview.preview
                };
                assert_eq!(preview(4_000), preview(20), "{header}, {shift}");
                assert!(preview(20).contains("회의는"), "{}", preview(20));
            }
        }
    }

    #[test]
    fn dates_as_they_occur() {
        for (value, expected) in [
            ("Sun, 22 Nov 2026 09:30:00 +0900", Some("2026-11-22T00:30:00Z")),
            ("22 Nov 2026 09:30 GMT (comment)", Some("2026-11-22T09:30:00Z")),
            ("Fri, 23 Aug 2002 19:27:52", Some("2002-08-23T19:27:52Z")),
            ("Sun,\r\n 22 Nov 2026 09:30:00 +0000", Some("2026-11-22T09:30:00Z")),
            ("yesterday", None),
            ("", None),
            ("99 Foo 99999 99:99:99 +9999", None),
        ] {
            assert_eq!(date(value.as_bytes()).map(|at| at.to_string()).as_deref(), expected, "{value}");
        }
    }
}
