//! One conversation: what may be said when, and what is answered.
//!
//! Bytes go in by [`Connection::receive`]; [`Connection::next`] says what to do, again and again. Replies to a
//! pipelined burst are gathered and written at once, before the next read (RFC 2920 §3.2). What needs a decision is
//! asked for ([`Action::Ask`]) and answered by [`Connection::reply`]; the conversation stands still in between.
//! Content is handed out as it comes, and is only good once [`Question::Finish`] has been asked.

mod commands;
mod config;
mod content;
mod sasl;

use std::sync::Arc;

use ::sasl::Binding;
use bytes::{Bytes, BytesMut};
use types::Timestamp;

pub use config::{Auth, Config, Limits, Protocol};
use content::{Chunk, Incoming};
use sasl::Attempt;

use crate::wire::{ClientName, Line, Lines, Mail, Rcpt, Reply};

/// What the driver is to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Read from the client, give it to [`Connection::receive`].
    Read,
    /// Send this.
    Write(Bytes),
    /// Do the TLS handshake, then call [`Connection::tls_started`].
    StartTls,
    /// Decide, then call [`Connection::reply`].
    Ask(Question),
    /// The next piece of the mail.
    Content(Bytes),
    /// The transaction is over without a mail: forget envelope and content.
    Abandon,
    /// Hang up.
    Close,
}

/// What whoever has the mail decides. A positive reply (2yz) is a yes.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// Log this client in? 235 or 535; [keys](::sasl::Question::Keys) are answered by [`Connection::keys`].
    Authenticate(::sasl::Question),
    /// Begin a mail from here?
    Mail(Mail),
    /// Also to here?
    Rcpt(Rcpt),
    /// Content is about to come. Of a yes only the fact is used.
    Begin,
    /// All content has come. Yes means that the server is responsible for the mail from now on. In LMTP
    /// [`Connection::reply_each`] answers for each recipient.
    Finish,
}

/// How the client greeted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    pub name: ClientName,
    /// By EHLO.
    pub extended: bool,
}

/// What a read waits for; time limits differ (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    Command,
    Content,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    secure: bool,
    binding: Option<Binding>,
    /// The client has shown a certificate that is believed.
    certified: bool,
    /// When it began, for times that are offered.
    opened_at: Option<Timestamp>,
    hello: Option<Hello>,
    /// Something was said that is a command.
    understood: bool,
    /// The command at hand had no letters beyond ASCII.
    ascii: bool,
    authenticated: bool,
    stage: Stage,
    phase: Phase,
    input: BytesMut,
    lines: Lines,
    output: BytesMut,
    errors: u32,
    abandoned: bool,
    draining: bool,
}

/// How far the mail transaction is (RFC 5321 §3.3).
#[derive(Debug)]
enum Stage {
    Idle,
    Envelope(Envelope),
    /// Between BDATs.
    Chunks(Incoming),
    /// A chunk was refused: nothing but a new start helps (RFC 3030 §2).
    Failed,
}

/// A mail that has begun.
#[derive(Debug, Clone, Copy)]
struct Envelope {
    utf8: bool,
    /// RFC 3030 §3: the content may be any bytes.
    binary: bool,
    recipients: usize,
}

/// Who is to speak, and about what.
#[derive(Debug)]
enum Phase {
    Command,
    Sasl(Attempt),
    Asked(Asked),
    Data(Incoming),
    Chunk(Chunk),
    Handshake,
    Closing,
}

/// What an answer is owed to.
#[derive(Debug)]
enum Asked {
    Authenticate(Attempt),
    Mail(Envelope),
    Rcpt(Envelope),
    Data(Envelope),
    Bdat { envelope: Envelope, size: u64, last: bool },
    Finish { recipients: usize },
}

/// More unsent replies than this are sent before more is read.
const FLUSH_BYTES: usize = 8 * 1024;

/// How a TLS client begins (RFC 8446 §5.1) that took this port for one of implicit TLS. It would wait for ever.
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

impl Connection {
    /// A fresh one, with the greeting to be written. `secure`: TLS is on already.
    #[must_use]
    pub fn new(config: Arc<Config>, secure: bool) -> Self {
        let mut connection = Self {
            config,
            secure,
            binding: None,
            certified: false,
            opened_at: None,
            hello: None,
            understood: false,
            ascii: true,
            authenticated: false,
            stage: Stage::Idle,
            phase: Phase::Command,
            input: BytesMut::new(),
            lines: Lines::default(),
            output: BytesMut::new(),
            errors: 0,
            abandoned: false,
            draining: false,
        };
        let protocol = match connection.config.protocol {
            Protocol::Smtp => "ESMTP",
            Protocol::Lmtp => "LMTP",
        };
        let greeting = format!("{} {protocol} Magpie", connection.config.hostname);
        connection.send(&Reply::plain(220, "").with_text(greeting));
        connection
    }

    /// The time at which it began: without it no times are offered (RFC 4865).
    #[must_use]
    pub const fn opened_at(mut self, now: Timestamp) -> Self {
        self.opened_at = Some(now);
        self
    }

    /// The same with a TLS connection below that logins can be bound to (RFC 9266).
    #[must_use]
    pub fn bound(mut self, binding: Option<Binding>) -> Self {
        self.binding = binding;
        self
    }

    /// Says whether the client has shown a certificate that is believed, so that EXTERNAL can be had.
    pub fn certify(&mut self, yes: bool) {
        self.certified = yes;
    }

    /// Instead of the greeting, says why not (RFC 5321 §3.1) and hangs up.
    pub fn turn_away(&mut self, reply: &Reply) {
        self.output.clear();
        self.close(reply);
    }

    /// How the client greeted, if it has.
    #[must_use]
    pub const fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Whether TLS is on.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether somebody logged in.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Whether a login is on its way.
    #[must_use]
    pub const fn is_logging_in(&self) -> bool {
        matches!(self.phase, Phase::Sasl(_) | Phase::Asked(Asked::Authenticate(_)))
    }

    /// Permanent errors since the last accepted mail.
    #[must_use]
    pub const fn errors(&self) -> u32 {
        self.errors
    }

    /// What the next read waits for.
    #[must_use]
    pub const fn expects(&self) -> Expects {
        match self.phase {
            Phase::Data(_) | Phase::Chunk(_) => Expects::Content,
            Phase::Command | Phase::Sasl(_) | Phase::Asked(_) | Phase::Handshake | Phase::Closing => {
                Expects::Command
            }
        }
    }

    /// Takes what the client sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        if !matches!(self.phase, Phase::Closing) {
            self.input.extend_from_slice(bytes);
        }
    }

    /// What to do now. While an answer is owed, there is nothing but to read.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and every action must be handled")]
    pub fn next(&mut self) -> Action {
        loop {
            if std::mem::take(&mut self.abandoned) {
                return Action::Abandon;
            }
            if self.output.len() >= FLUSH_BYTES {
                return Action::Write(self.output.split().freeze());
            }
            if self.draining && matches!((&self.phase, &self.stage), (Phase::Command, Stage::Idle)) {
                self.close(&Reply::new(421, (3, 2), "Closing down, please come back"));
            }
            let action = match &self.phase {
                Phase::Command => self.line(self.config.limits.command_line, Self::command_line),
                Phase::Sasl(_) => self.line(self.config.limits.auth_line, Self::sasl_line),
                Phase::Data(_) => self.data(),
                Phase::Chunk(_) => self.chunk(),
                Phase::Asked(_) => Some(Action::Read),
                Phase::Handshake => Some(Action::StartTls),
                Phase::Closing => Some(Action::Close),
            };
            match action {
                Some(Action::Read | Action::StartTls | Action::Close) if !self.output.is_empty() => {
                    return Action::Write(self.output.split().freeze());
                }
                Some(action) => return action,
                None => {}
            }
        }
    }

    /// Answers what was asked. Without a question it does nothing.
    pub fn reply(&mut self, reply: &Reply) {
        let phase = std::mem::replace(&mut self.phase, Phase::Command);
        let Phase::Asked(asked) = phase else {
            self.phase = phase;
            return;
        };
        let yes = reply.is_positive();
        match asked {
            Asked::Authenticate(attempt) => return self.decided(attempt, reply),
            Asked::Mail(envelope) if yes => self.stage = Stage::Envelope(envelope),
            Asked::Rcpt(envelope) if yes => {
                self.stage = Stage::Envelope(Envelope { recipients: envelope.recipients + 1, ..envelope });
            }
            Asked::Mail(_) | Asked::Rcpt(_) => {}
            Asked::Data(envelope) if yes => return self.begin_data(envelope),
            Asked::Bdat { envelope, size, last } => return self.begin_chunks(envelope, size, last, reply),
            Asked::Data(_) => self.abandon(),
            Asked::Finish { recipients } => {
                self.stage = Stage::Idle;
                if yes {
                    self.errors = 0;
                }
                return self.send_each(reply, recipients);
            }
        }
        self.send(reply);
    }

    /// Answers [`Question::Finish`] of an LMTP conversation: one reply for each recipient that was accepted, in order
    /// (RFC 2033 §4.2). Where one is missing, the last one stands for it.
    pub fn reply_each(&mut self, replies: &[Reply]) {
        let phase = std::mem::replace(&mut self.phase, Phase::Command);
        let Phase::Asked(Asked::Finish { recipients }) = phase else {
            self.phase = phase;
            return;
        };
        self.stage = Stage::Idle;
        if replies.iter().any(Reply::is_positive) {
            self.errors = 0;
        }
        let last = replies.last();
        for reply in (0..recipients).filter_map(|place| replies.get(place).or(last)) {
            reply.encode(&mut self.output);
        }
    }

    /// One reply, or in LMTP one for each recipient.
    fn send_each(&mut self, reply: &Reply, recipients: usize) {
        let more = match self.config.protocol {
            Protocol::Smtp => 0,
            Protocol::Lmtp => recipients.saturating_sub(1),
        };
        (0..more).for_each(|_| reply.encode(&mut self.output));
        self.send(reply);
    }

    /// The handshake that [`Action::StartTls`] asked for is done. Everything that was said before is forgotten
    /// (RFC 3207 §4.2).
    pub fn tls_started(&mut self, binding: Option<Binding>) {
        self.input.clear();
        self.lines.reset();
        self.secure = true;
        self.binding = binding;
        self.certified = false;
        self.hello = None;
        self.authenticated = false;
        self.stage = Stage::Idle;
        self.phase = Phase::Command;
    }

    /// Lets a transaction that has begun come to its end, then says 421.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The client was silent for too long: says so and hangs up.
    pub fn time_out(&mut self) {
        self.close(&Reply::new(421, (4, 2), "Timeout, closing the connection"));
    }

    /// Says this last word and hangs up.
    fn close(&mut self, reply: &Reply) {
        self.abandon();
        reply.encode(&mut self.output);
        self.phase = Phase::Closing;
        self.input = BytesMut::new();
    }

    /// Gathers a reply; the one that is one error too many becomes the last.
    fn send(&mut self, reply: &Reply) {
        if reply.code() == 421 {
            return self.close(reply);
        }
        if reply.is_permanent() {
            self.errors += 1;
            if self.errors > self.config.limits.errors {
                return self.close(&Reply::new(421, (7, 0), "Too many errors"));
            }
        }
        reply.encode(&mut self.output);
    }

    /// Ends the transaction, if there is one.
    fn abandon(&mut self) {
        self.abandoned |= !matches!(self.stage, Stage::Idle) || matches!(self.phase, Phase::Data(_));
        self.stage = Stage::Idle;
    }

    fn ask(&mut self, asked: Asked, question: Question) -> Option<Action> {
        self.phase = Phase::Asked(asked);
        Some(Action::Ask(question))
    }

    /// Takes the next line to whoever reads it.
    fn line(&mut self, limit: usize, read: fn(&mut Self, &[u8]) -> Option<Action>) -> Option<Action> {
        if self.hello.is_none() && !self.lines.is_swallowing() && self.input.starts_with(&TLS_HANDSHAKE) {
            self.close_quietly();
            return None;
        }
        let refusal = match self.lines.next(&mut self.input, limit) {
            Line::Partial => {
                if self.input.is_empty() && self.input.capacity() > 0 {
                    // Idle connections are many and hold nothing.
                    self.input = BytesMut::new();
                }
                return Some(Action::Read);
            }
            Line::Text(line) => return read(self, &line),
            Line::Malformed => {
                Reply::new(500, (5, 2), "Lines end in CRLF; a bare CR, a bare LF or a NUL is not accepted")
            }
            Line::TooLong => Reply::new(500, (5, 2), "Line too long"),
        };
        self.phase = Phase::Command;
        self.send(&refusal);
        None
    }
}

#[cfg(test)]
mod tests;
