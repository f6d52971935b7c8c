//! Content by DATA and by BDAT: handed out piece by piece, refused at its end.

use bytes::{Buf as _, BytesMut};

use super::{Action, Asked, Connection, Envelope, Limits, Phase, Question, Stage};
use crate::wire::{Fault, Reply, Scanner};

/// A mail that is coming in.
#[derive(Debug)]
pub(super) struct Incoming {
    scanner: Scanner,
    recipients: usize,
    received: u64,
    limit: u64,
    /// It cannot be accepted any more; what still comes is thrown away.
    spoilt: bool,
}

/// A BDAT chunk that is coming in.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) body: Body,
    pub(super) size: u64,
    pub(super) remaining: u64,
    pub(super) last: bool,
}

/// What becomes of a chunk.
#[derive(Debug)]
pub(super) enum Body {
    Kept(Incoming),
    Refused(Reply),
}

impl Incoming {
    fn dotted(limits: &Limits, envelope: Envelope) -> Self {
        Self::new(Scanner::dotted(limits.text_line), limits, envelope)
    }

    fn counted(limits: &Limits, envelope: Envelope) -> Self {
        let scanner = if envelope.binary { Scanner::binary() } else { Scanner::counted(limits.text_line) };
        Self::new(scanner, limits, envelope)
    }

    fn new(scanner: Scanner, limits: &Limits, envelope: Envelope) -> Self {
        Self { scanner, recipients: envelope.recipients, received: 0, limit: limits.message, spoilt: false }
    }

    fn is_too_large(&self) -> bool {
        self.received > self.limit
    }

    /// Whether it became unacceptable just now.
    fn spoils(&mut self) -> bool {
        let bad = self.scanner.fault().is_some() || self.is_too_large();
        !std::mem::replace(&mut self.spoilt, bad) && bad
    }
}

impl Connection {
    pub(super) fn begin_data(&mut self, envelope: Envelope) {
        self.stage = Stage::Idle;
        self.phase = Phase::Data(Incoming::dotted(&self.config.limits, envelope));
        self.send(&Reply::plain(354, "Go ahead, end with <CRLF>.<CRLF>"));
    }

    /// The first chunk may come, or not.
    pub(super) fn begin_chunks(&mut self, envelope: Envelope, size: u64, last: bool, reply: &Reply) {
        let body = if reply.is_positive() {
            Body::Kept(Incoming::counted(&self.config.limits, envelope))
        } else {
            self.abandoned = true;
            Body::Refused(reply.clone())
        };
        self.stage = Stage::Failed;
        self.phase = Phase::Chunk(Chunk { body, size, remaining: size, last });
    }

    /// No more than this is thrown away before the connection is given up.
    pub(super) fn swallow_limit(&self) -> u64 {
        self.config.limits.message.saturating_mul(4).saturating_add(1 << 20)
    }

    pub(super) fn data(&mut self) -> Option<Action> {
        let swallow_limit = self.swallow_limit();
        let Phase::Data(incoming) = &mut self.phase else {
            return None;
        };
        if self.input.is_empty() {
            return Some(Action::Read);
        }
        let run = incoming.scanner.scan(&self.input);
        self.input.advance(run.skip);
        let content = self.input.split_to(run.content);
        incoming.received += content.len() as u64;
        self.abandoned |= incoming.spoils();
        if run.end {
            return self.finish();
        }
        if incoming.received > swallow_limit {
            self.send(&self.too_large());
            self.close_quietly();
            return None;
        }
        (!incoming.spoilt && !content.is_empty()).then(|| Action::Content(content.freeze()))
    }

    pub(super) fn chunk(&mut self) -> Option<Action> {
        let Phase::Chunk(chunk) = &mut self.phase else {
            return None;
        };
        if chunk.remaining == 0 {
            return self.end_of_chunk();
        }
        if self.input.is_empty() {
            return Some(Action::Read);
        }
        let piece = take(&mut self.input, chunk.remaining);
        chunk.remaining -= piece.len() as u64;
        let Body::Kept(incoming) = &mut chunk.body else {
            return None;
        };
        // Without dots to be taken out, a scan goes to the end.
        incoming.scanner.scan(&piece);
        incoming.received += piece.len() as u64;
        self.abandoned |= incoming.spoils();
        (!incoming.spoilt).then(|| Action::Content(piece.freeze()))
    }

    fn end_of_chunk(&mut self) -> Option<Action> {
        let Phase::Chunk(chunk) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return None;
        };
        match chunk.body {
            Body::Refused(reply) => self.send(&reply),
            Body::Kept(incoming) if chunk.last => {
                self.phase = Phase::Data(incoming);
                return self.finish();
            }
            Body::Kept(incoming) => match self.refusal(&incoming) {
                Some(reply) => self.send(&reply),
                None => {
                    self.stage = Stage::Chunks(incoming);
                    let text = format!("{} octets received", chunk.size);
                    self.send(&Reply::new(250, (0, 0), "").with_text(text));
                }
            },
        }
        None
    }

    /// All content is here.
    fn finish(&mut self) -> Option<Action> {
        let Phase::Data(mut incoming) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return None;
        };
        incoming.scanner.finish();
        self.abandoned |= incoming.spoils();
        self.stage = Stage::Idle;
        match self.refusal(&incoming) {
            Some(reply) => {
                self.send_each(&reply, incoming.recipients);
                None
            }
            None => self.ask(Asked::Finish { recipients: incoming.recipients }, Question::Finish),
        }
    }

    fn refusal(&self, incoming: &Incoming) -> Option<Reply> {
        match incoming.scanner.fault() {
            Some(Fault::BareCr) => {
                Some(Reply::new(554, (6, 0), "The mail has a CR without LF; lines end in CRLF"))
            }
            Some(Fault::BareLf) => {
                Some(Reply::new(554, (6, 0), "The mail has a LF without CR; lines end in CRLF"))
            }
            Some(Fault::Nul) => Some(Reply::new(554, (6, 0), "The mail has a NUL byte")),
            Some(Fault::LongLine) => {
                let limit = self.config.limits.text_line;
                let text = format!("The mail has a line longer than {limit} bytes");
                Some(Reply::new(554, (6, 0), "").with_text(text))
            }
            None => incoming.is_too_large().then(|| self.too_large()),
        }
    }
}

fn take(input: &mut BytesMut, at_most: u64) -> BytesMut {
    input.split_to(input.len().min(usize::try_from(at_most).unwrap_or(usize::MAX)))
}
