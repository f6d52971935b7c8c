//! The MIME tree of a mail with byte offsets, compact enough to be stored beside it.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use types::api::Attachment;

use crate::{Encoding, Parametrised, filename, imap};

/// How deep parts may lie in parts, and how many there may be; what lies beyond belongs to the part around it.
pub const MAX_DEPTH: u8 = 50;
pub const MAX_PARTS: usize = 1_000;

/// A mail's MIME tree: its parts in the order of their bytes, parents before children.
///
/// IMAP's ENVELOPE is kept ready-made; BODY and BODYSTRUCTURE are written from the parts without looking at the mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structure {
    pub(crate) parts: Vec<Part>,
}

/// One part. Offsets count from the beginning of the mail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Part {
    /// 0 for the mail itself, one more for each multipart or message around it.
    pub depth: u8,
    /// Header fields and the empty line behind them.
    pub header: Range<u64>,
    pub body: Range<u64>,
    /// In lower case, with parameters as written; `text/plain` where there is none.
    pub content_type: Parametrised,
    pub encoding: Encoding,
    pub disposition: Option<Parametrised>,
    /// With its angle brackets.
    pub content_id: Option<Vec<u8>>,
    pub description: Option<Vec<u8>>,
    pub md5: Option<Vec<u8>>,
    pub language: Vec<Vec<u8>>,
    pub location: Option<Vec<u8>>,
    /// Line breaks in the body, counted for texts and messages.
    pub lines: u32,
    /// Length of the body when decoded (for base64; otherwise the length of the body).
    pub decoded_len: u64,
    /// The ready-made ENVELOPE, where the part is the top of a message.
    pub(crate) envelope: Option<Vec<u8>>,
    /// IMAP section number; made from the tree.
    #[serde(skip)]
    pub section: String,
}

impl Part {
    /// The media type before the slash.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.content_type.value.split('/').next().unwrap_or_default()
    }

    /// The media type behind the slash.
    #[must_use]
    pub fn subtype(&self) -> &str {
        self.content_type.value.split_once('/').map_or("", |(_, subtype)| subtype)
    }

    #[must_use]
    pub fn is_text(&self) -> bool {
        self.kind() == "text"
    }

    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.kind() == "multipart"
    }

    /// `message/rfc822` or `message/global`.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self.content_type.value.as_str(), "message/rfc822" | "message/global")
    }

    #[must_use]
    pub fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|disposition| disposition.value != "inline")
    }

    /// The file name as the sender gave it, decoded; not safe to save under.
    #[must_use]
    pub fn sent_filename(&self) -> Option<String> {
        let name = self.disposition.as_ref().and_then(|disposition| disposition.get("filename"));
        name.or_else(|| self.content_type.get("name")).filter(|name| !name.trim().is_empty())
    }

    /// The Content-ID without angle brackets.
    #[must_use]
    pub fn cid(&self) -> Option<String> {
        let id = String::from_utf8_lossy(self.content_id.as_deref()?).into_owned();
        let id = id.trim().trim_start_matches('<').trim_end_matches('>').trim().to_owned();
        (!id.is_empty()).then_some(id)
    }

    /// Header and body.
    #[must_use]
    pub const fn range(&self) -> Range<u64> {
        self.header.start..self.body.end
    }
}

/// Bytes that are no structure, or of a version that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the structure has version {0}, this program knows version {VERSION}")]
    Version(u8),
    #[error("the structure is damaged")]
    Damaged,
}

const VERSION: u8 = 1;

impl Structure {
    pub(crate) fn new(parts: Vec<Part>) -> Self {
        let mut structure = Self { parts };
        structure.number();
        structure
    }

    /// For storing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let _ = postcard::to_io(&self.parts, &mut bytes);
        bytes
    }

    /// # Errors
    /// If `bytes` do not come from [`Structure::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => {
                let parts: Vec<Part> = postcard::from_bytes(rest).map_err(|_| DecodeError::Damaged)?;
                let tree = parts.first().is_some_and(|root| root.depth == 0)
                    && parts.iter().zip(parts.iter().skip(1)).all(|(before, part)| {
                        (1..=before.depth + 1).contains(&part.depth) && part.depth <= MAX_DEPTH
                    });
                let ranges = parts.iter().all(|part| {
                    part.header.start <= part.header.end
                        && part.header.end <= part.body.start
                        && part.body.start <= part.body.end
                });
                (tree && ranges).then(|| Self::new(parts)).ok_or(DecodeError::Damaged)
            }
            Some((version, _)) => Err(DecodeError::Version(*version)),
            None => Err(DecodeError::Damaged),
        }
    }

    /// All parts in the order of their bytes; the first is the mail itself.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The mail itself.
    #[must_use]
    pub fn root(&self) -> Option<&Part> {
        self.parts.first()
    }

    /// The part with this IMAP section number (RFC 9051 §6.4.5.1), `""` being the whole mail.
    #[must_use]
    pub fn part(&self, section: &str) -> Option<&Part> {
        if section.is_empty() {
            return self.root();
        }
        self.parts.iter().find(|part| part.section == section)
    }

    /// The message within a `message/rfc822` part, whose HEADER and TEXT IMAP can ask for; the mail itself for `""`.
    #[must_use]
    pub fn message(&self, section: &str) -> Option<&Part> {
        if section.is_empty() {
            return self.root();
        }
        let at = self.parts.iter().position(|part| part.section == section)?;
        let (part, child) = (self.parts.get(at)?, self.parts.get(at + 1)?);
        (part.is_message() && child.depth == part.depth + 1).then_some(child)
    }

    /// The places in [`Structure::parts`] of the direct children of the part at `index`.
    pub(crate) fn children(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let depth = self.parts.get(index).map_or(0, |part| part.depth);
        (self.parts.iter().enumerate().skip(index + 1))
            .take_while(move |(_, part)| part.depth > depth)
            .filter(move |(_, part)| part.depth == depth + 1)
            .map(|(at, _)| at)
    }

    pub(crate) fn has_children(&self, index: usize) -> bool {
        self.children(index).next().is_some()
    }

    /// RFC 9051 §7.5.2 ENVELOPE, in parentheses.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        self.root().and_then(|root| root.envelope.as_deref()).unwrap_or(imap::EMPTY_ENVELOPE)
    }

    /// What is before the `@` in the first address of Cc (RFC 5256 §3).
    #[must_use]
    pub fn first_cc(&self) -> Option<String> {
        imap::first_cc(self.envelope()).map(|local| String::from_utf8_lossy(&local).into_owned())
    }

    /// RFC 9051 §7.5.2 BODYSTRUCTURE, in parentheses.
    #[must_use]
    pub fn body_structure(&self) -> Vec<u8> {
        imap::body(self, imap::Form::Extended)
    }

    /// RFC 9051 §7.5.2 BODY: the same without extension data.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        imap::body(self, imap::Form::Basic)
    }

    /// What can be saved, in order: every leaf that is not shown as the mail's text.
    #[must_use]
    pub fn attachments(&self) -> Vec<Attachment> {
        let texts = crate::text::Texts::of(self);
        let mut names = filename::Names::default();
        (texts.attachments.iter())
            .filter_map(|&(index, inline)| {
                let part = self.parts.get(index)?;
                Some(Attachment {
                    id: part.section.clone(),
                    filename: names.unique(filename::of(part, self.parts.get(index + 1))),
                    content_type: filename::content_type(part),
                    size: part.decoded_len,
                    inline,
                })
            })
            .collect()
    }

    /// The section number of the part that `cid:` links to.
    #[must_use]
    pub fn section_of_cid(&self, cid: &str) -> Option<&str> {
        let part =
            self.parts.iter().find(|part| part.cid().is_some_and(|id| id.eq_ignore_ascii_case(cid)))?;
        Some(&part.section)
    }

    /// Gives every part its section number: children of multiparts are counted; the content of a message carries the
    /// message's own number on if it is a multipart, otherwise it is part 1 of it.
    fn number(&mut self) {
        // The number each open ancestor gives to its children, and how many it has had.
        let mut open: Vec<(String, u32, bool)> = Vec::new();
        for part in &mut self.parts {
            open.truncate(usize::from(part.depth));
            let section = match open.last_mut() {
                None if part.is_multipart() => String::new(),
                None => "1".to_owned(),
                Some((prefix, _, true)) if part.is_multipart() => prefix.clone(),
                Some((prefix, count, _)) => {
                    *count += 1;
                    if prefix.is_empty() { count.to_string() } else { format!("{prefix}.{count}") }
                }
            };
            open.push((section.clone(), 0, part.is_message()));
            part.section = section;
        }
    }
}
