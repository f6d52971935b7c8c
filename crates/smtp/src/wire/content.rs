//! RFC 5321 §4.1.1.4 and §4.5.2: mail content as it comes, with its dots taken off and its end found.
//!
//! **No smuggling.** Only `CR LF . CR LF` ends the content. Wherever else a CR stands without LF or an LF without CR,
//! servers disagree about what is a line, and one mail can be made to look like two; such content is read to its real
//! end and never accepted. The same holds for BDAT chunks, since what is stored may travel on by DATA.

use memchr::memchr3;

/// Why content cannot be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    BareCr,
    BareLf,
    Nul,
    LongLine,
}

/// What a look at some content found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// So many bytes at the front belong to no mail: a dot that was added, or the final one.
    pub skip: usize,
    /// So many after them are content.
    pub content: usize,
    /// Whether they end the mail.
    pub end: bool,
}

/// Where in a line the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// After a first dot, which is content in no case.
    Dot,
    DotCr,
    Text,
    Cr,
}

/// Reads content in pieces of any size. It looks at each byte once and keeps none.
#[derive(Debug)]
pub struct Scanner {
    place: Place,
    line: usize,
    max_line: usize,
    dots: bool,
    /// Any bytes are content.
    binary: bool,
    fault: Option<Fault>,
}

impl Scanner {
    /// For DATA: dots are transparent, and one alone on a line is the end.
    #[must_use]
    pub const fn dotted(max_line: usize) -> Self {
        Self { place: Place::Start, line: 0, max_line, dots: true, binary: false, fault: None }
    }

    /// For BDAT, where whoever calls knows the end.
    #[must_use]
    pub const fn counted(max_line: usize) -> Self {
        Self { place: Place::Start, line: 0, max_line, dots: false, binary: false, fault: None }
    }

    /// For BDAT with BINARYMIME (RFC 3030 §3): nothing is wrong with any bytes, and whoever keeps them must see to it
    /// that they never travel as lines of text.
    #[must_use]
    pub const fn binary() -> Self {
        Self { place: Place::Start, line: 0, max_line: 0, dots: false, binary: true, fault: None }
    }

    /// The first fault so far.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// No more follows: a CR at the very end is a bare one.
    pub fn finish(&mut self) {
        if self.place == Place::Cr {
            self.blame(Fault::BareCr);
        }
    }

    /// Looks at the front of `input`, as far as content goes without a dot to be taken out. All that `Run` counts is
    /// done with; what remains is to be scanned next.
    pub fn scan(&mut self, input: &[u8]) -> Run {
        if self.binary {
            return Run { skip: 0, content: input.len(), end: false };
        }
        let (skip, end) = self.leading_dot(input);
        let rest = input.get(skip..).unwrap_or_default();
        if end || rest.is_empty() {
            return Run { skip, content: 0, end };
        }
        Run { skip, content: self.text(rest), end: false }
    }

    /// Takes a dot at the start of a line off; tells whether it was the end.
    fn leading_dot(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        if self.place == Place::Start && self.dots && input.first() == Some(&b'.') {
            self.place = Place::Dot;
            at = 1;
        }
        if self.place == Place::Dot {
            match input.get(at) {
                Some(b'\r') => {
                    self.place = Place::DotCr;
                    at += 1;
                }
                Some(_) => self.place = Place::Text,
                None => {}
            }
        }
        if self.place == Place::DotCr {
            match input.get(at) {
                Some(b'\n') => {
                    self.place = Place::Start;
                    return (at + 1, true);
                }
                Some(_) => {
                    self.blame(Fault::BareCr);
                    self.place = Place::Text;
                }
                None => {}
            }
        }
        (at, false)
    }

    /// Goes over content up to a line that begins with a dot, or to the end of `input`.
    fn text(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.place == Place::Cr {
                if rest.first() == Some(&b'\n') {
                    (self.place, self.line) = (Place::Start, 0);
                    at += 1;
                    continue;
                }
                self.blame(Fault::BareCr);
            }
            if self.place == Place::Start && self.dots && rest.first() == Some(&b'.') {
                return at;
            }
            let found = memchr3(b'\r', b'\n', 0, rest);
            let length = found.unwrap_or(rest.len());
            self.place = Place::Text;
            self.line += length;
            if self.line > self.max_line {
                self.blame(Fault::LongLine);
            }
            at += length;
            let Some(special) = found.and_then(|found| rest.get(found)) else {
                break;
            };
            at += 1;
            match special {
                b'\r' => self.place = Place::Cr,
                b'\n' => self.blame(Fault::BareLf),
                _ => self.blame(Fault::Nul),
            }
        }
        at
    }

    fn blame(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, where the end was found, and the fault.
    fn scan(input: &[u8], chunk: usize) -> (Vec<u8>, Option<usize>, Option<Fault>) {
        let (mut scanner, mut content, mut used) = (Scanner::dotted(20), Vec::new(), 0);
        for piece in input.chunks(chunk) {
            let mut rest = piece;
            while !rest.is_empty() {
                let run = scanner.scan(rest);
                assert!(run.skip + run.content > 0, "it must go on");
                content.extend_from_slice(&rest[run.skip..run.skip + run.content]);
                rest = &rest[run.skip + run.content..];
                used += run.skip + run.content;
                if run.end {
                    return (content, Some(used), scanner.fault());
                }
            }
        }
        (content, None, scanner.fault())
    }

    fn check(input: &str, content: Option<&str>, rest: Option<&str>, fault: Option<Fault>) {
        for chunk in [1, 2, 3, 1_000] {
            let (got, end, got_fault) = scan(input.as_bytes(), chunk);
            assert_eq!(got_fault, fault, "{input:?} by {chunk}");
            assert_eq!(end.map(|end| &input[end..]), rest, "{input:?} by {chunk}");
            if let Some(content) = content {
                assert_eq!(String::from_utf8_lossy(&got), content, "{input:?} by {chunk}");
            }
        }
    }

    #[test]
    fn dots_are_transparent_and_the_end_is_found() {
        check(".\r\n", Some(""), Some(""), None);
        check("a\r\n.\r\nQUIT\r\n", Some("a\r\n"), Some("QUIT\r\n"), None);
        check("..\r\n.\r\n", Some(".\r\n"), Some(""), None);
        check("a.\r\n..b\r\n.c\r\n\r\n.\r\n", Some("a.\r\n.b\r\nc\r\n\r\n"), Some(""), None);
        check("...\r\n.", Some("..\r\n"), None, None);
        check("12345678901234567890\r\n.\r\n", Some("12345678901234567890\r\n"), Some(""), None);
    }

    #[test]
    fn only_crlf_dot_crlf_ends_and_everything_near_it_is_a_fault() {
        for (input, fault) in [
            ("a\n.\n", Fault::BareLf),
            ("a\n.\r\n", Fault::BareLf),
            ("a\r\n.\n", Fault::BareLf),
            ("a\r.\r\n", Fault::BareCr),
            ("a\r.\r", Fault::BareCr),
            ("a\r\n.\rx", Fault::BareCr),
            ("a\r\r\n", Fault::BareCr),
            ("a\n\r.\r\n", Fault::BareLf),
            ("\n.\r\n", Fault::BareLf),
            ("a\0\r\n", Fault::Nul),
            ("\r\n\0.\r\n", Fault::Nul),
            ("a\r\0\n.\r\n", Fault::BareCr),
            ("123456789012345678901\r\n", Fault::LongLine),
        ] {
            check(input, None, None, Some(fault));
            // The real end is still found, so that the conversation goes on behind it.
            let with_end = format!("{input}\r\n.\r\nQUIT\r\n");
            check(&with_end, None, Some("QUIT\r\n"), Some(fault));
        }
    }

    #[test]
    fn a_counted_scan_leaves_dots_alone() {
        let mut scanner = Scanner::counted(100);
        assert_eq!(scanner.scan(b".\r\n..x\r\n"), Run { skip: 0, content: 8, end: false });
        assert_eq!(scanner.scan(b"y\r"), Run { skip: 0, content: 2, end: false });
        assert_eq!(scanner.fault(), None);
        scanner.finish();
        assert_eq!(scanner.fault(), Some(Fault::BareCr));
    }
}
