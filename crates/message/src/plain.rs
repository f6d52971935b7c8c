//! Text to search in, whole and exact: header fields and parts, decoded, with nothing left out or made pretty.

use std::{borrow::Cow, ops::Range};

use unicode_normalization::UnicodeNormalization as _;

use crate::header::{Header, decode_words, unfold};
use crate::{Links, Part, Structure, charset, text};

/// Why bytes are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoText {
    /// The charset is not known.
    Charset,
    /// They are none in that charset.
    Bytes,
}

/// The text of bytes in the charset of this name.
pub fn charset_text(label: &str, bytes: &[u8]) -> Result<String, NoText> {
    if !charset::is_known(label) {
        return Err(NoText::Charset);
    }
    charset::decode_exactly(label, bytes).ok_or(NoText::Bytes)
}

/// A mail's texts as they are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plain {
    /// Names, in lower case, and values of the fields of its header.
    pub fields: Vec<(String, String)>,
    /// The texts within it, headers of its parts included: each begins where a text begins.
    pub bodies: Vec<String>,
    /// Which mails it follows.
    pub links: Links,
}

/// A piece of a mail that has text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPiece<'s> {
    /// The part's index in the structure.
    index: usize,
    part: &'s Part,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The header of the mail itself.
    Header,
    /// That of a part, or of a mail within it.
    PartHeader,
    Body,
}

impl TextPiece<'_> {
    /// Where its bytes are.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        match self.kind {
            Kind::Header | Kind::PartHeader => self.part.header.clone(),
            Kind::Body => self.part.body.clone(),
        }
    }

    /// The text of the piece, and the index of its part, if it is a part's body.
    pub(crate) fn decoded(&self, bytes: &[u8]) -> Option<(usize, String)> {
        (self.kind == Kind::Body).then(|| (self.index, text::decoded(self.part, bytes, usize::MAX)))
    }
}

/// The pieces that have a mail's text; the header alone, or everything.
pub fn text_pieces(structure: &Structure, bodies: bool) -> impl Iterator<Item = TextPiece<'_>> {
    let parts = structure.parts().iter().enumerate();
    parts.take(if bodies { usize::MAX } else { 1 }).flat_map(move |(index, part)| {
        let header = match index {
            0 => Some(Kind::Header),
            _ => (!part.header.is_empty()).then_some(Kind::PartHeader),
        };
        let body = (bodies && part.is_text()).then_some(Kind::Body);
        header.into_iter().chain(body).map(move |kind| TextPiece { index, part, kind })
    })
}

impl Plain {
    /// Bytes that its texts hold in memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, text)| name.capacity() + text.capacity());
        fields.chain(self.bodies.iter().map(String::capacity)).sum()
    }

    /// Takes in the bytes of a piece.
    pub fn add(&mut self, piece: &TextPiece<'_>, bytes: &[u8]) {
        match piece.kind {
            Kind::Header => self.add_header(bytes),
            Kind::PartHeader => {
                let header = Header::scan(bytes, 0, |_| false);
                self.bodies.extend(fields(&header).map(|(name, text)| format!("{name}: {text}")));
            }
            Kind::Body => self.bodies.push(fold(text::decoded(piece.part, bytes, usize::MAX))),
        }
    }

    fn add_header(&mut self, bytes: &[u8]) {
        let header = Header::scan(bytes, 0, |_| false);
        self.fields.extend(fields(&header));
        self.links = Links::of(&header);
    }

    /// The texts of a mail's header.
    #[must_use]
    pub fn of_header(bytes: &[u8]) -> Self {
        let mut plain = Self::default();
        plain.add_header(bytes);
        plain
    }

    /// All texts of a mail.
    #[must_use]
    pub fn of(structure: &Structure, raw: &[u8]) -> Self {
        let mut plain = Self::default();
        for piece in text_pieces(structure, true) {
            plain.add(&piece, crate::tree::slice(raw, &piece.range()));
        }
        plain
    }
}

/// The fields in order, each unfolded, with encoded words decoded.
fn fields(header: &Header<'_>) -> impl Iterator<Item = (String, String)> {
    let text = |value| fold(decode_words(&unfold(value, usize::MAX)));
    header.fields.iter().map(move |field| (field.name.to_ascii_lowercase(), text(field.value)))
}

/// As texts are compared: without the case of letters, and however accents and syllables are put together. A part of a
/// text gives a part of what the text gives, but for marks that are torn from their letters.
#[must_use]
pub fn folded(text: &str) -> String {
    fold(text.to_owned())
}

fn fold(text: String) -> String {
    let mut folded = match folded_but_ascii(&text) {
        Cow::Owned(folded) => folded,
        Cow::Borrowed(_) => text,
    };
    folded.make_ascii_lowercase();
    folded
}

/// The same, but for the case of ASCII letters.
pub(crate) fn folded_but_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || text.chars().all(|c| c.is_ascii() || has_no_case(c)) {
        return text.into();
    }
    if text.chars().any(is_put_together) {
        return lower(text.nfc(), text.len()).into();
    }
    lower(text.chars(), text.len()).into()
}

fn lower(chars: impl Iterator<Item = char>, length: usize) -> String {
    let mut out = String::with_capacity(length);
    for c in chars {
        match c {
            // At the end of a word it looks different; it is the same letter.
            'ς' => out.push('σ'),
            c if c.is_ascii() => out.push(c),
            c => out.extend(c.to_lowercase()),
        }
    }
    out
}

/// Whether it is from the scripts of China, Japan and Korea, which are most of some mails, and stays as it is.
const fn has_no_case(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{A63F}' | '\u{AC00}'..='\u{D7FF}') && !is_put_together(c)
}

/// Whether it is one of those that NFC joins with what is before it, in the scripts that do so in mail.
const fn is_put_together(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}' | '\u{1100}'..='\u{11FF}' | '\u{3099}' | '\u{309A}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_compared_without_case_and_composition() {
        let check = |text, wanted| assert_eq!(folded(text), wanted, "{text}");
        check("Hello WORLD", "hello world");
        check("ΣΑΣ ΣΑΣΑ", "σασ σασα");
        check("σας", "σασ");
        check("CAFE\u{301} Éa", "café éa");
        check("\u{1112}\u{1161}\u{11AB}글", "한글");
        check("İ", "i\u{307}");
    }

    #[test]
    fn scripts_without_case_have_none() {
        let all = '\0'..=char::MAX;
        assert!(all.filter(|c| has_no_case(*c)).all(|c| c.to_lowercase().eq([c])));
        assert!(has_no_case('글') && !has_no_case('É') && !has_no_case('\u{3099}'));
    }

    #[test]
    fn a_mail_has_fields_and_bodies() {
        let raw = "Subject: =?utf-8?B?7JWI64WV?= HI\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nnot searched\r\n\
            --b\r\nContent-Type: text/html\r\n\r\n<b>One</b>\r\n--b\r\nContent-Type: image/png\r\n\r\nTwo\r\n--b--\r\n";
        let plain = Plain::of(&crate::parse(raw.as_bytes()).structure, raw.as_bytes());
        assert_eq!(plain.fields[0], ("subject".to_owned(), "안녕 hi".to_owned()));
        assert_eq!(
            plain.bodies,
            ["content-type: text/html", "<b>one</b>", "content-type: image/png"].map(str::to_owned)
        );
    }
}
