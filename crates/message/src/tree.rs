//! Finds the parts of a mail and their exact offsets, in one pass over its bytes and without recursion.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};

use crate::{
    Encoding, Parametrised, Part, Structure, decoder,
    header::{self, Header},
    imap,
    structure::{MAX_DEPTH, MAX_PARTS},
};

/// The longest value of a single-valued part header that is kept.
const MAX_VALUE: usize = 2_048;

/// A multipart (with its boundary until that is closed), message or leaf whose end is not found yet.
struct Open {
    part: usize,
    /// The line that divides its parts, with the two hyphens.
    delimiter: Option<Vec<u8>>,
    digest: bool,
}

struct Scanner<'m> {
    raw: &'m [u8],
    parts: Vec<Part>,
    open: Vec<Open>,
}

/// The tree of `raw`, and the mail's own header.
pub(crate) fn scan(raw: &[u8]) -> (Structure, Header<'_>) {
    let mut scanner = Scanner { raw, parts: Vec::new(), open: Vec::new() };
    let (header, mut at) = scanner.begin(0);
    while let Some(line) = scanner.delimiter_from(at) {
        at = scanner.divide(&line);
    }
    while let Some(open) = scanner.open.pop() {
        scanner.close(open.part, raw.len());
    }
    (Structure::new(scanner.parts), header)
}

/// A line that divides the parts of an open multipart.
struct Delimiter {
    /// Its place in `Scanner::open`.
    owner: usize,
    line: Range<usize>,
    last: bool,
}

impl<'m> Scanner<'m> {
    /// Begins the entity at `start`, and the message within it if it is one. Gives the first header read and the offset
    /// behind the last.
    fn begin(&mut self, start: usize) -> (Header<'m>, usize) {
        let (first, mut nested) = self.entity(start, true);
        let mut end = first.end;
        while nested {
            let (header, more) = self.entity(end, true);
            end = header.end;
            nested = more;
        }
        (first, end)
    }

    /// One header and the part it describes; whether a message follows.
    fn entity(&mut self, start: usize, may_nest: bool) -> (Header<'m>, bool) {
        let delimiters: Vec<&[u8]> = self.open.iter().filter_map(|open| open.delimiter.as_deref()).collect();
        let header = Header::scan(self.raw, start, |line| {
            line.starts_with(b"--")
                && delimiters.iter().any(|delimiter| matches_delimiter(line, delimiter).is_some())
        });
        let digest = self.open.last().is_some_and(|open| open.digest);
        let top = self.open.last().is_none_or(|open| self.parts.get(open.part).is_some_and(Part::is_message));
        let mut part = describe(&header, digest);
        part.depth = u8::try_from(self.open.len()).unwrap_or(MAX_DEPTH);
        part.header = start as u64..header.end as u64;
        part.body = header.end as u64..header.end as u64;
        if top {
            part.envelope = Some(imap::envelope(&header));
        }
        let room = part.depth < MAX_DEPTH && self.parts.len() + 1 < MAX_PARTS;
        let nested = may_nest && room && part.is_message() && part.encoding.is_identity();
        let delimiter = (room && part.is_multipart()).then(|| part.content_type.raw("boundary")).flatten();
        // RFC 2046 §5.1.1: at most 70 characters; more are let pass, but not for ever.
        let delimiter = delimiter.filter(|boundary| !boundary.is_empty() && boundary.len() <= 1_000);
        let delimiter = delimiter.map(|boundary| [b"--", boundary.trim_ascii_end()].concat());
        let digest = part.content_type.value == "multipart/digest";
        self.open.push(Open { part: self.parts.len(), delimiter, digest });
        self.parts.push(part);
        (header, nested)
    }

    /// The next line at or behind `at` (the beginning of a line) that divides an open multipart.
    fn delimiter_from(&self, at: usize) -> Option<Delimiter> {
        if self.parts.len() >= MAX_PARTS || self.open.iter().all(|open| open.delimiter.is_none()) {
            return None;
        }
        let mut line = at;
        if !self.raw.get(at..)?.starts_with(b"--") {
            line = at + memmem::find(self.raw.get(at..)?, b"\n--")? + 1;
        }
        loop {
            let rest = self.raw.get(line..)?;
            let found = self.open.iter().enumerate().rev().find_map(|(owner, open)| {
                // The end of the line is looked for only where its beginning is right: one long line is read once.
                let delimiter = open.delimiter.as_deref().filter(|delimiter| rest.starts_with(delimiter))?;
                let length = memchr(b'\n', rest).map_or(rest.len(), |n| n + 1);
                let last = matches_delimiter(header::trim_line_end(rest.get(..length)?), delimiter)?;
                Some(Delimiter { owner, line: line..line + length, last })
            });
            if found.is_some() {
                return found;
            }
            line += memmem::find(rest, b"\n--")? + 1;
        }
    }

    /// Ends what the delimiter ends, and begins the part behind it. Gives the offset to go on from.
    fn divide(&mut self, delimiter: &Delimiter) -> usize {
        // RFC 2046 §5.1.1: the line break before the delimiter belongs to it.
        let before = self.raw.get(..delimiter.line.start).unwrap_or_default();
        let end = header::trim_line_end(before).len();
        while self.open.len() > delimiter.owner + 1 {
            if let Some(open) = self.open.pop() {
                self.close(open.part, end);
            }
        }
        if delimiter.last {
            if let Some(open) = self.open.last_mut() {
                open.delimiter = None;
            }
            return delimiter.line.end;
        }
        self.begin(delimiter.line.end).1
    }

    fn close(&mut self, index: usize, end: usize) {
        let Some(part) = self.parts.get_mut(index) else { return };
        part.body.end = part.body.start.max(end as u64);
        let body = slice(self.raw, &part.body);
        let decodes = part.encoding == Encoding::Base64 && !part.is_multipart();
        part.decoded_len = if decodes { decoder::base64_len(body) } else { body.len() as u64 };
        if part.is_text() || part.is_message() {
            part.lines = u32::try_from(memchr_iter(b'\n', body).count()).unwrap_or(u32::MAX);
        }
    }
}

/// Whether the line is this delimiter, and if so, whether it is the closing one.
fn matches_delimiter(line: &[u8], delimiter: &[u8]) -> Option<bool> {
    let rest = line.strip_prefix(delimiter)?.trim_ascii_end();
    match rest {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// What the header says about the part.
fn describe(header: &Header<'_>, digest: bool) -> Part {
    let value = |name: &str| {
        header.get(name).map(|value| header::unfold(value, MAX_VALUE)).filter(|value| !value.is_empty())
    };
    let mut content_type = header.get("Content-Type").map(Parametrised::parse).unwrap_or_default();
    if !content_type.value.contains('/') {
        // RFC 2045 §5.2, RFC 2046 §5.1.5; `Content-Type: text` is seen from old mailers.
        let default = if digest && content_type.value.is_empty() { "message/rfc822" } else { "text/plain" };
        default.clone_into(&mut content_type.value);
        if !digest && header.get("Content-Type").is_none() {
            content_type.params.push(("charset".to_owned(), b"us-ascii".to_vec()));
        }
    }
    let language = value("Content-Language").unwrap_or_default();
    Part {
        content_type,
        encoding: header.get("Content-Transfer-Encoding").map(Encoding::parse).unwrap_or_default(),
        disposition: header
            .get("Content-Disposition")
            .map(Parametrised::parse)
            .filter(|d| !d.value.is_empty()),
        content_id: value("Content-ID"),
        description: value("Content-Description"),
        md5: value("Content-MD5"),
        language: (language.split(|byte| *byte == b','))
            .map(|tag| tag.trim_ascii().to_vec())
            .filter(|tag| !tag.is_empty())
            .take(16)
            .collect(),
        location: value("Content-Location"),
        ..Part::default()
    }
}

/// The bytes of a range of the mail.
pub(crate) fn slice<'m>(raw: &'m [u8], range: &Range<u64>) -> &'m [u8] {
    let bound = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    raw.get(bound(range.start)..bound(range.end).min(raw.len())).unwrap_or_default()
}
