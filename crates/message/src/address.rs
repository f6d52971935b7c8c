//! Address lists (RFC 5322 §3.4) as bytes: for ENVELOPE as they are, for people decoded.

use types::Address;
use unicode_normalization::UnicodeNormalization;

use crate::{charset, header};

/// One element of an address list, undecoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Mailbox {
        /// Unquoted, unfolded; encoded words as they are.
        name: Vec<u8>,
        local: Vec<u8>,
        domain: Vec<u8>,
    },
    GroupStart(Vec<u8>),
    GroupEnd,
}

/// The elements of an address list, at most the wanted number, and how many mailboxes it has in all.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
    pub(crate) total: u32,
}

/// The longest name, local part or domain that is kept.
const MAX_TEXT: usize = 1_024;

#[derive(Default)]
struct Scanner {
    list: List,
    limit: usize,
    in_group: bool,
    /// The current element with its quotes, and without them.
    written: Vec<u8>,
    shown: Vec<u8>,
    comment: Vec<u8>,
    angle: Option<Vec<u8>>,
    angle_open: bool,
    comment_depth: usize,
    quoted: bool,
    escaped: bool,
}

/// Reads an address list; keeps at most `limit` entries. Whatever cannot be understood ends up as a name or a local part.
pub(crate) fn parse(value: &[u8], limit: usize) -> List {
    let mut scanner = Scanner { limit, ..Scanner::default() };
    for &byte in value {
        scanner.byte(byte);
    }
    scanner.flush();
    if scanner.in_group {
        scanner.keep(Entry::GroupEnd);
    }
    scanner.list
}

impl Scanner {
    fn byte(&mut self, byte: u8) {
        if matches!(byte, b'\r' | b'\n' | 0) {
            return;
        }
        if self.escaped {
            self.escaped = false;
            return self.take(byte, &[b'\\', byte]);
        }
        if byte == b'\\' && (self.quoted || self.comment_depth > 0) {
            self.escaped = true;
            return;
        }
        if self.quoted {
            self.quoted = byte != b'"';
            return if self.quoted { self.take(byte, &[byte]) } else { self.write(b"\"") };
        }
        match byte {
            b'(' => {
                self.comment_depth += 1;
                if self.comment_depth > 1 {
                    push(&mut self.comment, &[byte]);
                }
            }
            b')' if self.comment_depth > 0 => {
                self.comment_depth -= 1;
                if self.comment_depth > 0 {
                    push(&mut self.comment, &[byte]);
                }
            }
            _ if self.comment_depth > 0 => push(&mut self.comment, &[byte]),
            b'"' => {
                self.quoted = true;
                self.write(b"\"");
            }
            b'<' if self.angle.is_none() => {
                self.angle = Some(Vec::new());
                self.angle_open = true;
            }
            b'>' => self.angle_open = false,
            // RFC 5322 §4.4: commas within a route divide no addresses.
            b',' if self.angle_open && self.is_in_route() => self.take(byte, &[byte]),
            b',' => self.flush(),
            b':' if !self.angle_open && !self.in_group && !self.written.contains(&b'@') => {
                let name = std::mem::take(&mut self.shown).trim_ascii().to_vec();
                self.written.clear();
                self.comment.clear();
                self.in_group = true;
                self.keep(Entry::GroupStart(name));
            }
            b';' if !self.angle_open => {
                self.flush();
                if std::mem::take(&mut self.in_group) {
                    self.keep(Entry::GroupEnd);
                }
            }
            _ => self.take(byte, &[byte]),
        }
    }

    fn is_in_route(&self) -> bool {
        self.angle.as_ref().is_some_and(|angle| angle.starts_with(b"@") && !angle.contains(&b':'))
    }

    /// A byte of content: where it belongs now, as shown and as written.
    fn take(&mut self, shown: u8, written: &[u8]) {
        if self.comment_depth > 0 {
            push(&mut self.comment, &[shown]);
        } else {
            if !self.angle_open {
                push(&mut self.shown, &[shown]);
            }
            self.write(written);
        }
    }

    fn write(&mut self, written: &[u8]) {
        match &mut self.angle {
            Some(angle) if self.angle_open => push(angle, written),
            Some(_) | None => push(&mut self.written, written),
        }
    }

    fn flush(&mut self) {
        let written = std::mem::take(&mut self.written);
        let shown = std::mem::take(&mut self.shown);
        let comment = std::mem::take(&mut self.comment);
        self.angle_open = false;
        let (name, address) = match self.angle.take() {
            Some(angle) if shown.trim_ascii().is_empty() => (comment, angle),
            Some(angle) => (shown, angle),
            None if written.contains(&b'@') => (comment, written),
            // A name without an address, as in `undisclosed recipients`.
            None => (Vec::new(), written),
        };
        let address = address.trim_ascii();
        if address.is_empty() && name.trim_ascii().is_empty() {
            return;
        }
        self.list.total = self.list.total.saturating_add(1);
        // RFC 5322 §4.4: a route before the address says nothing today.
        let address = match address.first() {
            Some(b'@') => address.rsplit(|byte| *byte == b':').next().unwrap_or(address),
            _ => address,
        };
        let at = memchr::memrchr(b'@', address);
        let (local, domain) = address.split_at_checked(at.unwrap_or(address.len())).unwrap_or_default();
        self.keep(Entry::Mailbox {
            name: name.trim_ascii().to_vec(),
            local: local.trim_ascii().to_vec(),
            domain: domain.strip_prefix(b"@").unwrap_or(domain).trim_ascii().to_vec(),
        });
    }

    fn keep(&mut self, entry: Entry) {
        if self.list.entries.len() < self.limit {
            self.list.entries.push(entry);
        }
    }
}

fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    if to.len() < MAX_TEXT {
        to.extend_from_slice(bytes);
    }
}

impl List {
    /// For people: decoded, composed, without control characters; groups dissolved.
    pub(crate) fn decoded(&self) -> Vec<Address> {
        self.entries.iter().filter_map(Entry::decoded).collect()
    }
}

impl Entry {
    fn decoded(&self) -> Option<Address> {
        let Self::Mailbox { name, local, domain } = self else { return None };
        let part = |bytes: &[u8]| -> String {
            let text: String = charset::guess(bytes).nfc().collect();
            let quoted = text.starts_with('"');
            let kept =
                |c: &char| !c.is_control() && !header::is_direction(*c) && (quoted || !c.is_whitespace());
            text.chars().filter(kept).collect()
        };
        let mut name = header::text(name, 300);
        if domain.is_empty() {
            // No address at all: it is a name.
            if name.is_empty() {
                name = header::text(local, 300);
            }
            return (!name.is_empty()).then(|| Address { name, email: String::new() });
        }
        let email = format!("{}@{}", part(local), part(domain));
        // `"a@b.c" <a@b.c>` has no name to show.
        if name.trim_matches('\'').eq_ignore_ascii_case(&email) {
            name.clear();
        }
        Some(Address { name, email })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &[(&str, &str)]) {
        let found: Vec<(String, String)> =
            parse(value.as_bytes(), 100).decoded().into_iter().map(|a| (a.name, a.email)).collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(name, email)| ((*name).to_owned(), (*email).to_owned())).collect();
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn lists_as_they_occur() {
        check("a@b.c", &[("", "a@b.c")]);
        check("Alice <a@b.c>, bob@d.e", &[("Alice", "a@b.c"), ("", "bob@d.e")]);
        check("\"Last, First\" <a@b.c>", &[("Last, First", "a@b.c")]);
        check("a@b.c (Alice (the) One)", &[("Alice (the) One", "a@b.c")]);
        check("=?utf-8?B?6rmA66+87IiY?= <a@b.c>", &[("김민수", "a@b.c")]);
        check("\"=?utf-8?B?6rmA66+87IiY?=\" <a@b.c>", &[("김민수", "a@b.c")]);
        check("김민수 <민수@예.한국>", &[("김민수", "민수@예.한국")]);
        check("Friends: a@b.c, Bob <b@c.d>;, c@d.e", &[("", "a@b.c"), ("Bob", "b@c.d"), ("", "c@d.e")]);
        check("undisclosed-recipients:;", &[]);
        check("\"john smith\"@x.y", &[("", "\"john smith\"@x.y")]);
        check("<@r1,@r2:a@b.c>", &[("", "a@b.c")]);
        check("\"a@b.c\" <a@b.c>", &[("", "a@b.c")]);
        check("Nobody", &[("Nobody", "")]);
        check("\"never ends <a@b.c>", &[("", "\"never ends <a@b.c>")]);
        check(",,,", &[]);
        check("<>", &[]);
        check("A \u{202E}B <a@b.c>", &[("A B", "a@b.c")]);
        check("Al\r\n ice <a@b.c>", &[("Al ice", "a@b.c")]);
    }

    #[test]
    fn the_total_goes_on_behind_the_limit() {
        let many = "x@y.z, ".repeat(100_000);
        let list = parse(many.as_bytes(), 1_000);
        assert_eq!((list.entries.len(), list.total), (1_000, 100_000));
    }
}
