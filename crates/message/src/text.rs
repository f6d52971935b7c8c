//! Which parts are the mail's text, and which can be saved.

use std::borrow::Cow;

use memchr::{memchr, memrchr};

use crate::{Part, Structure, charset, decoder, html_text, lines::with_lf};

/// A piece of what is read: the same words as plain text, as HTML, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Piece {
    pub(crate) plain: Option<usize>,
    pub(crate) html: Option<usize>,
}

/// The leaves of a mail divided into what is read and what is saved, as indices into its parts.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub(crate) pieces: Vec<Piece>,
    /// With whether they are shown inside the text.
    pub(crate) attachments: Vec<(usize, bool)>,
}

impl Texts {
    pub(crate) fn of(structure: &Structure) -> Self {
        Self::at(structure, 0)
    }

    /// Of the mail whose outermost part is at `top`.
    pub(crate) fn at(structure: &Structure, top: usize) -> Self {
        let mut texts = Self::default();
        texts.walk(structure, top, false);
        texts
    }

    /// Recursion is bounded by [`crate::MAX_DEPTH`].
    fn walk(&mut self, structure: &Structure, index: usize, related: bool) {
        let Some(part) = structure.parts().get(index) else { return };
        if part.is_multipart() && structure.has_children(index) {
            match part.subtype() {
                "alternative" => self.alternative(structure, index, related),
                "related" => {
                    for (nth, child) in structure.children(index).enumerate() {
                        self.walk(structure, child, nth > 0);
                    }
                }
                _ => structure.children(index).for_each(|child| self.walk(structure, child, related)),
            }
        } else if is_readable(part) && !related {
            let piece = if part.content_type.value == "text/html" {
                Piece { html: Some(index), ..Piece::default() }
            } else {
                Piece { plain: Some(index), ..Piece::default() }
            };
            self.pieces.push(piece);
        } else {
            self.attachments.push((index, is_inline(part, related)));
        }
    }

    /// RFC 2046 §5.1.4: the same in several forms. The best plain and the best HTML form are taken, the rest of the
    /// texts is not shown at all.
    fn alternative(&mut self, structure: &Structure, index: usize, related: bool) {
        let mut chosen = Piece::default();
        let mut more = Vec::new();
        for child in structure.children(index) {
            let mut inner = Self::default();
            inner.walk(structure, child, related);
            self.attachments.append(&mut inner.attachments);
            let mut pieces = inner.pieces.into_iter();
            if let Some(first) = pieces.next() {
                chosen.html = first.html.or(chosen.html);
                chosen.plain =
                    first.plain.filter(|plain| is_plain(structure, *plain)).or(chosen.plain).or(first.plain);
            }
            more.extend(pieces);
        }
        if chosen != Piece::default() {
            self.pieces.push(chosen);
        }
        self.pieces.extend(more);
    }
}

fn is_plain(structure: &Structure, index: usize) -> bool {
    structure.parts().get(index).is_some_and(|part| part.content_type.value == "text/plain")
}

/// Texts without a file name of their own that a reader can show; also a multipart in which no parts were found.
fn is_readable(part: &Part) -> bool {
    let shown = match part.kind() {
        "text" => !matches!(
            part.subtype(),
            "calendar" | "vcard" | "x-vcard" | "csv" | "rtf" | "css" | "xml" | "rfc822-headers"
        ),
        "multipart" => part.depth == 0,
        _ => false,
    };
    shown && !part.is_attachment() && (part.depth == 0 || part.sent_filename().is_none())
}

/// Images and the like that the HTML refers to.
fn is_inline(part: &Part, related: bool) -> bool {
    let marked = part.disposition.as_ref().is_some_and(|disposition| disposition.value == "inline");
    part.content_id.is_some() && (related || marked) && !part.is_message() && !part.is_attachment()
        || related && part.kind() == "image" && part.content_id.is_some()
}

/// The text of a part from its encoded bytes, at most `max` bytes of them decoded.
pub(crate) fn decoded(part: &Part, encoded: &[u8], max: usize) -> String {
    // Twice the room, as most of the letters of some languages take two or three letters of base64 or quoted-printable.
    let encoded = encoded.get(..encoded.len().min(max.saturating_mul(3))).unwrap_or_default();
    let mut bytes: Cow<'_, [u8]> = if part.encoding.is_identity() {
        encoded.into()
    } else {
        decoder::decode(part.encoding, encoded).into()
    };
    let end = end(&bytes, max);
    match &mut bytes {
        Cow::Borrowed(bytes) => *bytes = bytes.get(..end).unwrap_or(bytes),
        Cow::Owned(bytes) => bytes.truncate(end),
    }
    let label = part.content_type.get("charset");
    let label = label.or_else(|| (part.subtype() == "html").then(|| html_text::charset(&bytes)).flatten());
    let mut text = charset::decode(label.as_deref(), &bytes);
    if memchr(0, text.as_bytes()).is_some() {
        text.to_mut().retain(|c| c != '\0');
    }
    let text = with_lf(text);
    if is_flowed(part) { unflow(&text, part) } else { text }
}

/// Where at most `max` bytes of a text end: behind a line, since a letter that is torn makes the rest look as if it were in
/// another charset. Never between the two bytes of UTF-16.
fn end(bytes: &[u8], max: usize) -> usize {
    if bytes.len() <= max {
        return bytes.len();
    }
    let last = max.saturating_sub(LONG_LINE)..max;
    let behind =
        bytes.get(last.clone()).and_then(|bytes| memrchr(b'\n', bytes)).map(|at| last.start + at + 1);
    behind.unwrap_or(max) & !1
}

/// Lines that are longer may be cut (RFC 5322 §2.1.1 has 998 bytes at most).
const LONG_LINE: usize = 4 << 10;

fn is_flowed(part: &Part) -> bool {
    part.subtype() == "plain"
        && part.content_type.get("format").is_some_and(|f| f.eq_ignore_ascii_case("flowed"))
}

/// RFC 3676 §4: lines that end in a blank go on in the next.
fn unflow(text: &str, part: &Part) -> String {
    let delete = part.content_type.get("delsp").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let mut out = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start_matches('>');
        let depth = line.len() - content.len();
        let content = content.strip_prefix(' ').unwrap_or(content);
        // RFC 3676 §4.3: the signature separator is never flowed.
        let soft = content.ends_with(' ') && content != "-- ";
        if open != Some(depth) || content == "-- " {
            if open.is_some() {
                out.push('\n');
            }
            if depth > 0 {
                out.push_str(&">".repeat(depth.min(20)));
                out.push(' ');
            }
        }
        out.push_str(if soft && delete { content.trim_end_matches(' ') } else { content });
        open = soft.then_some(depth);
        if !soft {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    fn check(raw: &str, text: &str) {
        let part = &crate::parse(raw.as_bytes()).structure;
        let part = part.root().unwrap();
        assert_eq!(
            super::decoded(part, crate::tree::slice(raw.as_bytes(), &part.body), 1_000),
            text,
            "{raw}"
        );
    }

    #[test]
    fn flowed_text_is_joined() {
        let flowed = "Content-Type: text/plain; format=flowed\n\n";
        check(&format!("{flowed}one \ntwo\nthree\n"), "one two\nthree\n");
        check(&format!("{flowed}> one \n> two\n>> deeper\nmine\n"), "> one two\n>> deeper\nmine\n");
        check(&format!("{flowed} >not a quote\n"), ">not a quote\n");
        check(&format!("{flowed}x \n-- \nme\n"), "x \n-- \nme\n");
        check("Content-Type: text/plain; format=flowed; delsp=yes\n\n안녕 \n하세요\n", "안녕하세요\n");
    }
}
