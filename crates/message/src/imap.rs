//! IMAP's view of a mail: ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051 §7.5.2, the same in RFC 3501 §7.4.2).
//!
//! Strings are quoted where they can be; 8-bit ones become literals, which every client understands.

use crate::{
    Part, Structure,
    address::{self, Entry},
    header::{self, Header},
};

/// Addresses of one field that are written into an ENVELOPE; a mail with more has the others left out.
pub const MAX_ADDRESSES: usize = 1_000;

/// The longest header value in an ENVELOPE.
const MAX_VALUE: usize = 16 * 1_024;

pub(crate) const EMPTY_ENVELOPE: &[u8] = b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)";

/// With or without the extension data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Basic,
    Extended,
}

/// `envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc SP
/// env-in-reply-to SP env-message-id ")"`
pub(crate) fn envelope(header: &Header<'_>) -> Vec<u8> {
    let mut out = vec![b'('];
    let text = |out: &mut Vec<u8>, name: &str| {
        nstring(out, header.get(name).map(|value| header::unfold(value, MAX_VALUE)).as_deref());
    };
    text(&mut out, "Date");
    out.push(b' ');
    text(&mut out, "Subject");
    let mut from = Vec::new();
    addresses(&mut from, header, "From");
    out.push(b' ');
    out.extend_from_slice(&from);
    // RFC 9051 §7.5.2: absent or empty, these two are as From.
    for name in ["Sender", "Reply-To"] {
        out.push(b' ');
        let start = out.len();
        addresses(&mut out, header, name);
        if out.get(start..) == Some(b"NIL") {
            out.truncate(start);
            out.extend_from_slice(&from);
        }
    }
    for name in ["To", "Cc", "Bcc"] {
        out.push(b' ');
        addresses(&mut out, header, name);
    }
    out.push(b' ');
    text(&mut out, "In-Reply-To");
    out.push(b' ');
    text(&mut out, "Message-ID");
    out.push(b')');
    out
}

/// `"(" 1*address ")" / nil`, of all fields of this name.
fn addresses(out: &mut Vec<u8>, header: &Header<'_>, name: &str) {
    let start = out.len();
    out.push(b'(');
    let mut left = MAX_ADDRESSES;
    for field in header.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)) {
        let list = address::parse(field.value, left);
        left -= list.entries.len();
        for entry in &list.entries {
            address(out, entry);
        }
    }
    if out.len() == start + 1 {
        out.truncate(start);
        out.extend_from_slice(b"NIL");
    } else {
        out.push(b')');
    }
}

/// `"(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`; a group is a pair with NIL for a host.
fn address(out: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::Mailbox { name, local, domain } => {
            out.push(b'(');
            nstring(out, Some(name.as_slice()).filter(|name| !name.is_empty()));
            out.extend_from_slice(b" NIL ");
            nstring(out, Some(local));
            out.push(b' ');
            nstring(out, Some(domain));
            out.push(b')');
        }
        Entry::GroupStart(name) => {
            out.extend_from_slice(b"(NIL NIL ");
            nstring(out, Some(name));
            out.extend_from_slice(b" NIL)");
        }
        Entry::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
    }
}

/// `nstring = string / nil`
fn nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(value) = value else { return out.extend_from_slice(b"NIL") };
    if value.iter().all(|byte| matches!(byte, 1..=127) && !matches!(byte, b'\r' | b'\n')) {
        out.push(b'"');
        for &byte in value {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        // RFC 9051 §4.3: a literal holds any byte but NUL.
        let value: Vec<u8> = value.iter().copied().filter(|byte| *byte != 0).collect();
        out.extend_from_slice(format!("{{{}}}\r\n", value.len()).as_bytes());
        out.extend_from_slice(&value);
    }
}

pub(crate) fn body(structure: &Structure, form: Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    part(&mut out, structure, 0, form);
    out
}

/// Recursion is bounded by [`crate::MAX_DEPTH`].
fn part(out: &mut Vec<u8>, structure: &Structure, index: usize, form: Form) {
    let Some(part) = structure.parts().get(index) else { return };
    out.push(b'(');
    if part.is_multipart() && structure.has_children(index) {
        multipart(out, structure, index, part, form);
    } else {
        single(out, structure, index, part, form);
    }
    out.push(b')');
}

/// `body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]`
fn multipart(out: &mut Vec<u8>, structure: &Structure, index: usize, this: &Part, form: Form) {
    for child in structure.children(index) {
        part(out, structure, child, form);
    }
    out.push(b' ');
    upper(out, this.subtype());
    if form == Form::Extended {
        out.push(b' ');
        params(out, &this.content_type.params);
        extension(out, this);
    }
}

/// `body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]`
fn single(out: &mut Vec<u8>, structure: &Structure, index: usize, this: &Part, form: Form) {
    let message = this.is_message().then(|| structure.parts().get(index + 1)).flatten();
    // What is called a message or multipart but has nothing readable in it would be misread under that name.
    let (kind, subtype) = match this.kind() {
        "multipart" | "" => ("application", "octet-stream"),
        "message" if this.is_message() && message.is_none() => ("application", "octet-stream"),
        kind => (kind, this.subtype()),
    };
    upper(out, kind);
    out.push(b' ');
    upper(out, if subtype.is_empty() { "octet-stream" } else { subtype });
    out.push(b' ');
    params(out, &this.content_type.params);
    out.push(b' ');
    nstring(out, this.content_id.as_deref());
    out.push(b' ');
    nstring(out, this.description.as_deref());
    out.push(b' ');
    nstring(out, Some(this.encoding.name().as_bytes()));
    out.extend_from_slice(format!(" {}", this.body.end - this.body.start).as_bytes());
    if let Some(message) = message {
        out.push(b' ');
        out.extend_from_slice(message.envelope.as_deref().unwrap_or(EMPTY_ENVELOPE));
        out.push(b' ');
        part(out, structure, index + 1, form);
    }
    if message.is_some() || kind == "text" {
        out.extend_from_slice(format!(" {}", this.lines).as_bytes());
    }
    if form == Form::Extended {
        out.push(b' ');
        nstring(out, this.md5.as_deref());
        extension(out, this);
    }
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn extension(out: &mut Vec<u8>, part: &Part) {
    match &part.disposition {
        Some(disposition) => {
            out.extend_from_slice(b" (");
            nstring(out, Some(disposition.value.as_bytes()));
            out.push(b' ');
            params(out, &disposition.params);
            out.push(b')');
        }
        None => out.extend_from_slice(b" NIL"),
    }
    out.push(b' ');
    match part.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => nstring(out, Some(one)),
        many => {
            for (index, language) in many.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                nstring(out, Some(language));
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, part.location.as_deref());
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn params(out: &mut Vec<u8>, params: &[(String, Vec<u8>)]) {
    if params.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (index, (name, value)) in params.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        upper(out, name);
        out.push(b' ');
        nstring(out, Some(value));
    }
    out.push(b')');
}

fn upper(out: &mut Vec<u8>, text: &str) {
    nstring(out, Some(text.to_ascii_uppercase().as_bytes()));
}

/// The decoded Subject in an ENVELOPE of ours, its second string.
#[must_use]
pub fn subject_in(envelope: &[u8]) -> Option<String> {
    let (_, rest) = read_nstring(envelope.strip_prefix(b"(")?)?;
    let (subject, _) = read_nstring(rest.strip_prefix(b" ")?)?;
    Some(header::text(&subject?, 500)).filter(|subject| !subject.is_empty())
}

/// The mailbox part of the first address of Cc in an ENVELOPE.
pub(crate) fn first_cc(envelope: &[u8]) -> Option<Vec<u8>> {
    let (_, rest) = read_nstring(envelope.strip_prefix(b"(")?)?;
    let (_, mut rest) = read_nstring(rest.strip_prefix(b" ")?)?;
    // From, Sender, Reply-To and To come first.
    for _ in 0..4 {
        rest = skip_addresses(rest.strip_prefix(b" ")?)?;
    }
    let first = rest.strip_prefix(b" ((")?;
    let (_, rest) = read_nstring(first)?;
    let (_, rest) = read_nstring(rest.strip_prefix(b" ")?)?;
    read_nstring(rest.strip_prefix(b" ")?)?.0
}

/// What follows a list of addresses.
fn skip_addresses(from: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = from.strip_prefix(b"NIL") {
        return Some(rest);
    }
    let mut rest = from.strip_prefix(b"(")?;
    while let Some(address) = rest.strip_prefix(b"(") {
        rest = address;
        for place in 0..4 {
            let string = if place == 0 { rest } else { rest.strip_prefix(b" ")? };
            rest = read_nstring(string)?.1;
        }
        rest = rest.strip_prefix(b")")?;
    }
    rest.strip_prefix(b")")
}

/// An `nstring` as [`nstring`] writes it, and what follows.
fn read_nstring(from: &[u8]) -> Option<(Option<Vec<u8>>, &[u8])> {
    if let Some(rest) = from.strip_prefix(b"NIL") {
        return Some((None, rest));
    }
    if let Some(literal) = from.strip_prefix(b"{") {
        let end = memchr::memchr(b'}', literal)?;
        let length: usize = std::str::from_utf8(literal.get(..end)?).ok()?.parse().ok()?;
        let rest = literal.get(end + 3..)?;
        return Some((Some(rest.get(..length)?.to_vec()), rest.get(length..)?));
    }
    let mut out = Vec::new();
    let mut rest = from.strip_prefix(b"\"")?;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((Some(out), rest)),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                out.push(*escaped);
                rest = after;
            }
            byte => out.push(*byte),
        }
    }
}
