//! Mails to send around, with CRLF line ends, and a message for those who put it on a shard themselves.

use base64::{Engine, prelude::BASE64_STANDARD};
use storage::{Body, NewMessage, Result, Segment, Source, Summary};
use types::{AccountId, BodyId, Flags, MessageId, Role, ThreadId, Timestamp};

/// A message for the inbox, with these bytes, of which nothing else is known.
pub fn new_message(
    account: AccountId,
    id: MessageId,
    received_at: Timestamp,
    bytes: Vec<u8>,
) -> Result<NewMessage> {
    let body = Body { segments: vec![Segment::Inline(bytes.into())] };
    Ok(NewMessage {
        account,
        id,
        mailbox: Source::Role(Role::Inbox),
        flags: Flags::NONE,
        keywords: Vec::new(),
        thread: ThreadId(id.0),
        refs: Vec::new(),
        body: body.pack(BodyId(id.0))?,
        structure: Vec::new(),
        received_at,
        signature: Vec::new(),
        saved_at: received_at,
        sent_at: None,
        summary: Summary::default(),
        delivery: Vec::new(),
    })
}

/// A mail of one text part.
#[must_use]
pub fn mail(from: &str, to: &str, subject: &str, text: &str) -> Vec<u8> {
    let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Mon, 2 Mar 2026 09:00:00 +0000\r\n\
         Message-ID: <{}@fixtures.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         \r\n{text}\r\n",
        subject.replace(' ', "-")
    )
    .into_bytes()
}

/// A mail with a text part and these bytes attached as `data.bin`.
#[must_use]
pub fn mail_with_attachment(from: &str, to: &str, subject: &str, attachment: &[u8]) -> Vec<u8> {
    let encoded = BASE64_STANDARD.encode(attachment);
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / 36);
    for (at, c) in encoded.chars().enumerate() {
        if at > 0 && at % 76 == 0 {
            lines.push_str("\r\n");
        }
        lines.push(c);
    }
    format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Mon, 2 Mar 2026 09:00:00 +0000\r\n\
         Message-ID: <{}@fixtures.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n\
         --b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSee the attachment.\r\n\
         --b1\r\nContent-Type: application/octet-stream\r\n\
         Content-Disposition: attachment; filename=\"data.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {lines}\r\n--b1--\r\n",
        subject.replace(' ', "-")
    )
    .into_bytes()
}
