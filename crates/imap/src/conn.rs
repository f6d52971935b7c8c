//! One conversation: what may be said when.
//!
//! Bytes go in by [`Connection::receive`]; [`Connection::next`] says what to do, again and again. Commands that are
//! legal now are handed out ([`Event::Command`]) one at a time; whoever has the mail writes what is to be told, and ends
//! the command by [`Connection::finish`]. The conversation reads no further command in between, so answers are in order
//! (RFC 9051 §5.5) and a client that sends faster than it reads waits.

mod config;
mod deflate;
mod legal;
mod wrong;

use std::{borrow::Cow, sync::Arc};

use bytes::{Bytes, BytesMut};

pub use config::{Config, Limits};
use deflate::Deflate;
use legal::Legal;

use crate::wire::{Bounds, Code, Command, Fragment, Fragmenter, Status, Tag, parse};

/// What the driver is to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Read from the client, give it to [`Connection::receive`].
    Read,
    /// Send this.
    Write(Bytes),
    /// Do the TLS handshake, then call [`Connection::tls_started`].
    StartTls,
    /// See what it is.
    Event(Event),
    /// Hang up.
    Close,
}

/// What whoever has the mail is to deal with.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Answer it by [`Connection::write`] and [`Connection::finish`]; AUTHENTICATE perhaps by
    /// [`Connection::challenge`] first, IDLE by [`Connection::idle`].
    Command(Command),
    /// The answer to a challenge, in Base64; `None`: the client gives up.
    Response(Option<Vec<u8>>),
    /// The client ends IDLE: call [`Connection::finish`].
    Done,
    /// A literal of so many bytes is announced: call [`Connection::admit`].
    Reserve(u64),
}

/// How far the client is (RFC 9051 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    NotAuthenticated,
    Authenticated,
    Selected,
    Logout,
}

/// What a read waits for; time limits differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// Somebody to log in, or the rest of a command.
    Command,
    /// The next command of who logged in, or the end of IDLE: RFC 9051 §5.4 gives at least half an hour.
    Anything,
    /// A literal's bytes.
    Literal,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    state: State,
    secure: bool,
    /// Logins can be bound to the TLS connection below.
    bound: bool,
    /// The client has shown a certificate that is believed.
    certified: bool,
    utf8: bool,
    /// Compression is on.
    deflate: Option<Box<Deflate>>,
    phase: Phase,
    input: BytesMut,
    fragmenter: Fragmenter,
    output: BytesMut,
    errors: u32,
    draining: bool,
}

/// Who is to speak, and about what.
#[derive(Debug)]
enum Phase {
    /// The greeting is owed.
    Greeting,
    Command,
    /// A command is being answered.
    Asked(Tag),
    /// The next line answers a challenge.
    Challenged(Tag),
    Idle(Tag),
    /// Whether there is room for a literal is being decided.
    Reserving,
    Handshake,
    /// Compression begins once everything was sent.
    Compressing,
    Closing,
}

/// More unsent bytes than this are sent before more is gathered. What is sent one by one wakes the client for each.
const FLUSH_BYTES: usize = 128 * 1024;
/// How a TLS client begins (RFC 8446 §5.1) that took this port for one of implicit TLS. It would wait for ever.
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

impl Connection {
    /// A fresh one, with the greeting to be written. `secure`: TLS is on already.
    #[must_use]
    pub fn new(config: Arc<Config>, secure: bool) -> Self {
        Self {
            config,
            state: State::NotAuthenticated,
            secure,
            bound: false,
            certified: false,
            utf8: false,
            deflate: None,
            phase: Phase::Greeting,
            input: BytesMut::new(),
            fragmenter: Fragmenter::default(),
            output: BytesMut::new(),
            errors: 0,
            draining: false,
        }
    }

    /// Says whether logins can be bound to the TLS connection below (RFC 9266).
    pub fn bind(&mut self, yes: bool) {
        self.bound = yes;
    }

    /// Says whether the client has shown a certificate that is believed, so that EXTERNAL can be had.
    pub fn certify(&mut self, yes: bool) {
        self.certified = yes;
    }

    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether TLS is on.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// The tag of the command that is being answered.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match &self.phase {
            Phase::Asked(tag) | Phase::Challenged(tag) | Phase::Idle(tag) => Some(tag.as_str()),
            Phase::Greeting
            | Phase::Command
            | Phase::Reserving
            | Phase::Handshake
            | Phase::Compressing
            | Phase::Closing => None,
        }
    }

    /// Whether the client waits for news in IDLE.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle(_))
    }

    /// Whether the next command has not come yet.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        matches!(self.phase, Phase::Command)
    }

    /// Whether more was gathered than should be before it is sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.output.len() >= FLUSH_BYTES
    }

    /// Whether passwords are taken now.
    #[must_use]
    pub fn may_log_in(&self) -> bool {
        self.secure || self.config.allow_cleartext
    }

    /// What the next read waits for.
    #[must_use]
    pub fn expects(&self) -> Expects {
        if self.fragmenter.is_in_literal() {
            return Expects::Literal;
        }
        match self.state {
            State::NotAuthenticated | State::Logout => Expects::Command,
            State::Authenticated | State::Selected if self.fragmenter.has_begun() => Expects::Command,
            State::Authenticated | State::Selected => Expects::Anything,
        }
    }

    /// Takes what the client sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        match &mut self.deflate {
            _ if matches!(self.phase, Phase::Closing) => {}
            Some(deflate) => deflate.receive(bytes),
            None => self.input.extend_from_slice(bytes),
        }
    }

    /// What to do now. While an answer is owed, there is nothing but to read.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and every action must be handled")]
    pub fn next(&mut self) -> Action {
        loop {
            if self.is_full() {
                return self.flush();
            }
            if self.draining && matches!(self.phase, Phase::Command | Phase::Idle(_) | Phase::Challenged(_)) {
                self.bye("The server is going down, please come back", None);
            }
            let action = match &self.phase {
                Phase::Greeting => self.greet(),
                Phase::Command | Phase::Challenged(_) | Phase::Idle(_) => self.fragment(),
                Phase::Asked(_) | Phase::Reserving => Some(Action::Read),
                Phase::Handshake => Some(Action::StartTls),
                Phase::Compressing => self.begin_compression(),
                Phase::Closing => Some(Action::Close),
            };
            match action {
                Some(Action::Read | Action::StartTls | Action::Close) if !self.output.is_empty() => {
                    return self.flush();
                }
                Some(action) => return action,
                None => {}
            }
        }
    }

    /// Adds untagged responses. In a conversation that is over they are lost.
    pub fn write(&mut self, responses: &[u8]) {
        if !matches!(self.phase, Phase::Closing) {
            self.output.extend_from_slice(responses);
        }
    }

    /// Ends the command, or IDLE.
    pub fn finish(&mut self, status: &Status) {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Asked(tag) | Phase::Idle(tag) | Phase::Challenged(tag) => self.tagged(&tag, status),
            other => self.phase = other,
        }
    }

    /// Sends a challenge of AUTHENTICATE, encoded in Base64 already.
    pub fn challenge(&mut self, challenge: &str) {
        if let Phase::Asked(tag) = std::mem::replace(&mut self.phase, Phase::Command) {
            self.write(format!("+ {challenge}\r\n").as_bytes());
            self.phase = Phase::Challenged(tag);
        }
    }

    /// Begins IDLE (RFC 2177).
    pub fn idle(&mut self) {
        if let Phase::Asked(tag) = std::mem::replace(&mut self.phase, Phase::Command) {
            self.write(b"+ idling\r\n");
            self.phase = Phase::Idle(tag);
        }
    }

    /// Says whether there is room for the literal that [`Event::Reserve`] told of.
    pub fn admit(&mut self, yes: bool) {
        if matches!(self.phase, Phase::Reserving) {
            self.phase = Phase::Command;
            if let Some(fragment) = self.fragmenter.admit(yes) {
                self.take(fragment);
            }
        }
    }

    /// Moves on to this state.
    pub fn enter(&mut self, state: State) {
        self.state = state;
    }

    /// Reads and expects names in UTF-8 from now on (RFC 6855, RFC 9051 §5.1), or no more.
    pub fn use_utf8(&mut self, yes: bool) {
        self.utf8 = yes;
    }

    #[must_use]
    pub const fn uses_utf8(&self) -> bool {
        self.utf8
    }

    /// The handshake that [`Action::StartTls`] asked for is done. What came before is forgotten (RFC 9051 §6.2.1).
    pub fn tls_started(&mut self) {
        self.input.clear();
        self.fragmenter.reset();
        self.secure = true;
        self.phase = Phase::Command;
    }

    /// Lets a command that is being answered come to its end, then says BYE.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The client was silent for too long: says so and hangs up.
    pub fn time_out(&mut self) {
        self.bye("You were silent for too long", None);
    }

    /// Says this last word and hangs up.
    pub fn bye(&mut self, text: impl Into<Cow<'static, str>>, code: Option<Code>) {
        let mut line = String::from("* BYE ");
        let status = Status { code, text: text.into(), ..Status::ok("") };
        let mut rest = String::new();
        status.write(&mut rest);
        line.push_str(rest.strip_prefix("OK ").unwrap_or_default());
        line.push_str("\r\n");
        self.write(line.as_bytes());
        self.hang_up();
    }

    fn hang_up(&mut self) {
        self.state = State::Logout;
        self.phase = Phase::Closing;
        self.input = BytesMut::new();
    }

    fn greet(&mut self) -> Option<Action> {
        let greeting = Status::ok("Magpie is ready").with(Code::Capability(self.capabilities()));
        self.untagged(&greeting);
        self.phase = Phase::Command;
        None
    }

    fn fragment(&mut self) -> Option<Action> {
        if self.state == State::NotAuthenticated
            && !self.fragmenter.has_begun()
            && self.input.starts_with(&TLS_HANDSHAKE)
        {
            self.hang_up();
            return None;
        }
        let limits = &self.config.limits;
        let bounds = match (self.state, &self.phase) {
            (_, Phase::Idle(_)) => Bounds { line: 64, literal: 0, unasked: 0 },
            (_, Phase::Challenged(_)) => Bounds { line: limits.challenge, literal: 0, unasked: 0 },
            (State::NotAuthenticated | State::Logout, _) => {
                Bounds { line: limits.challenge, literal: limits.anonymous, unasked: limits.anonymous }
            }
            (State::Authenticated | State::Selected, _) => {
                Bounds { line: limits.line, literal: limits.literal, unasked: limits.unasked }
            }
        };
        let fragment = self.fragmenter.next(&mut self.input, &bounds);
        if fragment == Fragment::Partial && self.inflate() {
            return None;
        }
        self.take(fragment)
    }

    fn take(&mut self, fragment: Fragment) -> Option<Action> {
        match fragment {
            Fragment::Partial => {
                if self.input.is_empty() && self.input.capacity() > 0 {
                    // Idle connections are many and hold nothing.
                    self.input = BytesMut::new();
                }
                return Some(Action::Read);
            }
            Fragment::Continue => self.write(b"+ go on\r\n"),
            Fragment::Reserve(length) => {
                self.phase = Phase::Reserving;
                return Some(Action::Event(Event::Reserve(length)));
            }
            Fragment::Refused { begin, refusal } => self.refused(&begin, refusal),
            Fragment::Command(bytes) => return self.line(&bytes),
        }
        None
    }

    fn line(&mut self, bytes: &[u8]) -> Option<Action> {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Challenged(tag) => {
                self.phase = Phase::Asked(tag);
                let response = (bytes != b"*").then(|| bytes.to_vec());
                Some(Action::Event(Event::Response(response)))
            }
            Phase::Idle(tag) => {
                if bytes.eq_ignore_ascii_case(b"DONE") {
                    self.phase = Phase::Asked(tag);
                    return Some(Action::Event(Event::Done));
                }
                self.error(Some(&tag), &Status::bad("IDLE ends by DONE"));
                None
            }
            _ => self.command(bytes),
        }
    }

    fn command(&mut self, bytes: &[u8]) -> Option<Action> {
        let (tag, command) = match parse(bytes, self.utf8) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.not_understood(bytes, &error);
                return None;
            }
        };
        match legal::now(&command, self.state) {
            Legal::Yes => {}
            Legal::No(why) => {
                self.error(Some(&tag), &Status::bad(why));
                return None;
            }
        }
        match command {
            Command::StartTls => self.start_tls(&tag),
            Command::Compress => self.compress(&tag),
            Command::Logout => {
                self.bye("See you", None);
                self.phase = Phase::Command;
                self.tagged(&tag, &Status::ok("Logged out"));
                self.hang_up();
            }
            Command::Login { .. } | Command::Authenticate { .. } if !self.may_log_in() => {
                let status = Status::no("Encryption is needed to log in; STARTTLS comes first");
                self.error(Some(&tag), &status.with(Code::PrivacyRequired));
            }
            command => {
                self.phase = Phase::Asked(tag);
                return Some(Action::Event(Event::Command(command)));
            }
        }
        None
    }

    fn start_tls(&mut self, tag: &Tag) {
        if self.secure || !self.config.starttls || self.deflate.is_some() {
            return self.error(Some(tag), &Status::bad("TLS is not to be had here, or is on already"));
        }
        if !self.input.is_empty() {
            // What came in clear text must not be taken for something said under TLS.
            self.error(Some(tag), &Status::bad("Nothing may follow STARTTLS before the handshake"));
            return self.hang_up();
        }
        self.tagged(tag, &Status::ok("Begin the handshake"));
        self.phase = Phase::Handshake;
    }

    /// Answers what is no command, or none that is legal; one too many ends the conversation.
    fn error(&mut self, tag: Option<&Tag>, status: &Status) {
        self.phase = Phase::Command;
        match tag {
            Some(tag) => self.tagged(tag, status),
            None => self.untagged(status),
        }
        self.errors += 1;
        if self.errors > self.config.limits.errors {
            self.bye("Too many errors", None);
        }
    }

    fn tagged(&mut self, tag: &Tag, status: &Status) {
        let mut line = format!("{} ", tag.as_str());
        status.write(&mut line);
        line.push_str("\r\n");
        self.output.extend_from_slice(line.as_bytes());
    }

    fn untagged(&mut self, status: &Status) {
        let mut line = String::from("* ");
        status.write(&mut line);
        line.push_str("\r\n");
        self.output.extend_from_slice(line.as_bytes());
    }
}

#[cfg(test)]
mod tests;
