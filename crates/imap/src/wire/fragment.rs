//! Bytes to whole commands: lines, and the literals between them, within limits that hold before anything is kept.
//!
//! RFC 9051 §4.3, RFC 7888 (LITERAL+ and LITERAL-).

use bytes::{Buf as _, BytesMut};

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fragment {
    /// More is needed.
    Partial,
    /// A whole command, its literals in it, without the line break at its end.
    Command(Vec<u8>),
    /// The client waits to be told to go on with a literal.
    Continue,
    /// A large literal is announced: is there room for so much? See [`Fragmenter::admit`].
    Reserve(u64),
    Refused {
        begin: Vec<u8>,
        refusal: Refusal,
    },
}

/// Why a command is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A NUL, a bare CR or a bare LF.
    Malformed,
    /// The client waits for the literal's continuation and knows now that none comes.
    TooLarge,
    /// There is no room for the literal now. `lost`: it comes all the same, and cannot be told from commands.
    NoRoom { lost: bool },
    /// The command has more than [`MAX_LITERALS`]. `lost`: the next one comes all the same.
    TooMany { lost: bool },
    /// What follows cannot be told from commands: nothing helps but hanging up.
    Lost,
}

/// How much is accepted of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a command without its literals.
    pub line: usize,
    /// Bytes of a literal, and of all literals of a command together.
    pub literal: u64,
    /// Larger literals are asked for.
    pub unasked: u64,
}

/// Puts commands together.
#[derive(Debug, Default)]
pub struct Fragmenter {
    command: Vec<u8>,
    state: State,
    /// Bytes of the command that are not in literals, and that are.
    line: usize,
    literals: u64,
    count: usize,
    /// So much of the input was looked through for a line's end.
    scanned: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Line,
    Asked(Announced),
    Literal {
        remaining: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    length: u64,
    /// The client sends it without waiting.
    unasked: bool,
}

/// Literals of a command; each costs a round trip or a few bytes, so many are nobody's wish.
pub const MAX_LITERALS: usize = 1_000;
/// As much of a command as a tag can be found in.
const BEGIN: usize = 300;

impl Fragmenter {
    /// Takes what is whole of the input.
    pub fn next(&mut self, input: &mut BytesMut, bounds: &Bounds) -> Fragment {
        loop {
            match self.state {
                State::Asked(_) => return Fragment::Partial,
                State::Literal { remaining } => {
                    let count = usize::try_from(remaining).unwrap_or(usize::MAX).min(input.len());
                    self.command.extend_from_slice(input.get(..count).unwrap_or_default());
                    input.advance(count);
                    let remaining = remaining.saturating_sub(count as u64);
                    if remaining > 0 {
                        self.state = State::Literal { remaining };
                        return Fragment::Partial;
                    }
                    self.state = State::Line;
                }
                State::Line => {
                    if let Some(fragment) = self.line(input, bounds) {
                        return fragment;
                    }
                }
            }
        }
    }

    /// Whether something has come of a command that is not whole yet.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.command.is_empty() || self.state != State::Line || self.scanned > 0
    }

    /// Whether a literal is coming in.
    #[must_use]
    pub const fn is_in_literal(&self) -> bool {
        matches!(self.state, State::Literal { .. })
    }

    /// Says whether there is room for the literal that [`Fragment::Reserve`] told of.
    pub fn admit(&mut self, yes: bool) -> Option<Fragment> {
        let State::Asked(announced) = self.state else { return None };
        if yes {
            return self.begin_literal(announced);
        }
        Some(self.refused(Refusal::NoRoom { lost: announced.unasked }))
    }

    /// Forgets what has come of a command.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn line(&mut self, input: &mut BytesMut, bounds: &Bounds) -> Option<Fragment> {
        let fresh = input.get(self.scanned..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', fresh).map(|at| at + self.scanned) else {
            self.scanned = input.len();
            if self.line + input.len() > bounds.line {
                self.keep(input);
                return Some(self.refused(Refusal::Lost));
            }
            return Some(Fragment::Partial);
        };
        self.scanned = 0;
        self.line += end;
        if self.line > bounds.line {
            self.keep(input);
            return Some(self.refused(Refusal::Lost));
        }
        let line = input.split_to(end);
        input.advance(1);
        let (text, is_crlf) = match line.strip_suffix(b"\r") {
            Some(text) => (text, true),
            None => (&*line, false),
        };
        self.command.extend_from_slice(text);
        let announced = announced(text);
        if !is_crlf || text.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            let is_lost = announced.is_some_and(|announced| announced.unasked);
            return Some(self.refused(if is_lost { Refusal::Lost } else { Refusal::Malformed }));
        }
        let Some(announced) = announced else {
            let command = std::mem::take(&mut self.command);
            self.reset();
            return Some(Fragment::Command(command));
        };
        self.count += 1;
        self.literals = self.literals.saturating_add(announced.length);
        if self.count > MAX_LITERALS {
            return Some(self.refused(Refusal::TooMany { lost: announced.unasked }));
        }
        if self.literals > bounds.literal {
            let refusal = if announced.unasked { Refusal::Lost } else { Refusal::TooLarge };
            return Some(self.refused(refusal));
        }
        self.command.extend_from_slice(b"\r\n");
        // Many small ones together are a large one.
        if self.literals > bounds.unasked {
            self.state = State::Asked(announced);
            return Some(Fragment::Reserve(announced.length));
        }
        self.begin_literal(announced)
    }

    fn begin_literal(&mut self, announced: Announced) -> Option<Fragment> {
        self.state = State::Literal { remaining: announced.length };
        (!announced.unasked).then_some(Fragment::Continue)
    }

    /// Keeps the beginning of a line that is too long, for its tag.
    fn keep(&mut self, input: &mut BytesMut) {
        let room = BEGIN.saturating_sub(self.command.len()).min(input.len());
        self.command.extend_from_slice(input.get(..room).unwrap_or_default());
        input.clear();
    }

    fn refused(&mut self, refusal: Refusal) -> Fragment {
        let mut begin = std::mem::take(&mut self.command);
        begin.truncate(BEGIN);
        self.reset();
        Fragment::Refused { begin, refusal }
    }
}

/// The literal that a line ends in: `"{" number64 ["+"] "}"`.
fn announced(line: &[u8]) -> Option<Announced> {
    let rest = line.strip_suffix(b"}")?;
    let (rest, unasked) = match rest.split_last() {
        Some((b'+' | b'-', rest)) => (rest, true),
        _ => (rest, false),
    };
    let open = memchr::memrchr(b'{', rest)?;
    let digits = rest.get(open + 1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // One that no number can tell is larger than any limit.
    let length = std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX);
    Some(Announced { length, unasked })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { line: 40, literal: 100, unasked: 50 };

    fn all(bytes: &[u8]) -> Vec<Fragment> {
        let mut input = BytesMut::from(bytes);
        let mut fragmenter = Fragmenter::default();
        let mut fragments = Vec::new();
        loop {
            match fragmenter.next(&mut input, &BOUNDS) {
                Fragment::Partial => return fragments,
                Fragment::Reserve(length) => {
                    fragments.push(Fragment::Reserve(length));
                    fragments.extend(fragmenter.admit(length < 60));
                }
                fragment => fragments.push(fragment),
            }
        }
    }

    fn command(text: &str) -> Fragment {
        Fragment::Command(text.as_bytes().to_vec())
    }

    fn refused(begin: &str, refusal: Refusal) -> Fragment {
        Fragment::Refused { begin: begin.as_bytes().to_vec(), refusal }
    }

    #[test]
    fn commands_are_put_together() {
        assert_eq!(all(b"a NOOP\r\nb NOOP\r\nc"), [command("a NOOP"), command("b NOOP")]);
        assert_eq!(
            all(b"a LOGIN {3+}\r\nx\ny {2}\r\nzz\r\n"),
            [Fragment::Continue, command("a LOGIN {3+}\r\nx\ny {2}\r\nzz")]
        );
        assert_eq!(all(b"a X \"{5}\"\r\n"), [command("a X \"{5}\"")]);
    }

    #[test]
    fn limits_hold_before_anything_is_read() {
        assert_eq!(
            all(b"a X {101}\r\nb NOOP\r\n"),
            [refused("a X {101}", Refusal::TooLarge), command("b NOOP")]
        );
        assert_eq!(all(b"a X {101+}\r\n"), [refused("a X {101+}", Refusal::Lost)]);
        assert_eq!(all(b"a X {99999999999999999999+}\r\n").len(), 1);
        let reserve = Fragment::Reserve(61);
        assert_eq!(
            all(b"a X {61}\r\nb"),
            [reserve.clone(), refused("a X {61}\r\n", Refusal::NoRoom { lost: false })]
        );
        assert_eq!(
            all(b"a X {61+}\r\nb"),
            [reserve, refused("a X {61+}\r\n", Refusal::NoRoom { lost: true })]
        );
        assert_eq!(all(b"a X {51}\r\n"), [Fragment::Reserve(51), Fragment::Continue]);
        let long = "x".repeat(41);
        assert_eq!(all(long.as_bytes()), [refused(&long, Refusal::Lost)]);
        assert_eq!(all(format!("{long}\r\n").as_bytes()).len(), 1);
    }

    #[test]
    fn many_small_literals_are_a_large_one() {
        let small = "{30+}\r\n".to_owned() + &"x".repeat(30);
        let said = |count: usize| all(format!("a X {}\r\n", small.repeat(count)).as_bytes());
        assert_eq!(said(1).len(), 1, "nobody is asked");
        assert_eq!(said(2)[0], Fragment::Reserve(30), "together they are more than comes unasked");
        assert!(matches!(said(3).last(), Some(Fragment::Command(_))));
        let last = said(4).into_iter().find(|fragment| matches!(fragment, Fragment::Refused { .. }));
        let Some(Fragment::Refused { begin, refusal: Refusal::Lost }) = last else { panic!("{last:?}") };
        assert!(begin.len() <= BEGIN);
        let mut input = BytesMut::from("{0+}\r\n".repeat(MAX_LITERALS + 1).as_bytes());
        let wide = Bounds { line: 1 << 20, ..BOUNDS };
        let fragment = Fragmenter::default().next(&mut input, &wide);
        let Fragment::Refused { refusal, .. } = fragment else { panic!("{fragment:?}") };
        assert_eq!(refusal, Refusal::TooMany { lost: true });
    }

    #[test]
    fn lines_end_in_crlf() {
        assert_eq!(all(b"a NOOP\nb NOOP\r\n"), [refused("a NOOP", Refusal::Malformed), command("b NOOP")]);
        assert_eq!(all(b"a NO\0OP\r\n"), [refused("a NO\0OP", Refusal::Malformed)]);
        assert_eq!(all(b"a X {3+}\nabc"), [refused("a X {3+}", Refusal::Lost)]);
    }
}
