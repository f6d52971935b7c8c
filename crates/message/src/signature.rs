//! Signatures: a few bits a mail that say which texts are certainly not in it.
//!
//! A text is known by its *grams*, each three bytes that follow one another. Every gram sets a bit; what has all bits of
//! a text's grams may have the text, what lacks one has not. Small enough to be read for a whole mailbox, where the
//! mails would be too much. The fields that people search in, the rest of the header, and the bodies have bits of their
//! own, as many as each has grams: so long texts do not make short ones look alike. What threads are made of is kept
//! beside them, since it, too, is asked for a whole mailbox.

use std::collections::HashMap;

use memchr::memchr;

use crate::{
    Links, Plain, RefHash, SearchText, Structure, plain::folded_but_ascii, search::search_text_with,
    text_pieces, tree,
};

/// It grows when other texts are found in a mail than before: signatures of another version say nothing.
const VERSION: u8 = 2;

/// Grams are told apart by so many bits of their hash; no section has more bits than that can name.
const HASH_BITS: usize = 1 << 16;

/// Fields with a section of their own.
const NAMED: [&str; 7] = ["subject", "from", "to", "cc", "bcc", "sender", "reply-to"];

/// What part of a mail a text may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The fields that people search in.
    Named,
    /// All others.
    Header,
    Bodies,
}

impl Section {
    const ALL: [Self; 3] = [Self::Named, Self::Header, Self::Bodies];

    /// Where a field of this name, in lower case, is.
    #[must_use]
    pub fn of(field: &str) -> Self {
        if NAMED.contains(&field) { Self::Named } else { Self::Header }
    }

    /// Few bits make more mails be read in vain. A field is short; the rest of the header is seldom searched, and long.
    const fn bits_per_gram(self) -> usize {
        match self {
            Self::Named => 6,
            Self::Header => 2,
            Self::Bodies => 4,
        }
    }
}

/// The grams of a text to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grams(Vec<u16>);

impl Grams {
    /// Of a folded text. One that is shorter than a gram has none: then nothing can be told.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut all: Vec<u16> = hashes(text.as_bytes()).collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }
}

/// A signature that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// Hashes of message-ids: its own, or 0, then those of what it follows.
    links: &'a [u8],
    sections: [&'a [u8]; 3],
}

impl<'a> Signature<'a> {
    /// `None`: it is none, or of another version.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let ([version, links], rest) = bytes.split_first_chunk::<2>()?;
        let (links, mut rest) = rest.split_at_checked(usize::from(*links) * 8)?;
        let mut sections: [&[u8]; 3] = [&[]; 3];
        for section in &mut sections {
            let (length, after) = rest.split_first_chunk::<2>()?;
            (*section, rest) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        }
        (*version == VERSION && rest.is_empty()).then_some(Self { links, sections })
    }

    /// Whether the section may have a text with these grams in it. False is certain.
    #[must_use]
    pub fn may_have(&self, section: Section, grams: &Grams) -> bool {
        let [named, header, bodies] = self.sections;
        let bits = match section {
            Section::Named => named,
            Section::Header => header,
            Section::Bodies => bodies,
        };
        grams.0.iter().all(|hash| {
            let place = place(*hash, bits.len());
            bits.get(place / 8).is_some_and(|byte| byte & (1 << (place % 8)) != 0)
        })
    }

    /// Which mails it follows.
    #[must_use]
    pub fn links(&self) -> Links {
        let (hashes, _) = self.links.as_chunks::<8>();
        let mut hashes = hashes.iter().map(|hash| RefHash(i64::from_le_bytes(*hash)));
        Links { own: hashes.next().filter(|hash| hash.0 != 0), ancestors: hashes.collect() }
    }

    /// The same of all sections.
    #[must_use]
    pub fn may_have_anywhere(&self, grams: &Grams) -> bool {
        Section::ALL.into_iter().any(|section| self.may_have(section, grams))
    }
}

/// The signature of a mail's texts, for storing.
#[must_use]
pub fn signature(plain: &Plain) -> Vec<u8> {
    let mut signer = Signer::new();
    signer.add(plain);
    signer.finish()
}

/// The same of a mail, and its words as [`search_text`](crate::search_text) has them; each part is decoded once for both.
#[must_use]
pub fn signed_text(structure: &Structure, raw: &[u8], max: usize) -> (SearchText, Vec<u8>) {
    let (mut signer, mut known, mut room) = (Signer::new(), HashMap::new(), max);
    for piece in text_pieces(structure, true) {
        let bytes = tree::slice(raw, &piece.range());
        if let Some((index, text)) = piece.decoded(bytes) {
            signer.add_body(&folded_but_ascii(&text));
            if let Some(left) = room.checked_sub(text.len()) {
                room = left;
                known.insert(index, text);
            }
        } else {
            let mut plain = Plain::default();
            plain.add(&piece, bytes);
            signer.add(&plain);
        }
    }
    let mut fetch = |range| Some(tree::slice(raw, &range).into());
    (search_text_with(structure, max, known, &mut fetch), signer.finish())
}

/// What was seen so far.
struct Signer {
    links: Links,
    /// A bit for each hash, by section.
    seen: [Vec<u64>; 3],
}

impl Signer {
    fn new() -> Self {
        Self { links: Links::default(), seen: Section::ALL.map(|_| vec![0; HASH_BITS / 64]) }
    }

    fn add(&mut self, plain: &Plain) {
        let [named, header, bodies] = &mut self.seen;
        for (name, text) in &plain.fields {
            let seen = if Section::of(name) == Section::Named { &mut *named } else { &mut *header };
            note(seen, &format!("{name}: {text}"));
        }
        plain.bodies.iter().for_each(|text| note(bodies, text));
        if plain.links != Links::default() {
            self.links = plain.links.clone();
        }
    }

    fn add_body(&mut self, text: &str) {
        let [_, _, bodies] = &mut self.seen;
        note(bodies, text);
    }

    fn finish(self) -> Vec<u8> {
        let Links { own, ancestors } = &self.links;
        let own = own.unwrap_or(RefHash(0));
        // As many as a field is read for, at most.
        let links = std::iter::once(&own).chain(ancestors).take(255).flat_map(|hash| hash.0.to_le_bytes());
        let links: Vec<u8> = links.collect();
        let mut out = vec![VERSION, u8::try_from(links.len() / 8).unwrap_or(u8::MAX)];
        out.extend(links);
        for (section, seen) in Section::ALL.into_iter().zip(&self.seen) {
            let bits = written(seen, section.bits_per_gram());
            out.extend(u16::try_from(bits.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend(bits);
        }
        out
    }
}

/// Notes the grams of a folded text, whose ASCII letters may be of any case.
fn note(seen: &mut [u64], text: &str) {
    let (mut lines, mut folded) = (Lines::default(), Vec::new());
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let next = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        // With the grams that only begin in it.
        let line = rest.get(..next + 2).unwrap_or(rest);
        if lines.is_new(line) {
            folded.clear();
            folded.extend_from_slice(line);
            folded.make_ascii_lowercase();
            for hash in hashes(&folded) {
                if let Some(word) = seen.get_mut(usize::from(hash) / 64) {
                    *word |= 1 << (hash % 64);
                }
            }
        }
        rest = rest.get(next..).unwrap_or_default();
    }
}

/// Lines that were seen lately: tables, newsletters and what is quoted have the same ones again and again.
struct Lines<'t>([&'t [u8]; 64]);

impl Default for Lines<'_> {
    fn default() -> Self {
        Self([&[]; 64])
    }
}

impl<'t> Lines<'t> {
    fn is_new(&mut self, line: &'t [u8]) -> bool {
        let (Some(start), Some(end)) = (line.first_chunk::<8>(), line.last_chunk::<8>()) else { return true };
        let mixed = u64::from_le_bytes(*start) ^ u64::from_le_bytes(*end).rotate_left(32) ^ line.len() as u64;
        let place = mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        let Some(known) = usize::try_from(place).ok().and_then(|place| self.0.get_mut(place)) else {
            return true;
        };
        std::mem::replace(known, line) != line
    }
}

/// The hashes that were seen in as few bits as they need.
fn written(seen: &[u64], bits_per_gram: usize) -> Vec<u8> {
    let count: usize = seen.iter().map(|word| usize::try_from(word.count_ones()).unwrap_or(0)).sum();
    let mut bits = vec![0_u8; (count * bits_per_gram).min(HASH_BITS).div_ceil(8)];
    let length = bits.len();
    for (word, first) in seen.iter().zip((0_u32..).step_by(64)) {
        let mut left = *word;
        while left != 0 {
            let hash = u16::try_from(first + left.trailing_zeros()).unwrap_or(0);
            left &= left - 1;
            let place = place(hash, length);
            if let Some(byte) = bits.get_mut(place / 8) {
                *byte |= 1 << (place % 8);
            }
        }
    }
    bits
}

/// The hash's bit among those of so many bytes.
fn place(hash: u16, bytes: usize) -> usize {
    (usize::from(hash) * bytes * 8) >> 16
}

fn hashes(text: &[u8]) -> impl Iterator<Item = u16> + '_ {
    let hash = |gram: u32| u16::try_from(gram.wrapping_mul(0x9E37_79B1) >> 16).unwrap_or(0);
    // Four bytes are read at once, of which the last is the next gram's.
    let all = text.array_windows::<4>().map(|bytes| u32::from_be_bytes(*bytes) >> 8);
    let last = text.last_chunk::<3>().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c]));
    all.chain(last).map(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mail(subject: &str, body: &str) -> Vec<u8> {
        let field = |name: &str, text: &str| (name.to_owned(), crate::folded(text));
        signature(&Plain {
            fields: vec![field("subject", subject), field("x-spam", "no")],
            bodies: vec![crate::folded(body)],
            links: Links { own: None, ancestors: vec![RefHash(7), RefHash(-1)] },
        })
    }

    #[test]
    fn what_is_not_there_is_told() {
        let bytes = mail("안녕 Bob", "The quick brown fox jumps over the lazy dog");
        let signature = Signature::read(&bytes).unwrap();
        let check = |section, text: &str, wanted| {
            assert_eq!(signature.may_have(section, &Grams::of(text)), wanted, "{section:?} {text}");
        };
        check(Section::Bodies, "brown fox", true);
        check(Section::Bodies, "zebrafish", false);
        check(Section::Named, "안녕", true);
        check(Section::Named, "subject: 안", true);
        check(Section::Named, "zebrafish", false);
        check(Section::Header, "x-spam: no", true);
        // Too short to tell.
        check(Section::Header, "zz", true);
        assert!(signature.may_have_anywhere(&Grams::of("lazy")));
        assert!(!signature.may_have_anywhere(&Grams::of("zebrafish")));
        assert_eq!(signature.links().own, None);
        assert_eq!(signature.links().ancestors, [RefHash(7), RefHash(-1)]);
        assert!(bytes.len() < 90, "{}", bytes.len());
    }

    #[test]
    fn others_are_not_read() {
        let bytes = mail("a", "b");
        assert!(Signature::read(&bytes).is_some());
        assert_eq!(Signature::read(&[]), None);
        assert_eq!(Signature::read(&[&[VERSION + 1][..], &bytes[1..]].concat()), None);
        assert_eq!(Signature::read(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Signature::read(&bytes[..bytes.len() - 1]), None);
    }

    #[test]
    fn a_long_text_takes_eight_kib() {
        let mut text = String::new();
        for number in 0..200_000_u32 {
            text.push(char::from_u32(0x4E00 + number.wrapping_mul(7_919) % 20_000).unwrap());
        }
        assert!(mail("", &text).len() <= 8 + 24 + 40 + HASH_BITS / 8);
    }

    proptest! {
        #[test]
        fn lines_that_come_again_change_nothing(text in "([ab\n]{0,12}|a line of some length\n|another\r\n\n){0,60}") {
            let mut seen = vec![0; HASH_BITS / 64];
            note(&mut seen, &text);
            let all: std::collections::BTreeSet<u16> = hashes(text.as_bytes()).collect();
            let is_seen = |hash: &u16| seen[usize::from(*hash) / 64] & (1 << (hash % 64)) != 0;
            prop_assert_eq!((0..=u16::MAX).filter(is_seen).collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn nothing_that_is_there_is_denied(text in "\\PC{0,200}", from in 0_usize..200, count in 0_usize..40) {
            let bytes = mail(&text, &text);
            let signature = Signature::read(&bytes).unwrap();
            let folded = crate::folded(&text);
            let piece: String = folded.chars().skip(from).take(count).collect();
            let grams = Grams::of(&piece);
            prop_assert!(signature.may_have(Section::Bodies, &grams));
            prop_assert!(signature.may_have(Section::Named, &grams));
        }
    }
}
