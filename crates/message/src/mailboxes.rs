//! Lists of mailboxes by the letter of their grammar, for whoever has to know whom a mail is from: what is none is read
//! differently by different programs. [`crate::address`] reads whatever comes.
//!
//! RFC 5322 §3.4, with the groups of RFC 6854, the letters of RFC 6532 and the obsolete forms that programs still write
//! (§4.4): dots in names without quotes, routes, blanks around dots, empty elements. Brackets in names are let pass, too:
//! nobody takes them for an address. Control characters and local parts that are quoted in pieces are not.

use unicode_normalization::UnicodeNormalization as _;

use crate::charset;

/// Why a text is no list of mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("a name with @ or < in it is to be in quotes")]
    Name,
    #[error("a name has no address")]
    NoAddress,
    #[error("what should be an address is none")]
    Address,
    #[error("something comes after an address before the next comma")]
    Behind,
    #[error("a quoted string, a comment, a group or an address has no end")]
    Endless,
    #[error("a character is to be in quotes")]
    Character,
    #[error("it names too many")]
    TooMany,
}

type Result<T> = std::result::Result<T, Malformed>;

const MAX_BYTES: usize = 256 << 10;

/// The addresses of a list, at most `limit`.
pub(crate) fn parse(value: &[u8], limit: usize) -> Result<Vec<String>> {
    if value.len() > MAX_BYTES {
        return Err(Malformed::TooMany);
    }
    if value.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')) {
        return Err(Malformed::Character);
    }
    let mut cursor = Cursor { rest: value };
    let (mut found, mut in_group) = (Vec::new(), false);
    loop {
        cursor.skip_cfws()?;
        match cursor.peek() {
            None if in_group => return Err(Malformed::Endless),
            None => return Ok(found),
            Some(b',') => cursor.bump(),
            Some(b';') if in_group => {
                cursor.bump();
                in_group = false;
                cursor.element_ends(in_group)?;
            }
            Some(_) => match cursor.element()? {
                Element::Group if in_group => return Err(Malformed::Character),
                Element::Group => in_group = true,
                Element::Mailbox(_) if found.len() >= limit => return Err(Malformed::TooMany),
                Element::Mailbox(address) => {
                    found.push(address);
                    cursor.element_ends(in_group)?;
                }
            },
        }
    }
}

enum Element {
    Mailbox(String),
    /// Its name, and the colon.
    Group,
}

struct Cursor<'m> {
    rest: &'m [u8],
}

/// Words and dots, which are a name or what stands before an `@`.
#[derive(Default)]
struct Phrase {
    /// Without what is between them.
    written: Vec<u8>,
    /// Whether it may stand before an `@`: atoms with dots between them, or one quoted string.
    is_local: bool,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn bump(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn take(&mut self) -> Result<u8> {
        let byte = self.peek().ok_or(Malformed::Endless)?;
        self.bump();
        Ok(byte)
    }

    /// White space and comments.
    fn skip_cfws(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.bump(),
                Some(b'(') => {
                    depth += 1;
                    self.bump();
                }
                Some(b')') if depth > 0 => {
                    depth -= 1;
                    self.bump();
                }
                Some(b'\\') if depth > 0 => {
                    self.quoted_pair()?;
                }
                Some(_) if depth > 0 => self.bump(),
                None if depth > 0 => return Err(Malformed::Endless),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// The character behind a backslash.
    fn quoted_pair(&mut self) -> Result<u8> {
        self.bump();
        match self.take()? {
            b'\r' | b'\n' => Err(Malformed::Character),
            byte => Ok(byte),
        }
    }

    /// `mailbox`, or the beginning of a `group`.
    fn element(&mut self) -> Result<Element> {
        let phrase = self.phrase()?;
        match self.peek() {
            Some(b'<') => self.angle().map(Element::Mailbox),
            Some(b'@') => {
                let address = self.address(phrase)?;
                self.skip_cfws()?;
                match self.peek() {
                    // Some programs have the address for a name: then both are the same.
                    Some(b'<') => match self.angle()? {
                        same if same.eq_ignore_ascii_case(&address) => Ok(Element::Mailbox(same)),
                        _ => Err(Malformed::Name),
                    },
                    _ => Ok(Element::Mailbox(address)),
                }
            }
            Some(b':') if phrase.written.contains(&b'@') => Err(Malformed::Name),
            Some(b':') if !phrase.written.is_empty() => {
                self.bump();
                Ok(Element::Group)
            }
            None | Some(b',' | b';') => Err(Malformed::NoAddress),
            Some(_) => Err(Malformed::Character),
        }
    }

    /// What has to come behind a mailbox or a group.
    fn element_ends(&mut self, in_group: bool) -> Result<()> {
        self.skip_cfws()?;
        match self.peek() {
            None | Some(b',') => Ok(()),
            Some(b';') if in_group => Ok(()),
            // `<a@b> <c@d>`: whichever a program takes, the other one is its name.
            Some(b'<') => Err(Malformed::Name),
            Some(_) => Err(Malformed::Behind),
        }
    }

    /// `*(word / ".")`.
    fn phrase(&mut self) -> Result<Phrase> {
        let mut phrase = Phrase { is_local: true, ..Phrase::default() };
        let (mut after_word, mut has_quotes) = (false, false);
        loop {
            self.skip_cfws()?;
            let is_word = match self.peek() {
                Some(b'.') => {
                    self.bump();
                    phrase.written.push(b'.');
                    phrase.is_local &= !has_quotes;
                    false
                }
                Some(b'"') => {
                    phrase.is_local &= phrase.written.is_empty();
                    self.quoted(&mut phrase.written)?;
                    has_quotes = true;
                    true
                }
                Some(byte) if is_atext(byte) => {
                    self.atom(&mut phrase.written);
                    true
                }
                Some(byte @ (b'[' | b']')) => {
                    self.bump();
                    phrase.written.push(byte);
                    phrase.is_local = false;
                    false
                }
                Some(_) | None => return Ok(phrase),
            };
            phrase.is_local &= !(after_word && is_word);
            after_word = is_word;
        }
    }

    fn atom(&mut self, to: &mut Vec<u8>) {
        while let Some(byte) = self.peek().filter(|byte| is_atext(*byte)) {
            to.push(byte);
            self.bump();
        }
    }

    /// With its quotes.
    fn quoted(&mut self, to: &mut Vec<u8>) -> Result<()> {
        to.push(self.take()?);
        loop {
            match self.peek() {
                // RFC 5322 §2.2.3: folding is none of the text.
                Some(b'\r' | b'\n') => self.bump(),
                Some(b'\\') => to.extend([b'\\', self.quoted_pair()?]),
                _ => {
                    let byte = self.take()?;
                    to.push(byte);
                    if byte == b'"' {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// `"<" [obs-route] addr-spec ">"`.
    fn angle(&mut self) -> Result<String> {
        self.bump();
        self.skip_cfws()?;
        if self.peek() == Some(b'@') {
            self.route()?;
        }
        let local = self.phrase()?;
        if self.peek() != Some(b'@') {
            return Err(Malformed::Address);
        }
        let address = self.address(local)?;
        match self.take()? {
            b'>' => Ok(address),
            _ => Err(Malformed::Address),
        }
    }

    /// `"@" domain *("," ["@" domain]) ":"`
    fn route(&mut self) -> Result<()> {
        loop {
            match self.take()? {
                b'@' => {
                    self.domain()?;
                }
                b',' => self.skip_cfws()?,
                b':' => return Ok(()),
                _ => return Err(Malformed::Address),
            }
        }
    }

    /// An address from its `@` on.
    fn address(&mut self, local: Phrase) -> Result<String> {
        if !local.is_local || local.written.is_empty() || local.written.contains(&b'\t') {
            return Err(Malformed::Address);
        }
        self.bump();
        let mut address = local.written;
        address.push(b'@');
        address.extend(self.domain()?);
        Ok(charset::guess(&address).nfc().collect())
    }

    /// `dot-atom / domain-literal / obs-domain`, and what blanks come after it.
    fn domain(&mut self) -> Result<Vec<u8>> {
        self.skip_cfws()?;
        let mut domain = Vec::new();
        if self.peek() == Some(b'[') {
            loop {
                let byte = self.take()?;
                domain.push(byte);
                // RFC 5321 §4.1.3: addresses have no other characters.
                let is_fit = byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'-');
                match byte {
                    b']' => break,
                    b'[' if domain.len() == 1 => {}
                    _ if is_fit => {}
                    _ => return Err(Malformed::Address),
                }
            }
            self.skip_cfws()?;
            return Ok(domain);
        }
        loop {
            let start = domain.len();
            self.atom(&mut domain);
            self.skip_cfws()?;
            if domain.len() == start {
                // One dot may end it, as in the DNS.
                return if domain.is_empty() { Err(Malformed::Address) } else { Ok(domain) };
            }
            if self.peek() != Some(b'.') {
                return Ok(domain);
            }
            self.bump();
            domain.push(b'.');
            self.skip_cfws()?;
        }
    }
}

/// RFC 5322 §3.2.3 `atext`, and RFC 6532 §3.2.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte) || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address;

    proptest! {
        /// Whose a mail may be is decided by what is read here; what people are shown must not be another's.
        #[test]
        fn whoever_is_named_is_shown(pieces in proptest::collection::vec(
            prop_oneof![
                Just("a"), Just("bob"), Just("@"), Just("x.y"), Just("."), Just(","), Just(";"), Just(":"), Just("<"),
                Just(">"), Just("\""), Just("("), Just(")"), Just("\\"), Just("["), Just("]"), Just(" "), Just("\r\n "),
                Just("한"), Just("=?utf-8?q?a?="), Just("<a@x.y>"), Just("a@x.y"), Just("\"a b\""),
            ],
            0..14,
        )) {
            let value = pieces.concat();
            if let Ok(named) = parse(value.as_bytes(), 100) {
                let shown = address::parse(value.as_bytes(), 100).decoded();
                let shown: Vec<_> = shown.into_iter().map(|one| one.email).collect();
                prop_assert_eq!(shown, named, "{}", value);
            }
        }
    }

    #[test]
    fn lists_as_programs_write_them() {
        let check = |value: &str, wanted: &[&str]| {
            let found = parse(value.as_bytes(), 100);
            assert_eq!(
                found.as_deref(),
                Ok(&wanted.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..]),
                "{value}"
            );
            // Who shows them shows the same.
            let shown: Vec<_> =
                address::parse(value.as_bytes(), 100).decoded().into_iter().map(|one| one.email).collect();
            assert_eq!(shown, wanted, "{value}");
        };
        for (value, wanted) in [
            ("a@b.c", "a@b.c"),
            (" <a@b.c>\r\n", "a@b.c"),
            ("Alice <a@b.c>", "a@b.c"),
            ("\"Alice\"<a@b.c>", "a@b.c"),
            ("\"b@d.e\" <a@b.c>", "a@b.c"),
            ("\"<b@d.e>\" <a@b.c>", "a@b.c"),
            ("\"Last, First \\\"X\\\"\" <a@b.c>", "a@b.c"),
            ("John Q. Public <a@b.c>", "a@b.c"),
            ("Mr. O'Neil-Smith & Sons / Co. <a@b.c>", "a@b.c"),
            ("[Team] Alice <a@b.c>", "a@b.c"),
            ("=?utf-8?B?6rmA66+87IiY?= <a@b.c>", "a@b.c"),
            ("=?utf-8?Q?J=C3=B6rg?=\r\n =?utf-8?Q?_M.?= <a@b.c>", "a@b.c"),
            ("=?utf-8?Q?Foo_(Bar)?= <a@b.c>", "a@b.c"),
            ("김민수 <민수@예.한국>", "민수@예.한국"),
            ("a@b.c (Alice (the) \\( One, b@d.e)", "a@b.c"),
            ("(x) Alice (y) < (z) a@b.c > (w)", "a@b.c"),
            ("\"john smith\"@x.y", "\"john smith\"@x.y"),
            ("<@r1,@r2:a@b.c>", "a@b.c"),
            ("a . b @ c . d", "a.b@c.d"),
            ("a@[127.0.0.1]", "a@[127.0.0.1]"),
            ("a@b.c.", "a@b.c."),
            (".Dots. <a@b.c>", "a@b.c"),
        ] {
            check(value, &[wanted]);
        }
        check("Alice <a@b.c>, , bob@d.e,", &["a@b.c", "bob@d.e"]);
        check("Friends: a@b.c, Bob <b@c.d>;, c@d.e", &["a@b.c", "b@c.d", "c@d.e"]);
        check("a@b.c <A@b.c>, bob@d.e", &["A@b.c", "bob@d.e"]);
        check("undisclosed-recipients:;", &[]);
        check("", &[]);
    }

    #[test]
    fn what_is_no_list_is_told() {
        for (value, wanted) in [
            ("<alice@x.y> <bob@x.y>", Malformed::Name),
            ("bob@x.y <alice@x.y>", Malformed::Name),
            ("alice@x.y <bob@x.y>", Malformed::Name),
            ("Bob bob@x.y <alice@x.y>", Malformed::Address),
            ("=?utf-8?q?bob@x.y?= <alice@x.y>", Malformed::Name),
            ("alice@x.y bob@x.y", Malformed::Behind),
            ("<alice@x.y> Alice", Malformed::Behind),
            ("al ice@x.y", Malformed::Address),
            ("<al ice@x.y>", Malformed::Address),
            ("<alice@x.y@z.a>", Malformed::Address),
            ("<alice@x y>", Malformed::Address),
            ("<bob@x.y, alice@x.y>", Malformed::Address),
            ("Bob <<alice@x.y>>", Malformed::Address),
            ("<@x.y>", Malformed::Address),
            ("<>", Malformed::Address),
            ("<alice>", Malformed::Address),
            ("alice", Malformed::NoAddress),
            ("alice, bob@x.y", Malformed::NoAddress),
            ("\"never ends <alice@x.y>", Malformed::Endless),
            ("(never ends <alice@x.y>", Malformed::Endless),
            ("<alice@x.y", Malformed::Endless),
            ("Friends: alice@x.y", Malformed::Endless),
            ("A: B: alice@x.y;", Malformed::Character),
            ("A\\B <alice@x.y>", Malformed::Character),
            ("A ) <alice@x.y>", Malformed::Character),
            ("A\0 <alice@x.y>", Malformed::Character),
            ("> <alice@x.y>", Malformed::Character),
            ("A: alice@x.y; bob@x.y", Malformed::Behind),
            ("[bob@x.y] <alice@x.y>", Malformed::Address),
            ("alice@[<]", Malformed::Address),
            ("<,alice@x.y>", Malformed::Address),
            ("\"al ice\".x@x.y", Malformed::Address),
            ("\"bob@x.y\": alice@x.y;", Malformed::Name),
            ("\"Alice\\\r\n\" <alice@x.y>", Malformed::Character),
        ] {
            assert_eq!(parse(value.as_bytes(), 100), Err(wanted), "{value}");
        }
        assert_eq!(parse(b"a@b.c, d@e.f", 1), Err(Malformed::TooMany));
    }
}
