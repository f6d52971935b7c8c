//! One conversation: what may be said when (RFC 1939 §3).
//!
//! Commands that are legal now are handed out one at a time; whoever has the mail replies, adds content if there is
//! some, and says when the command is done. What a client sent behind it waits (PIPELINING, RFC 2449 §6.6).

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};

use crate::wire::{Command, Reply};
use crate::words::Language;

/// The settings of one listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether STLS can be had.
    pub stls: bool,
    /// Whether passwords may be sent without TLS.
    pub allow_cleartext: bool,
}

/// What the driver is to do now.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Read from the client, give it to [`Connection::receive`].
    Read,
    /// Send this.
    Write(Bytes),
    /// Do the TLS handshake, then call [`Connection::tls_started`].
    StartTls,
    Event(Event),
    /// Hang up.
    Close,
}

/// What whoever has the mail is to deal with: [`Connection::reply`], perhaps [`Connection::write`], and
/// [`Connection::done`] or [`Connection::challenge`].
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Command(Command),
    /// The answer to a challenge, in Base64; `None`: the client gives up.
    Response(Option<Vec<u8>>),
}

/// RFC 1939: AUTHORIZATION or TRANSACTION.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Authorization,
    Transaction,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    state: State,
    secure: bool,
    /// The client reads UTF-8 (RFC 6856 §2).
    utf8: bool,
    language: Language,
    phase: Phase,
    input: BytesMut,
    output: BytesMut,
    errors: u32,
    draining: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Command,
    Asked,
    Challenged,
    Handshake,
    Closing,
}

/// RFC 2449 §4 wants 255; an answer to a challenge can be longer.
const MAX_LINE: usize = 1_024;
const MAX_RESPONSE: usize = 12_288;
const MAX_ERRORS: u32 = 20;
/// More unsent bytes than this are sent before more is gathered.
const FLUSH_BYTES: usize = 32 * 1024;
/// How a TLS client begins that took this port for one of implicit TLS.
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

impl Connection {
    /// A fresh one, with the greeting to be written. `secure`: TLS is on already.
    #[must_use]
    pub fn new(config: Arc<Config>, secure: bool) -> Self {
        let mut connection = Self {
            config,
            state: State::Authorization,
            secure,
            utf8: false,
            language: Language::default(),
            phase: Phase::Command,
            input: BytesMut::new(),
            output: BytesMut::new(),
            errors: 0,
            draining: false,
        };
        connection.reply(&Reply::ok("Magpie is ready"));
        connection
    }

    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether passwords are taken now.
    #[must_use]
    pub fn may_log_in(&self) -> bool {
        self.secure || self.config.allow_cleartext
    }

    /// Whether STLS is to be had now.
    #[must_use]
    pub fn offers_stls(&self) -> bool {
        self.config.stls && !self.secure && !self.utf8 && self.state == State::Authorization
    }

    /// Whether more was gathered than should be before it is sent.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.output.len() >= FLUSH_BYTES
    }

    /// Takes what the client sent.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Closing {
            self.input.extend_from_slice(bytes);
        }
    }

    /// What to do now. While an answer is owed, there is nothing but to read.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and every action must be handled")]
    pub fn next(&mut self) -> Action {
        loop {
            if self.is_full() {
                return Action::Write(self.output.split().freeze());
            }
            if self.draining && matches!(self.phase, Phase::Command | Phase::Challenged) {
                self.reply(&Reply::err_with("SYS/TEMP", "The server is going down, please come back"));
                self.hang_up();
            }
            let action = match self.phase {
                Phase::Command | Phase::Challenged => self.line(),
                Phase::Asked => Some(Action::Read),
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

    /// What is there to be sent, for who does not wait for [`Connection::next`].
    pub fn unsent(&mut self) -> Option<Bytes> {
        (!self.output.is_empty()).then(|| self.output.split().freeze())
    }

    /// Adds a reply, in the language that was chosen.
    pub fn reply(&mut self, reply: &Reply) {
        let text = self.language.speak(&reply.text).into_owned();
        self.write(Reply { text, ..reply.clone() }.encode().as_bytes());
    }

    /// The client reads UTF-8 from now on.
    pub fn use_utf8(&mut self) {
        self.utf8 = true;
    }

    /// Replies in this language from now on.
    pub fn speak(&mut self, language: Language) {
        self.language = language;
    }

    /// Adds content.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.phase != Phase::Closing {
            self.output.extend_from_slice(bytes);
        }
    }

    /// Ends the command.
    pub fn done(&mut self) {
        if self.phase == Phase::Asked {
            self.phase = Phase::Command;
        }
    }

    /// Sends a challenge, encoded in Base64 already (RFC 5034 §4).
    pub fn challenge(&mut self, challenge: &str) {
        self.write(format!("+ {challenge}\r\n").as_bytes());
        self.phase = Phase::Challenged;
    }

    /// Somebody logged in.
    pub fn logged_in(&mut self) {
        self.state = State::Transaction;
    }

    /// Hangs up once everything was sent.
    pub fn hang_up(&mut self) {
        self.phase = Phase::Closing;
        self.input = BytesMut::new();
    }

    /// The handshake that [`Action::StartTls`] asked for is done. What came before is forgotten (RFC 2595 §4).
    pub fn tls_started(&mut self) {
        self.input.clear();
        self.secure = true;
        self.phase = Phase::Command;
    }

    /// Lets a command that is being answered come to its end, then hangs up. Nothing is deleted.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The client was silent for too long: hangs up. Nothing is deleted (RFC 1939 §3).
    pub fn time_out(&mut self) {
        self.hang_up();
    }

    fn line(&mut self) -> Option<Action> {
        if self.state == State::Authorization && self.input.starts_with(&TLS_HANDSHAKE) {
            self.hang_up();
            return None;
        }
        let limit = if self.phase == Phase::Challenged { MAX_RESPONSE } else { MAX_LINE };
        let Some(end) = memchr::memchr(b'\n', &self.input) else {
            if self.input.len() > limit {
                self.reply(&Reply::err("The line is too long"));
                self.hang_up();
                return None;
            }
            if self.input.is_empty() && self.input.capacity() > 0 {
                // Idle connections are many and hold nothing.
                self.input = BytesMut::new();
            }
            return Some(Action::Read);
        };
        let line = self.input.split_to(end);
        self.input.advance(1);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.len() > limit {
            self.error(&Reply::err("The line is too long"));
            return None;
        }
        if self.phase == Phase::Challenged {
            self.phase = Phase::Asked;
            return Some(Action::Event(Event::Response((line != b"*").then(|| line.to_vec()))));
        }
        self.command(line)
    }

    fn command(&mut self, line: &[u8]) -> Option<Action> {
        let command = match Command::parse(line) {
            Ok(command) => command,
            Err(_) if self.state == State::Authorization && is_http(line) => {
                // The next lines would be a request's headers, not commands.
                self.hang_up();
                return None;
            }
            Err(why) => {
                self.error(&Reply::err(why));
                return None;
            }
        };
        if let Err(why) = legal(&command, self.state) {
            self.error(&Reply::err(why));
            return None;
        }
        match command {
            Command::Stls => self.start_tls(),
            Command::User(_) | Command::Pass(_) | Command::Auth { mechanism: Some(_), .. }
                if !self.may_log_in() =>
            {
                self.error(&Reply::err("Encryption is needed to log in; STLS comes first"));
            }
            command => {
                self.phase = Phase::Asked;
                return Some(Action::Event(Event::Command(command)));
            }
        }
        None
    }

    fn start_tls(&mut self) {
        if self.utf8 {
            // RFC 6856 §2.1
            return self.error(&Reply::err("STLS comes before UTF8"));
        }
        if !self.offers_stls() {
            return self.error(&Reply::err("TLS is not to be had here, or is on already"));
        }
        if !self.input.is_empty() {
            // What came in clear text must not be taken for something said under TLS.
            self.reply(&Reply::err("Nothing may follow STLS before the handshake"));
            return self.hang_up();
        }
        self.reply(&Reply::ok("Begin the handshake"));
        self.phase = Phase::Handshake;
    }

    fn error(&mut self, reply: &Reply) {
        self.phase = Phase::Command;
        self.reply(reply);
        self.errors += 1;
        if self.errors > MAX_ERRORS {
            self.hang_up();
        }
    }
}

fn is_http(line: &[u8]) -> bool {
    line.starts_with(b"GET ") || line.starts_with(b"POST ")
}

/// Which command is legal in which state.
fn legal(command: &Command, state: State) -> Result<(), &'static str> {
    let (before, after) = match command {
        Command::Capa | Command::Quit | Command::Lang(_) => (true, true),
        Command::User(_)
        | Command::Pass(_)
        | Command::Apop
        | Command::Auth { .. }
        | Command::Stls
        | Command::Utf8 => (true, false),
        Command::Stat
        | Command::List(_)
        | Command::Uidl(_)
        | Command::Retr(_)
        | Command::Top { .. }
        | Command::Dele(_)
        | Command::Noop
        | Command::Rset => (false, true),
    };
    match state {
        State::Authorization if !before => Err("Log in first"),
        State::Transaction if !after => Err("You are logged in already"),
        State::Authorization | State::Transaction => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(input: &[u8], sizes: &[usize]) -> String {
        let config = Arc::new(Config { stls: true, allow_cleartext: true });
        let mut connection = Connection::new(config, false);
        let (mut rest, mut written) = (input, Vec::new());
        let mut sizes = sizes.iter().cycle();
        loop {
            match connection.next() {
                Action::Read => {
                    assert!(connection.input.len() <= MAX_RESPONSE + 300);
                    let size = rest.len().min(*sizes.next().unwrap());
                    if size == 0 {
                        return String::from_utf8_lossy(&written).into_owned();
                    }
                    connection.receive(&rest[..size]);
                    rest = &rest[size..];
                }
                Action::Write(bytes) => written.extend_from_slice(&bytes),
                Action::StartTls => connection.tls_started(),
                Action::Close => return String::from_utf8_lossy(&written).into_owned(),
                Action::Event(Event::Command(Command::Auth { .. })) => connection.challenge(""),
                Action::Event(Event::Command(Command::Quit)) => {
                    connection.reply(&Reply::ok("Bye"));
                    connection.hang_up();
                }
                Action::Event(event) => {
                    if matches!(event, Event::Command(Command::Pass(_)) | Event::Response(Some(_))) {
                        connection.logged_in();
                    }
                    connection.reply(&Reply::ok(""));
                    connection.done();
                }
            }
        }
    }

    #[test]
    fn commands_are_legal_in_their_state() {
        let said =
            run(b"STAT\r\nUSER a\r\nPASS b\r\nSTAT\r\nUSER a\r\nFOO\r\nQUIT\r\nSTAT\r\n", &[usize::MAX]);
        let wanted = "+OK Magpie is ready\r\n-ERR Log in first\r\n+OK \r\n+OK \r\n+OK \r\n-ERR You are logged in already\r\n\
            -ERR There is no such command, or not like this\r\n+OK Bye\r\n";
        assert_eq!(said, wanted);
    }

    #[test]
    fn nothing_is_carried_over_into_tls() {
        assert!(
            run(b"STLS\r\nUSER eve\r\n", &[usize::MAX])
                .ends_with("-ERR Nothing may follow STLS before the handshake\r\n")
        );
        assert!(run(b"STLS\r\n", &[usize::MAX]).ends_with("+OK Begin the handshake\r\n"));
        assert!(run(&[b'x'; 2_000], &[usize::MAX]).ends_with("-ERR The line is too long\r\n"));
    }

    #[test]
    fn utf8_comes_after_tls() {
        let mut connection = Connection::new(Arc::new(Config { stls: true, allow_cleartext: true }), false);
        assert!(connection.offers_stls());
        connection.use_utf8();
        connection.speak(Language::Korean);
        assert!(!connection.offers_stls());
        connection.receive(b"STLS\r\n");
        let Action::Write(said) = connection.next() else { panic!("nothing was said") };
        let said = String::from_utf8(said.to_vec()).unwrap();
        assert_eq!(said, "+OK Magpie is ready\r\n-ERR STLS는 UTF8보다 먼저입니다\r\n");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            lines in proptest::collection::vec(
                prop_oneof![Just("USER a\r\n"), Just("PASS b\r\n"), Just("AUTH PLAIN\r\n"), Just("*\r\n"), Just("LIST 1\n"), Just("\r\n"), Just("QUIT\r\n"), Just("\0")],
                0..20,
            ),
            sizes in proptest::collection::vec(1_usize..9, 1..5)
        ) {
            let input = lines.concat();
            prop_assert_eq!(run(input.as_bytes(), &sizes), run(input.as_bytes(), &[usize::MAX]));
        }
    }
}
