//! What FETCH asks for (RFC 9051 §6.4.5, RFC 3516, RFC 7162, RFC 8474, RFC 8970).

use super::cursor::{Cursor, Parsed, SyntaxError};

/// A data item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Uid,
    Flags,
    InternalDate,
    /// RFC 8514
    SaveDate,
    Rfc822Size,
    Envelope,
    /// BODY: the structure without extension data.
    Body,
    BodyStructure,
    ModSeq,
    /// RFC 8474
    EmailId,
    ThreadId,
    /// RFC 8970. Lazy ones may be left out.
    Preview {
        lazy: bool,
    },
    /// `BODY[...]`, `BODY.PEEK[...]`
    Section {
        section: Section,
        partial: Option<Partial>,
        peek: bool,
    },
    /// `BINARY[...]`, `BINARY.PEEK[...]`
    Binary {
        part: Vec<u32>,
        partial: Option<Partial>,
        peek: bool,
    },
    BinarySize {
        part: Vec<u32>,
    },
    Rfc822,
    Rfc822Header,
    Rfc822Text,
}

/// A piece of a message: of a part, what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The numbers of the part; none: of the message itself.
    pub part: Vec<u32>,
    pub kind: SectionKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionKind {
    /// All of the message, or the body of the part.
    Whole,
    Header,
    HeaderFields {
        names: Vec<String>,
        not: bool,
    },
    Text,
    Mime,
}

/// `<start.count>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    pub start: u64,
    pub count: u64,
}

const BAD_SECTION: SyntaxError = SyntaxError("that is not a section of a message");
/// Pieces of a message that are asked for at once; each may be in memory.
const MAX_ITEMS: usize = 100;
/// Parts do not lie deeper in any structure.
const MAX_PART_DEPTH: usize = 100;

/// `fetch-att` in parentheses, one alone, or a macro.
pub(super) fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<Item>> {
    if cursor.peek() == Some(b'(') {
        let items = cursor.list(item)?;
        return match items.len() {
            0 => Err(SyntaxError("nothing is asked for")),
            1..=MAX_ITEMS => Ok(items),
            _ => Err(SyntaxError("too much is asked for at once")),
        };
    }
    let mut ahead = cursor.clone();
    let fast = [Item::Flags, Item::InternalDate, Item::Rfc822Size];
    let items = match ahead.word().as_deref() {
        Ok("ALL") => fast.into_iter().chain([Item::Envelope]).collect(),
        Ok("FULL") => fast.into_iter().chain([Item::Envelope, Item::Body]).collect(),
        Ok("FAST") => fast.to_vec(),
        _ => return Ok(vec![item(cursor)?]),
    };
    *cursor = ahead;
    Ok(items)
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<Item> {
    Ok(match cursor.word()?.as_str() {
        "UID" => Item::Uid,
        "FLAGS" => Item::Flags,
        "INTERNALDATE" => Item::InternalDate,
        "SAVEDATE" => Item::SaveDate,
        "RFC822.SIZE" => Item::Rfc822Size,
        "ENVELOPE" => Item::Envelope,
        "BODYSTRUCTURE" => Item::BodyStructure,
        "MODSEQ" => Item::ModSeq,
        "EMAILID" => Item::EmailId,
        "THREADID" => Item::ThreadId,
        "PREVIEW" => Item::Preview { lazy: lazy(cursor)? },
        "RFC822" => Item::Rfc822,
        "RFC822.HEADER" => Item::Rfc822Header,
        "RFC822.TEXT" => Item::Rfc822Text,
        "BODY" if cursor.peek() != Some(b'[') => Item::Body,
        "BODY" => section(cursor, false)?,
        "BODY.PEEK" => section(cursor, true)?,
        "BINARY" => binary(cursor, false)?,
        "BINARY.PEEK" => binary(cursor, true)?,
        "BINARY.SIZE" => Item::BinarySize { part: binary_part(cursor)? },
        _ => return Err(SyntaxError("that is nothing that can be fetched")),
    })
}

/// RFC 8970 §3.1: `PREVIEW (LAZY)`.
fn lazy(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    let mut ahead = cursor.clone();
    if !(ahead.eat(b' ') && ahead.peek() == Some(b'(')) {
        return Ok(false);
    }
    *cursor = ahead;
    let modifiers = cursor.list(Cursor::word)?;
    Ok(modifiers.iter().any(|modifier| modifier == "LAZY"))
}

fn section(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<Item> {
    cursor.byte(b'[', BAD_SECTION.0)?;
    let section = section_spec(cursor)?;
    cursor.byte(b']', BAD_SECTION.0)?;
    Ok(Item::Section { section, partial: partial(cursor)?, peek })
}

/// `section-spec = section-msgtext / (section-part ["." section-text])`
fn section_spec(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        part.push(cursor.nz_number()?);
        if part.len() > MAX_PART_DEPTH {
            return Err(BAD_SECTION);
        }
        if !cursor.eat(b'.') {
            return Ok(Section { part, kind: SectionKind::Whole });
        }
    }
    if cursor.peek() == Some(b']') && part.is_empty() {
        return Ok(Section { part, kind: SectionKind::Whole });
    }
    let kind = match cursor.word()?.as_str() {
        "HEADER" => SectionKind::Header,
        "TEXT" => SectionKind::Text,
        "MIME" if !part.is_empty() => SectionKind::Mime,
        "HEADER.FIELDS" => SectionKind::HeaderFields { names: header_list(cursor)?, not: false },
        "HEADER.FIELDS.NOT" => SectionKind::HeaderFields { names: header_list(cursor)?, not: true },
        _ => return Err(BAD_SECTION),
    };
    Ok(Section { part, kind })
}

/// A section as URLs name it.
pub(super) fn read_section(text: &str) -> Option<Section> {
    // What follows a part that is named whole is looked for.
    let text = format!("{text}]");
    let mut cursor = Cursor::new(text.as_bytes(), true);
    let section = section_spec(&mut cursor).ok()?;
    (cursor.eat(b']') && cursor.is_at_end()).then_some(section)
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn header_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.sp()?;
    let names = cursor.list(Cursor::astring_text)?;
    let is_name =
        |name: &String| !name.is_empty() && name.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b':');
    if names.is_empty() || !names.iter().all(is_name) {
        return Err(SyntaxError("those are not names of header fields"));
    }
    Ok(names)
}

fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let start = cursor.number64()?;
    cursor.byte(b'.', BAD_SECTION.0)?;
    let count = cursor.number64()?;
    cursor.byte(b'>', BAD_SECTION.0)?;
    if count == 0 { Err(SyntaxError("nothing is asked for")) } else { Ok(Some(Partial { start, count })) }
}

fn binary(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<Item> {
    let part = binary_part(cursor)?;
    Ok(Item::Binary { part, partial: partial(cursor)?, peek })
}

/// `section-binary = "[" [section-part] "]"`
fn binary_part(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    cursor.byte(b'[', BAD_SECTION.0)?;
    let Section { part, kind } = section_spec(cursor)?;
    cursor.byte(b']', BAD_SECTION.0)?;
    if kind == SectionKind::Whole { Ok(part) } else { Err(BAD_SECTION) }
}
