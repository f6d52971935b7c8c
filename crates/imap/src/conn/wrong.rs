//! What is said that is no command, or too much.

use super::{Connection, State};
use crate::wire::{Code, MAX_LITERALS, ParseError, Refusal, Status, parse};

impl Connection {
    pub(super) fn not_understood(&mut self, bytes: &[u8], error: &ParseError) {
        if self.state == State::NotAuthenticated && is_foreign(bytes) {
            // The next lines would be a request's headers, not commands.
            return self.hang_up();
        }
        let status = match error.syntax {
            Some(syntax) => Status::bad("").with_text(format!("Not understood: {syntax}")),
            None => Status::bad("There is no such command"),
        };
        self.error(error.tag.as_ref(), &status);
    }

    pub(super) fn refused(&mut self, begin: &[u8], refusal: Refusal) {
        let tag = parse(begin, self.utf8).map_or_else(|error| error.tag, |(tag, _)| Some(tag));
        match refusal {
            Refusal::Malformed => {
                let text = "Lines end in CRLF; a bare CR, a bare LF or a NUL is not accepted";
                self.error(tag.as_ref(), &Status::bad(text));
            }
            Refusal::TooLarge => {
                let status = Status::no("The literal is larger than what is accepted").with(Code::TooBig);
                self.error(tag.as_ref(), &status);
            }
            Refusal::NoRoom { lost: false } => {
                self.error(tag.as_ref(), &Status::no(LATER).with(Code::Unavailable));
            }
            Refusal::NoRoom { lost: true } => self.bye(LATER, Some(Code::Unavailable)),
            Refusal::TooMany { lost } => {
                let text = format!("A command has at most {MAX_LITERALS} literals: send several commands");
                if lost {
                    self.bye(text, Some(Code::Limit));
                } else {
                    self.error(tag.as_ref(), &Status::no("").with_text(text).with(Code::Limit));
                }
            }
            Refusal::Lost => self.bye("The line or the literal is too long", Some(Code::TooBig)),
        }
    }
}

const LATER: &str = "There is no room for that now, please try again later";

/// Whether this is how a request of HTTP begins, which a browser can be made to send anywhere.
fn is_foreign(line: &[u8]) -> bool {
    [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH "]
        .iter()
        .any(|method| line.starts_with(method))
}
