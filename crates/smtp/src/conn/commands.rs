//! Which command is legal when, and what it does. Each `match` over the stage is exhaustive.

use std::time::Duration;

use ::sasl::Mechanism;
use types::Timestamp;

use super::content::{Body, Chunk};
use super::{Action, Asked, Auth, Connection, Envelope, Hello, Phase, Protocol, Question, Stage};
use crate::wire::{BodyType, By, ClientName, Command, Hold, Mail, Rcpt, Reply, SyntaxError};

const BAD_SEQUENCE: Reply = Reply::new(503, (5, 1), "Bad sequence of commands");
const NOT_IMPLEMENTED: Reply = Reply::new(555, (5, 4), "Parameter not recognised or not implemented");
const NOT_OFFERED: Reply = Reply::new(502, (5, 1), "Not available here");

impl Connection {
    pub(super) fn command_line(&mut self, line: &[u8]) -> Option<Action> {
        match Command::parse(line) {
            Ok(command) => {
                self.understood = true;
                self.ascii = line.is_ascii();
                self.command(command)
            }
            Err(error) => {
                self.syntax_error(error);
                self.understood = true;
                None
            }
        }
    }

    fn command(&mut self, command: Command) -> Option<Action> {
        let reply = match command {
            Command::Ehlo(name) if self.config.protocol == Protocol::Smtp => self.greet(name, true),
            Command::Helo(name) if self.config.protocol == Protocol::Smtp => self.greet(name, false),
            Command::Lhlo(name) if self.config.protocol == Protocol::Lmtp => self.greet(name, true),
            // RFC 2033 §4.1: the one says LHLO and nothing else, the other does not know it.
            Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_) => {
                Reply::new(500, (5, 1), "This is not how clients greet here")
            }
            Command::Mail(mail) => return self.or_send(Self::mail, mail),
            Command::Rcpt(rcpt) => return self.or_send(Self::rcpt, rcpt),
            Command::Data => return self.or_send(Self::begin, ()),
            Command::Bdat { size, last } => return self.bdat(size, last),
            Command::Auth { mechanism, initial } => match self.may_authenticate(mechanism) {
                Ok(()) => return self.authenticate(mechanism, initial),
                Err(refusal) => refusal,
            },
            Command::StartTls => return self.start_tls(),
            Command::Rset => {
                self.abandon();
                Reply::new(250, (0, 0), "Ok")
            }
            Command::Noop => Reply::new(250, (0, 0), "Ok"),
            // RFC 5321 §3.5.3: who is here is nobody's business, mail for them is taken all the same.
            Command::Vrfy => {
                Reply::new(252, (5, 0), "Cannot verify, but mail is accepted for those who are here")
            }
            Command::Expn => NOT_OFFERED,
            Command::Help => {
                Reply::new(214, (0, 0), "RFC 5321: EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT")
            }
            Command::Quit => {
                self.close(&Reply::new(221, (0, 0), "Bye"));
                return None;
            }
        };
        self.send(&reply);
        None
    }

    fn or_send<T>(
        &mut self,
        command: fn(&mut Self, T) -> Result<Option<Action>, Reply>,
        argument: T,
    ) -> Option<Action> {
        command(self, argument).unwrap_or_else(|refusal| {
            self.send(&refusal);
            None
        })
    }

    /// RFC 5321 §4.1.1.1: also ends a transaction (§4.1.4).
    fn greet(&mut self, name: ClientName, extended: bool) -> Reply {
        self.abandon();
        self.hello = Some(Hello { name, extended });
        let text = if extended { self.extensions() } else { self.config.hostname.clone() };
        Reply::plain(250, "").with_text(text)
    }

    fn extensions(&self) -> String {
        let limits = &self.config.limits;
        let mut text = format!(
            "{}\nPIPELINING\nSIZE {}\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nBINARYMIME\nDSN\
             \nDELIVERBY\nMT-PRIORITY\nLIMITS RCPTMAX={}",
            self.config.hostname, limits.message, limits.recipients
        );
        if let Some((seconds, until)) = self.longest_hold() {
            text.push_str(&format!("\nFUTURERELEASE {seconds} {until}"));
        }
        // RFC 8689 §2: what came in clear text cannot be kept secret any more.
        if self.secure {
            text.push_str("\nREQUIRETLS");
        }
        if self.config.starttls && !self.secure {
            text.push_str("\nSTARTTLS");
        }
        if !self.authenticated && self.auth_offered() {
            text.push_str("\nAUTH");
            for mechanism in self.mechanisms() {
                text.push(' ');
                text.push_str(mechanism.name());
            }
        }
        text
    }

    /// For how long and until when a mail may be held back (RFC 4865 §3), counted from when the connection began.
    fn longest_hold(&self) -> Option<(u32, Timestamp)> {
        let (seconds, opened_at) = (self.config.hold_seconds?, self.opened_at?);
        let until = opened_at.plus(Duration::from_secs(u64::from(seconds)));
        // Whole seconds read better.
        Some((seconds, Timestamp::from_seconds(until.millis() / 1_000)))
    }

    fn auth_offered(&self) -> bool {
        match self.config.auth {
            Auth::Off => false,
            Auth::OverTls => self.secure,
            Auth::Always => true,
        }
    }

    fn mail(&mut self, mail: Mail) -> Result<Option<Action>, Reply> {
        match &self.stage {
            Stage::Idle => {}
            Stage::Envelope(_) | Stage::Chunks(_) | Stage::Failed => {
                return Err(BAD_SEQUENCE.with_text("A mail has begun already"));
            }
        }
        if self.hello.is_none() {
            return Err(BAD_SEQUENCE.with_text("EHLO comes first"));
        }
        if !matches!(self.config.auth, Auth::Off) && !self.authenticated {
            return Err(Reply::new(530, (7, 0), "Log in first"));
        }
        self.asks_too_much(&mail)?;
        if mail.size.is_some_and(|size| size > self.config.limits.message) {
            return Err(self.too_large());
        }
        let binary = mail.body == Some(BodyType::BinaryMime);
        let envelope = Envelope { utf8: mail.smtputf8, binary, recipients: 0 };
        Ok(self.ask(Asked::Mail(envelope), Question::Mail(mail)))
    }

    /// Refuses parameters of extensions that were not offered, and what they may not say.
    fn asks_too_much(&self, mail: &Mail) -> Result<(), Reply> {
        if mail.require_tls && !self.secure {
            return Err(NOT_IMPLEMENTED.with_text("REQUIRETLS is offered under TLS only"));
        }
        let longest = self.longest_hold();
        let fits = match (mail.hold, longest) {
            (None, _) => true,
            (Some(_), None) => return Err(NOT_IMPLEMENTED),
            (Some(Hold::For(seconds)), Some((longest, _))) => seconds <= longest,
            (Some(Hold::Until(at)), Some((_, longest))) => at <= longest,
        };
        // RFC 2852 §4: whoever holds a mail back cannot want it there before.
        let early = match (mail.hold, mail.by) {
            (Some(Hold::For(hold)), Some(By { seconds, .. })) => seconds < i64::from(hold),
            _ => false,
        };
        if !fits {
            return Err(Reply::new(501, (5, 4), "The mail cannot be held back for so long"));
        }
        if early {
            return Err(Reply::new(501, (5, 4), "The mail is to be there before it may be sent"));
        }
        Ok(())
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Result<Option<Action>, Reply> {
        let envelope = match &self.stage {
            Stage::Envelope(envelope) => *envelope,
            Stage::Idle => return Err(BAD_SEQUENCE.with_text("MAIL comes first")),
            Stage::Chunks(_) | Stage::Failed => return Err(BAD_SEQUENCE),
        };
        if envelope.recipients >= self.config.limits.recipients {
            return Err(Reply::new(452, (5, 3), "Too many recipients"));
        }
        if !envelope.utf8 && !self.ascii {
            return Err(Reply::new(553, (6, 7), "The address needs SMTPUTF8"));
        }
        Ok(self.ask(Asked::Rcpt(envelope), Question::Rcpt(rcpt)))
    }

    fn begin(&mut self, (): ()) -> Result<Option<Action>, Reply> {
        match &self.stage {
            // RFC 3030 §3: a dot alone on a line is content like any other there.
            Stage::Envelope(Envelope { binary: true, .. }) => {
                Err(BAD_SEQUENCE.with_text("BINARYMIME is sent by BDAT"))
            }
            Stage::Envelope(Envelope { recipients: 0, .. }) => Err(self.no_recipients()),
            Stage::Envelope(envelope) => {
                let envelope = *envelope;
                Ok(self.ask(Asked::Data(envelope), Question::Begin))
            }
            Stage::Idle => Err(BAD_SEQUENCE.with_text("MAIL comes first")),
            Stage::Chunks(_) => Err(BAD_SEQUENCE.with_text("BDAT has begun, DATA is not possible")),
            Stage::Failed => Err(BAD_SEQUENCE),
        }
    }

    /// RFC 2033 §4.2 wants another code than RFC 5321 §3.3.
    fn no_recipients(&self) -> Reply {
        let code = match self.config.protocol {
            Protocol::Smtp => 554,
            Protocol::Lmtp => 503,
        };
        Reply::new(code, (5, 1), "No valid recipients")
    }

    /// RFC 3030 §2: whatever becomes of the command, the chunk behind it is not read as commands.
    fn bdat(&mut self, size: u64, last: bool) -> Option<Action> {
        if size > self.swallow_limit() {
            self.send(&self.too_large());
            self.close_quietly();
            return None;
        }
        let body = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Chunks(incoming) => Body::Kept(incoming),
            Stage::Failed => Body::Refused(BAD_SEQUENCE.with_text("A chunk was refused; RSET comes first")),
            Stage::Idle => {
                self.stage = Stage::Idle;
                Body::Refused(BAD_SEQUENCE.with_text("MAIL comes first"))
            }
            Stage::Envelope(envelope) if envelope.recipients > 0 => {
                self.stage = Stage::Envelope(envelope);
                return self.ask(Asked::Bdat { envelope, size, last }, Question::Begin);
            }
            Stage::Envelope(envelope) => {
                self.stage = Stage::Envelope(envelope);
                Body::Refused(self.no_recipients())
            }
        };
        self.phase = Phase::Chunk(Chunk { body, size, remaining: size, last });
        None
    }

    fn may_authenticate(&self, mechanism: Mechanism) -> Result<(), Reply> {
        match self.config.auth {
            Auth::Off => return Err(NOT_OFFERED),
            Auth::OverTls if !self.secure => {
                return Err(Reply::new(538, (7, 11), "Encryption is needed to log in; STARTTLS comes first"));
            }
            Auth::OverTls | Auth::Always => {}
        }
        if self.hello.is_none() {
            return Err(BAD_SEQUENCE.with_text("EHLO comes first"));
        }
        if self.authenticated {
            return Err(BAD_SEQUENCE.with_text("Logged in already"));
        }
        if !self.mechanisms().any(|offered| offered == mechanism) {
            return Err(Reply::new(504, (5, 4), "Mechanism not supported"));
        }
        match &self.stage {
            Stage::Idle => Ok(()),
            Stage::Envelope(_) | Stage::Chunks(_) | Stage::Failed => Err(BAD_SEQUENCE),
        }
    }

    fn start_tls(&mut self) -> Option<Action> {
        if !self.config.starttls || self.secure {
            let refusal = if self.secure { BAD_SEQUENCE } else { NOT_OFFERED };
            self.send(&refusal);
            return None;
        }
        match &self.stage {
            Stage::Idle => {}
            Stage::Envelope(_) | Stage::Chunks(_) | Stage::Failed => {
                self.send(&BAD_SEQUENCE);
                return None;
            }
        }
        if !self.input.is_empty() {
            // RFC 3207 §4.2 and its errata: what came in clear text must not be taken for something said under TLS.
            self.send(&Reply::new(554, (7, 0), "Nothing may follow STARTTLS before the handshake"));
            self.close_quietly();
            return None;
        }
        self.send(&Reply::new(220, (0, 0), "Ready to start TLS"));
        self.phase = Phase::Handshake;
        None
    }

    fn syntax_error(&mut self, error: SyntaxError) {
        let (code, detail) = match error {
            SyntaxError::Unknown => (500, (5, 1)),
            SyntaxError::NotText => (500, (5, 2)),
            SyntaxError::Arguments(_) | SyntaxError::ChunkSize => (501, (5, 4)),
            SyntaxError::ReversePath => (501, (1, 7)),
            SyntaxError::ForwardPath => (501, (1, 3)),
            SyntaxError::NeedsUtf8 => (553, (6, 7)),
            SyntaxError::Parameter => (555, (5, 4)),
            SyntaxError::Mechanism => (504, (5, 4)),
            SyntaxError::Foreign => (554, (7, 0)),
        };
        self.send(&Reply::new(code, detail, "").with_text(error.to_string()));
        match error {
            // Whoever begins with what is no command at all speaks something else.
            SyntaxError::Unknown | SyntaxError::NotText if !self.understood => self.close_quietly(),
            // The next lines would be a request's headers, or a chunk of unknown size: not commands.
            SyntaxError::Foreign | SyntaxError::ChunkSize => self.close_quietly(),
            SyntaxError::Unknown
            | SyntaxError::NotText
            | SyntaxError::Arguments(_)
            | SyntaxError::ReversePath
            | SyntaxError::ForwardPath
            | SyntaxError::NeedsUtf8
            | SyntaxError::Parameter
            | SyntaxError::Mechanism => {}
        }
    }

    /// Hangs up after the reply that has been given.
    pub(super) fn close_quietly(&mut self) {
        self.abandon();
        self.phase = Phase::Closing;
        self.input.clear();
    }

    pub(super) fn too_large(&self) -> Reply {
        let text =
            format!("The mail is larger than the {} bytes that are accepted", self.config.limits.message);
        Reply::new(552, (3, 4), "").with_text(text)
    }
}
