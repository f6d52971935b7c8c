//! Items that are parts of the message itself: `BODY[...]`, `BINARY[...]`, `RFC822`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use imap::wire::{Item, Partial, Section, SectionKind};
use imap::{Code, Status, Writer};
use mail::Letter;
use message::{Encoding, Part};

use super::{Piece, flush};
use crate::imap::answers;

/// Literals up to this are gathered with what is around them.
pub(super) const GATHERED: u64 = 64 << 10;
/// A header is read as a whole to pick fields from it; no honest one is longer.
const MAX_HEADER: u64 = 4 << 20;

pub(super) async fn write(
    out: &mut Writer,
    ready: &mut VecDeque<Piece>,
    item: &Item,
    letter: &Letter,
) -> Result<(), Status> {
    match item {
        Item::Section { section, partial, .. } => {
            begin(out, section, *partial);
            body(out, ready, section, *partial, letter).await
        }
        Item::Rfc822 => {
            out.text("RFC822 ");
            body(out, ready, &whole(SectionKind::Whole), None, letter).await
        }
        Item::Rfc822Header => {
            out.text("RFC822.HEADER ");
            body(out, ready, &whole(SectionKind::Header), None, letter).await
        }
        Item::Rfc822Text => {
            out.text("RFC822.TEXT ");
            body(out, ready, &whole(SectionKind::Text), None, letter).await
        }
        Item::Binary { part, partial, .. } => binary(out, ready, part, *partial, letter).await,
        Item::BinarySize { part } => {
            let size = match found(letter, part)? {
                Some(part) => letter.part(part).decoded_size().await.map_err(answers::refusal)?,
                None if part.is_empty() => letter.size_bytes(),
                None => 0,
            };
            out.format(format_args!("BINARY.SIZE[{}] {size}", numbers(part)));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The same of what is in the header of the message, which is known.
pub(super) fn write_header(out: &mut Writer, item: &Item, header: &Bytes) {
    match item {
        Item::Section { section, partial, .. } => {
            begin(out, section, *partial);
            match &section.kind {
                SectionKind::HeaderFields { names, not } => {
                    out.literal(&slice(picked(header, names, *not).into(), *partial));
                }
                _ => {
                    out.literal(&slice(header.clone(), *partial));
                }
            }
        }
        Item::Rfc822Header => {
            out.text("RFC822.HEADER ").literal(header);
        }
        _ => {}
    }
}

/// The name of what follows.
fn begin(out: &mut Writer, section: &Section, partial: Option<Partial>) {
    out.text("BODY").text(&name(section));
    if let Some(Partial { start, .. }) = partial {
        out.format(format_args!("<{start}>"));
    }
    out.text(" ");
}

/// The bytes of a section, if there is such a part; an error if they are more than `limit`.
pub(in crate::imap) async fn piece(
    section: &Section,
    partial: Option<Partial>,
    letter: &Letter,
    limit: u64,
) -> mail::Result<Option<Bytes>> {
    let Some(range) = range(section, letter)? else { return Ok(None) };
    if let SectionKind::HeaderFields { names, not } = &section.kind {
        let header = letter.collect(range, MAX_HEADER).await?;
        return Ok(Some(slice(picked(&header, names, *not).into(), partial)));
    }
    letter.collect(cut(range, partial), limit).await.map(Some)
}

/// What of these bytes is asked for.
fn slice(bytes: Bytes, partial: Option<Partial>) -> Bytes {
    let cut = cut(0..bytes.len() as u64, partial);
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (place(cut.start), place(cut.end));
    bytes.slice(start..end)
}

const fn whole(kind: SectionKind) -> Section {
    Section { part: Vec::new(), kind }
}

async fn body(
    out: &mut Writer,
    ready: &mut VecDeque<Piece>,
    section: &Section,
    partial: Option<Partial>,
    letter: &Letter,
) -> Result<(), Status> {
    let Some(range) = range(section, letter).map_err(answers::refusal)? else {
        // There is no such part.
        out.text("NIL");
        return Ok(());
    };
    if let SectionKind::HeaderFields { names, not } = &section.kind {
        let header = letter.collect(range, MAX_HEADER).await.map_err(answers::refusal)?;
        out.literal(&slice(picked(&header, names, *not).into(), partial));
        return Ok(());
    }
    let range = cut(range, partial);
    let length = range.end - range.start;
    if length <= GATHERED {
        let bytes = letter.collect(range, GATHERED).await.map_err(answers::refusal)?;
        out.literal(&bytes);
    } else {
        out.literal_start(length);
        flush(ready, out);
        ready.push_back(Piece::Stream { stream: letter.bytes(range), remaining: length });
    }
    Ok(())
}

/// RFC 3516 §4.2: a part without its transfer encoding.
async fn binary(
    out: &mut Writer,
    ready: &mut VecDeque<Piece>,
    section: &[u32],
    partial: Option<Partial>,
    letter: &Letter,
) -> Result<(), Status> {
    out.format(format_args!("BINARY[{}]", numbers(section)));
    if let Some(Partial { start, .. }) = partial {
        out.format(format_args!("<{start}>"));
    }
    out.text(" ");
    let Some(part) = found(letter, section)? else {
        if !section.is_empty() {
            out.text("NIL");
            return Ok(());
        }
        let range = cut(0..letter.size_bytes(), partial);
        let length = range.end - range.start;
        out.literal8_start(length);
        flush(ready, out);
        ready.push_back(Piece::Stream { stream: letter.bytes(range), remaining: length });
        return Ok(());
    };
    let content = letter.part(part);
    let size = content.decoded_size().await.map_err(answers::refusal)?;
    let range = cut(0..size, partial);
    let length = range.end - range.start;
    out.literal8_start(length);
    flush(ready, out);
    ready.push_back(Piece::Stream { stream: content.bytes(range), remaining: length });
    Ok(())
}

/// The part of this number, if it is one that has an encoding that is known.
fn found<'a>(letter: &'a Letter, section: &[u32]) -> Result<Option<&'a Part>, Status> {
    if section.is_empty() {
        return Ok(None);
    }
    let part = letter.structure().map_err(answers::refusal)?.part(&numbers(section));
    match part {
        Some(part) if part.encoding == Encoding::Other => {
            Err(Status::no("The encoding of the part is not known").with(Code::UnknownCte))
        }
        part => Ok(part),
    }
}

/// Where in the message the section lies.
fn range(section: &Section, letter: &Letter) -> mail::Result<Option<Range<u64>>> {
    let Section { part, kind } = section;
    if *kind == SectionKind::Whole && part.is_empty() {
        return Ok(Some(0..letter.size_bytes()));
    }
    let structure = letter.structure()?;
    let number = numbers(part);
    Ok(match kind {
        SectionKind::Whole => structure.part(&number).map(|part| part.body.clone()),
        SectionKind::Mime => structure.part(&number).map(|part| part.header.clone()),
        SectionKind::Header | SectionKind::HeaderFields { .. } => {
            structure.message(&number).map(|message| message.header.clone())
        }
        SectionKind::Text if part.is_empty() => {
            structure.root().map(|root| root.header.end..letter.size_bytes())
        }
        SectionKind::Text => structure.message(&number).map(|message| message.header.end..message.body.end),
    })
}

fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { start, count }) = partial else { return range };
    let start = range.start.saturating_add(start).min(range.end);
    start..start.saturating_add(count).min(range.end)
}

/// The fields of these names, or all others, as they lie, and the empty line behind them.
fn picked(header: &[u8], names: &[String], not: bool) -> Vec<u8> {
    let mut picked = Vec::new();
    let mut is_wanted = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
            is_wanted = names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes())) != not;
        }
        if is_wanted {
            picked.extend_from_slice(line);
        }
    }
    picked.extend_from_slice(b"\r\n");
    picked
}

/// `[section-spec]` as it was asked for.
fn name(section: &Section) -> String {
    let mut name = format!("[{}", numbers(&section.part));
    if !section.part.is_empty() && section.kind != SectionKind::Whole {
        name.push('.');
    }
    match &section.kind {
        SectionKind::Whole => {}
        SectionKind::Header => name.push_str("HEADER"),
        SectionKind::Text => name.push_str("TEXT"),
        SectionKind::Mime => name.push_str("MIME"),
        SectionKind::HeaderFields { names, not } => {
            let not = if *not { ".NOT" } else { "" };
            let _ = write!(name, "HEADER.FIELDS{not} ({})", names.join(" "));
        }
    }
    name.push(']');
    name
}

fn numbers(part: &[u32]) -> String {
    part.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_picked_as_they_lie() {
        let header = b"From: a\r\nSubject: x\r\n y\r\nTO : b\r\n\r\n";
        let check = |names: &[&str], not, wanted: &str| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(String::from_utf8(picked(header, &names, not)).unwrap(), wanted);
        };
        check(&["subject", "To"], false, "Subject: x\r\n y\r\nTO : b\r\n\r\n");
        check(&["subject", "To"], true, "From: a\r\n\r\n");
        check(&["x"], false, "\r\n");
    }

    #[test]
    fn pieces_stay_within_the_section() {
        let partial = |start, count| Some(Partial { start, count });
        assert_eq!(cut(10..20, None), 10..20);
        assert_eq!(cut(10..20, partial(2, 3)), 12..15);
        assert_eq!(cut(10..20, partial(2, u64::MAX)), 12..20);
        assert_eq!(cut(10..20, partial(50, 1)), 20..20);
    }
}
