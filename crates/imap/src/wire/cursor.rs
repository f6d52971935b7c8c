//! Reading a whole command, token by token. Every function is named as its rule in RFC 9051 §9.

use std::borrow::Cow;

/// A command that is not as the grammar says; the text is for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub &'static str);

pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// How deep lists and search keys may nest: deeper than any client, and never enough for the stack.
const MAX_DEPTH: u8 = 50;

/// What is left of a command.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    /// Whether mailbox names are UTF-8 rather than RFC 3501's modified UTF-7 (RFC 6855, RFC 9051).
    pub(super) utf8: bool,
    depth: u8,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8], utf8: bool) -> Self {
        Self { rest: bytes, utf8, depth: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many bytes are left.
    pub(super) const fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn end(&self) -> Parsed<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(SyntaxError("something follows the command")) }
    }

    fn advance(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Takes this byte if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.advance(1);
        }
        is_next
    }

    pub(super) fn byte(&mut self, byte: u8, missing: &'static str) -> Parsed<()> {
        if self.eat(byte) { Ok(()) } else { Err(SyntaxError(missing)) }
    }

    pub(super) fn sp(&mut self) -> Parsed<()> {
        self.byte(b' ', "a space is missing")
    }

    /// Takes this text, in any case, if it is next.
    pub(super) fn eat_text(&mut self, text: &str) -> bool {
        let is_next =
            self.rest.get(..text.len()).is_some_and(|next| next.eq_ignore_ascii_case(text.as_bytes()));
        if is_next {
            self.advance(text.len());
        }
        is_next
    }

    pub(super) fn text(&mut self, text: &str, missing: &'static str) -> Parsed<()> {
        if self.eat_text(text) { Ok(()) } else { Err(SyntaxError(missing)) }
    }

    pub(super) fn take_while(&mut self, is: impl Fn(u8) -> bool) -> &'a [u8] {
        let count = self.rest.iter().position(|byte| !is(*byte)).unwrap_or(self.rest.len());
        self.advance(count)
    }

    /// `atom = 1*ATOM-CHAR`
    pub(super) fn atom(&mut self) -> Parsed<&'a str> {
        self.chars(is_atom_char, "an atom is missing")
    }

    /// At least one of these ASCII characters.
    pub(super) fn chars(&mut self, is: impl Fn(u8) -> bool, missing: &'static str) -> Parsed<&'a str> {
        let taken = self.take_while(is);
        if taken.is_empty() {
            return Err(SyntaxError(missing));
        }
        std::str::from_utf8(taken).map_err(|_| SyntaxError(missing))
    }

    /// A word in capitals: what keywords of the grammar are compared by.
    pub(super) fn word(&mut self) -> Parsed<String> {
        let word = self.chars(|byte| is_atom_char(byte) && byte != b'[', "a word is missing")?;
        Ok(word.to_ascii_uppercase())
    }

    /// `number = 1*DIGIT`, a 32-bit one.
    pub(super) fn number(&mut self) -> Parsed<u32> {
        u32::try_from(self.number64()?).map_err(|_| SyntaxError("the number is too large"))
    }

    /// `nz-number`
    pub(super) fn nz_number(&mut self) -> Parsed<u32> {
        match self.number()? {
            0 => Err(SyntaxError("the number must not be 0")),
            number => Ok(number),
        }
    }

    /// `number64 = 1*DIGIT`, a 63-bit one.
    pub(super) fn number64(&mut self) -> Parsed<u64> {
        let digits = self.chars(|byte| byte.is_ascii_digit(), "a number is missing")?;
        let number = digits.parse::<u64>().ok().filter(|number| i64::try_from(*number).is_ok());
        number.ok_or(SyntaxError("the number is too large"))
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(super) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        if self.is_at_string() {
            return self.string();
        }
        let taken = self.take_while(|byte| is_atom_char(byte) || byte == b']' || byte >= 0x80);
        if taken.is_empty() { Err(SyntaxError("a string is missing")) } else { Ok(taken.into()) }
    }

    /// Whether a quoted string or a literal is next.
    pub(super) fn is_at_string(&self) -> bool {
        matches!(self.rest, [b'"' | b'{', ..] | [b'~', b'{', ..])
    }

    /// An `astring` that is text.
    pub(super) fn astring_text(&mut self) -> Parsed<String> {
        into_text(self.astring()?)
    }

    /// `string = quoted / literal`; a `literal8` is taken, too.
    pub(super) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{' | b'~') => self.literal().map(Cow::Borrowed),
            _ => Err(SyntaxError("a string is missing")),
        }
    }

    /// `nstring = string / nil`
    pub(super) fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if self.eat_text("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        const BAD: SyntaxError = SyntaxError("a quoted string is not closed, or has a bad escape");
        self.byte(b'"', "a quote is missing")?;
        let plain = self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n'));
        if self.eat(b'"') {
            return Ok(plain.into());
        }
        let mut text = plain.to_vec();
        while self.eat(b'\\') {
            let escaped = self.peek().filter(|byte| matches!(byte, b'"' | b'\\')).ok_or(BAD)?;
            self.advance(1);
            text.push(escaped);
            text.extend_from_slice(self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n')));
        }
        if self.eat(b'"') { Ok(text.into()) } else { Err(BAD) }
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`, with the `~` of a `literal8` before it or not.
    pub(super) fn literal(&mut self) -> Parsed<&'a [u8]> {
        const CUT: SyntaxError = SyntaxError("a literal is cut");
        self.eat(b'~');
        self.byte(b'{', "a literal is missing")?;
        let length = usize::try_from(self.number64()?).map_err(|_| CUT)?;
        let _ = self.eat(b'+') || self.eat(b'-');
        self.text("}\r\n", "a literal's length is not closed")?;
        let bytes = self.advance(length);
        if bytes.len() == length { Ok(bytes) } else { Err(CUT) }
    }

    /// Reads something one level deeper.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(SyntaxError("it is nested too deep"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// `"(" one *(SP one) ")"`; an empty one is taken, too.
    pub(super) fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.byte(b'(', "a parenthesis is missing")?;
        let mut items = Vec::new();
        if self.eat(b')') {
            return Ok(items);
        }
        loop {
            items.push(self.nested(&mut one)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.sp()?;
        }
    }
}

pub(super) fn into_text(bytes: Cow<'_, [u8]>) -> Parsed<String> {
    String::from_utf8(bytes.into_owned()).map_err(|_| SyntaxError("a string is not UTF-8"))
}

/// `ATOM-CHAR = <any CHAR except atom-specials>`
pub(super) const fn is_atom_char(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}
