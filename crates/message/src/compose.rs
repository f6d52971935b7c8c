//! Writes mail (RFC 5322, MIME): CRLF everywhere, no line over 998 bytes, no way to smuggle a header in.
//!
//! Boundaries come from a hash of the content, so that the same input gives the same mail; a boundary that occurs in the
//! content would need a hash collision.

mod encode;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use types::{Address, Timestamp};

use self::encode::quoted_printable;
pub(crate) use self::encode::{base64_lines, canonical};
use crate::{header, references};

/// A mail to be written.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    pub from: Address,
    /// Who sent it, where that is not whom it is from.
    pub sender: Option<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    /// Written only where [`Outgoing::keep_bcc`] says so.
    pub bcc: Vec<Address>,
    /// For drafts and the copy in Sent; never for what is sent.
    pub keep_bcc: bool,
    pub subject: String,
    pub date: Timestamp,
    /// With or without angle brackets, as the next two.
    pub message_id: String,
    pub in_reply_to: Vec<String>,
    pub references: Vec<String>,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<OutgoingAttachment>,
    /// For a mail whose files are a report: of which type (RFC 6522).
    pub report_type: Option<&'static str>,
    /// More fields, such as `Auto-Submitted`. Values are encoded like a subject.
    pub headers: Vec<(String, String)>,
}

/// A file within a mail.
#[derive(Debug, Clone, Default)]
pub struct OutgoingAttachment {
    pub filename: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
    /// For an image that the HTML shows by `cid:`.
    pub content_id: Option<String>,
}

/// RFC 5322 §2.1.1: the longest line, without CRLF.
const MAX_LINE: usize = 998;

/// Lines are folded from here on.
const FOLD: usize = 76;

/// The bytes of a mail.
#[must_use]
pub fn compose(mail: &Outgoing) -> Vec<u8> {
    let size: usize = mail.attachments.iter().map(|attachment| attachment.bytes.len() / 3 * 4 + 512).sum();
    let texts = mail.text.as_ref().map_or(0, String::len) + mail.html.as_ref().map_or(0, String::len);
    let mut out = Vec::with_capacity(size + size / 36 + texts * 2 + 2_048);
    fields(&mut out, mail);
    Writer { seed: seed(mail), boundaries: 0, out: &mut out }.body(mail);
    out
}

fn fields(out: &mut Vec<u8>, mail: &Outgoing) {
    field(out, "Date", &date(mail.date));
    addresses(out, "From", std::slice::from_ref(&mail.from));
    addresses(out, "Sender", mail.sender.as_slice());
    addresses(out, "Reply-To", &mail.reply_to);
    addresses(out, "To", &mail.to);
    addresses(out, "Cc", &mail.cc);
    if mail.keep_bcc {
        addresses(out, "Bcc", &mail.bcc);
    }
    text_field(out, "Subject", &mail.subject);
    ids(out, "Message-ID", std::slice::from_ref(&mail.message_id));
    ids(out, "In-Reply-To", &mail.in_reply_to);
    ids(out, "References", &mail.references);
    for (name, value) in &mail.headers {
        let valid = !name.is_empty() && name.bytes().all(|byte| matches!(byte, 33..=126) && byte != b':');
        if valid && name.len() <= 64 {
            text_field(out, name, value);
        }
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
}

/// RFC 5322 §3.3, in UTC.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let utc = at.utc();
    let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    format!(
        "{}, {} {} {:04} {:02}:{:02}:{:02} +0000",
        day.get(usize::from(utc.weekday().number_days_from_monday())).unwrap_or(&"Mon"),
        utc.day(),
        month.get(usize::from(u8::from(utc.month())) - 1).unwrap_or(&"Jan"),
        utc.year(),
        utc.hour(),
        utc.minute(),
        utc.second()
    )
}

/// A field whose value is ASCII and has blanks to fold at.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    let words: Vec<String> = value.split(' ').filter(|word| !word.is_empty()).map(clipped).collect();
    folded(out, name, &words);
}

/// A field of free text.
pub(crate) fn text_field(out: &mut Vec<u8>, name: &str, value: &str) {
    folded(out, name, &encoded_words(&header::tidy(value, 10_000)));
}

/// `name: words`, a new line begun where the next word would pass column 76.
fn folded(out: &mut Vec<u8>, name: &str, words: &[String]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    for (index, word) in words.iter().enumerate() {
        if index > 0 && column + 1 + word.len() > FOLD {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        column += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// No word may make a line too long.
fn clipped(word: &str) -> String {
    word.get(..word.floor_char_boundary(MAX_LINE - 100)).unwrap_or_default().to_owned()
}

/// The words of a text as they can stand in a field: as they are, or as encoded words (RFC 2047 §2) of at most 75
/// letters, cut between characters. Once a word needs encoding, what follows is encoded with it.
fn encoded_words(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let is_plain = |word: &&str| {
        word.bytes().all(|byte| matches!(byte, 33..=126)) && !word.contains("=?") && word.len() <= 900
    };
    let first = words.iter().position(|word| !is_plain(word)).unwrap_or(words.len());
    let last = words.iter().rposition(|word| !is_plain(word)).map_or(first, |last| last + 1);
    let (before, rest) = words.split_at_checked(first).unwrap_or_default();
    let (encoded, after) = rest.split_at_checked(last - first).unwrap_or_default();
    let mut out: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
    let phrase = encoded.join(" ");
    let mut chunk = String::new();
    for c in phrase.chars() {
        // 45 bytes make 60 letters of base64.
        if chunk.len() + c.len_utf8() > 45 {
            out.push(encoded_word(&chunk));
            chunk.clear();
        }
        chunk.push(c);
    }
    if !chunk.is_empty() {
        out.push(encoded_word(&chunk));
    }
    out.extend(after.iter().map(|word| (*word).to_owned()));
    out
}

fn encoded_word(text: &str) -> String {
    format!("=?utf-8?B?{}?=", STANDARD.encode(text))
}

fn ids(out: &mut Vec<u8>, name: &str, ids: &[String]) {
    let words: Vec<String> = (ids.iter())
        .flat_map(|id| references::ids(format!("<{}>", id.trim().trim_matches(['<', '>'])).as_bytes()))
        .filter(|id| id.is_ascii() && id.len() <= 900)
        .map(|id| format!("<{id}>"))
        .collect();
    if !words.is_empty() {
        folded(out, name, &words);
    }
}

fn addresses(out: &mut Vec<u8>, name: &str, addresses: &[Address]) {
    let mut words = Vec::new();
    for address in addresses {
        let email: String =
            address.email.chars().filter(|c| !c.is_control() && !"<>,;".contains(*c)).take(320).collect();
        if email.is_empty() {
            continue;
        }
        if let Some(last) = words.last_mut() {
            let last: &mut String = last;
            last.push(',');
        }
        let phrase = phrase(&address.name);
        if phrase.is_empty() {
            words.push(email);
        } else {
            words.extend(phrase);
            words.push(format!("<{email}>"));
        }
    }
    if !words.is_empty() {
        folded(out, name, &words);
    }
}

/// RFC 5322 §3.2.5 `phrase`: atoms, a quoted string, or encoded words.
fn phrase(name: &str) -> Vec<String> {
    let name = header::tidy(name, 600);
    if !name.is_ascii() || name.contains("=?") {
        return encoded_words_whole(&name);
    }
    let atoms =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" !#$%&'*+-/=?^_`{|}~".contains(&byte));
    if atoms {
        return name.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    }
    vec![format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))]
}

/// RFC 2047 §5 (3): in a phrase, plain words beside encoded ones would have to be atoms; so all are encoded.
fn encoded_words_whole(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chunk = String::new();
    for c in text.chars() {
        if chunk.len() + c.len_utf8() > 45 {
            out.push(encoded_word(&std::mem::take(&mut chunk)));
        }
        chunk.push(c);
    }
    out.push(encoded_word(&chunk));
    out
}

fn seed(mail: &Outgoing) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for text in [Some(&mail.message_id), mail.text.as_ref(), mail.html.as_ref(), Some(&mail.subject)]
        .into_iter()
        .flatten()
    {
        hasher.update(text.as_bytes()).update(&[0]);
    }
    hasher.update(&mail.date.millis().to_be_bytes());
    hasher.finalize()
}

struct Writer<'w> {
    seed: blake3::Hash,
    boundaries: u8,
    out: &'w mut Vec<u8>,
}

impl Writer<'_> {
    /// mixed(related(alternative(text, html), inline images), attachments), as far as each is needed.
    fn body(&mut self, mail: &Outgoing) {
        let (inline, files): (Vec<&OutgoingAttachment>, Vec<&OutgoingAttachment>) =
            mail.attachments.iter().partition(|file| file.content_id.is_some() && mail.html.is_some());
        if files.is_empty() {
            return self.related(mail, &inline);
        }
        let boundary = match mail.report_type {
            Some(kind) => self.begin("report", &format!("; report-type=\"{kind}\"")),
            None => self.begin("mixed", ""),
        };
        self.divide(&boundary);
        self.related(mail, &inline);
        for file in files {
            self.divide(&boundary);
            self.file(file, "attachment");
        }
        self.end(&boundary);
    }

    fn related(&mut self, mail: &Outgoing, inline: &[&OutgoingAttachment]) {
        if inline.is_empty() {
            return self.alternative(mail);
        }
        let kind = if mail.text.is_some() { "multipart/alternative" } else { "text/html" };
        let boundary = self.begin("related", &format!("; type=\"{kind}\""));
        self.divide(&boundary);
        self.alternative(mail);
        for file in inline {
            self.divide(&boundary);
            self.file(file, "inline");
        }
        self.end(&boundary);
    }

    fn alternative(&mut self, mail: &Outgoing) {
        match (&mail.text, &mail.html) {
            (Some(text), Some(html)) => {
                let boundary = self.begin("alternative", "");
                self.divide(&boundary);
                self.text("plain", text);
                self.divide(&boundary);
                self.text("html", html);
                self.end(&boundary);
            }
            (None, Some(html)) => self.text("html", html),
            (text, None) => self.text("plain", text.as_deref().unwrap_or_default()),
        }
    }

    fn begin(&mut self, subtype: &str, params: &str) -> String {
        self.boundaries += 1;
        let hex = self.seed.to_hex();
        let boundary = format!("=_{}_{}", hex.get(..32).unwrap_or_default(), self.boundaries);
        self.put(&format!("Content-Type: multipart/{subtype}{params};\r\n boundary=\"{boundary}\"\r\n\r\n"));
        boundary
    }

    fn divide(&mut self, boundary: &str) {
        // A part ends without a line break of its own.
        if !self.out.ends_with(b"\r\n\r\n") {
            self.put("\r\n");
        }
        self.put(&format!("--{boundary}\r\n"));
    }

    fn end(&mut self, boundary: &str) {
        self.put(&format!("\r\n--{boundary}--\r\n"));
    }

    fn text(&mut self, subtype: &str, text: &str) {
        let text = canonical(text);
        let lines_fit = text.split("\r\n").all(|line| line.len() <= MAX_LINE && !line.starts_with("From "));
        let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
        self.put(&format!("Content-Type: text/{subtype}; charset={charset}\r\n"));
        if text.is_ascii() && lines_fit {
            self.put("Content-Transfer-Encoding: 7bit\r\n\r\n");
            return self.put(&text);
        }
        // Mostly ASCII stays readable; anything else is shorter in base64.
        let high = text.bytes().filter(|byte| !byte.is_ascii()).count();
        if high * 6 < text.len() {
            self.put("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
            quoted_printable(&text, self.out);
        } else {
            self.put("Content-Transfer-Encoding: base64\r\n\r\n");
            base64_lines(text.as_bytes(), self.out);
        }
    }

    fn file(&mut self, file: &OutgoingAttachment, disposition: &str) {
        let name = crate::filename::sanitize(&file.filename).unwrap_or_else(|| "attachment".to_owned());
        let kind = media_type(&file.content_type);
        let (old, new) = (encoded_words_whole(&name), extended_value(&name));
        // Old readers know only `name` on the content type, new ones (RFC 2231) `filename*`.
        if name.is_ascii() {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            self.put(&format!("Content-Type: {kind};\r\n name=\"{quoted}\"\r\n"));
            self.put(&format!("Content-Disposition: {disposition};\r\n filename=\"{quoted}\"\r\n"));
        } else {
            self.put(&format!("Content-Type: {kind};\r\n name=\"{}\"\r\n", old.join("\r\n ")));
            self.put(&format!("Content-Disposition: {disposition}"));
            for parameter in new {
                self.put(&format!(";\r\n {parameter}"));
            }
            self.put("\r\n");
        }
        if let Some(id) = file.content_id.as_ref().map(|id| clean_id(id)).filter(|id| !id.is_empty()) {
            self.put(&format!("Content-ID: <{id}>\r\n"));
        }
        // A message must not be encoded (RFC 2046 §5.2.1); as any other type it may.
        self.put("Content-Transfer-Encoding: base64\r\n\r\n");
        base64_lines(&file.bytes, self.out);
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

fn clean_id(id: &str) -> String {
    id.chars().filter(|c| c.is_ascii_graphic() && !"<>()\"\\".contains(*c)).take(200).collect()
}

/// A media type that can be written; what is none, or must not be encoded, becomes `application/octet-stream`.
fn media_type(text: &str) -> String {
    let bare = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let token = |text: &str| {
        (1..=127).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match bare.split_once('/') {
        Some((kind, subtype))
            if token(kind) && token(subtype) && !matches!(kind, "multipart" | "message") =>
        {
            bare
        }
        _ => "application/octet-stream".to_owned(),
    }
}

/// RFC 2231 §3 and §4: `filename*=` in one, or in numbered pieces where that is too long for a line.
fn extended_value(name: &str) -> Vec<String> {
    let mut pieces = vec![String::from("utf-8''")];
    for c in name.chars() {
        let mut encoded = String::new();
        for &byte in c.encode_utf8(&mut [0; 4]).as_bytes() {
            if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        match pieces.last_mut() {
            Some(last) if last.len() + encoded.len() <= 60 => last.push_str(&encoded),
            _ => pieces.push(encoded),
        }
    }
    match pieces.as_slice() {
        [one] => vec![format!("filename*={one}")],
        many => many.iter().enumerate().map(|(n, piece)| format!("filename*{n}*={piece}")).collect(),
    }
}

/// The header of a delivery status notification.
pub(crate) fn notification_fields(
    out: &mut Vec<u8>,
    report: &crate::Report,
    subject: &str,
    original_id: Option<&[u8]>,
) {
    let original: Vec<String> =
        original_id.map(references::ids).unwrap_or_default().into_iter().take(1).collect();
    let mail = Outgoing {
        from: report.from.clone(),
        to: vec![report.to.clone()],
        subject: subject.to_owned(),
        date: report.date,
        message_id: report.message_id.clone(),
        in_reply_to: original.clone(),
        references: original,
        // RFC 3834 §5: nobody is to answer this automatically.
        headers: vec![("Auto-Submitted".to_owned(), "auto-replied".to_owned())],
        ..Outgoing::default()
    };
    fields(out, &mail);
}
