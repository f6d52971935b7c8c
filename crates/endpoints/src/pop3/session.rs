//! One client: what its commands mean, written straight down.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use futures::TryStreamExt as _;
use mail::{Access, ByteStream, Certificate, Client, Error, Listed, Service, Target};
use pop3::{Action, Command, Connection, Event, Language, Reply, State, Stuffer, Top};
use sasl::{Binding, Failure, Fault, Mechanism, Offer};
use tokio_util::sync::CancellationToken;
use types::{MailboxId, Role, Secret, Sequence};

use crate::login::{Login, Progress, Why};
use crate::net::{Conversation, Expects, Peer, Security, Step};
use crate::sessions::{Seat, Sessions};

/// The conversation with one POP3 client.
pub struct Session {
    engine: Connection,
    client: IpAddr,
    mail: Service,
    sessions: Arc<Sessions>,
    /// On offer here.
    mechanisms: Arc<[Mechanism]>,
    /// What logins can be bound to.
    binding: Option<Binding>,
    /// The client's.
    certificate: Arc<Certificate>,
    /// A login on its way.
    attempt: Option<Box<Login>>,
    /// Named by USER.
    user: Option<String>,
    inbox: Option<Inbox>,
    sending: Option<Sending>,
    /// What is to be held up if there was too much of it.
    held: Option<Event>,
    stop: CancellationToken,
}

/// The inbox as it was when the session began.
struct Inbox {
    access: Access,
    mailbox: MailboxId,
    messages: Sequence<Listed>,
    /// Numbers of messages that go at QUIT.
    deleted: BTreeSet<u32>,
    _seat: Seat,
}

/// A message that is being sent.
struct Sending {
    stream: ByteStream,
    stuffer: Stuffer,
    top: Option<Top>,
}

impl Session {
    pub(super) fn new(
        engine: Connection,
        peer: Peer,
        mail: Service,
        sessions: Arc<Sessions>,
        mechanisms: Arc<[Mechanism]>,
    ) -> Self {
        Self {
            engine,
            client: peer.address.ip(),
            mail,
            sessions,
            mechanisms,
            binding: peer.security.binding.map(Binding),
            certificate: peer.security.certificate,
            attempt: None,
            user: None,
            inbox: None,
            sending: None,
            held: None,
            stop: peer.stop,
        }
    }

    async fn event(&mut self, event: Event) {
        let reply = match event {
            Event::Response(response) => self.response(response).await,
            Event::Command(Command::Auth { mechanism: Some(mechanism), initial }) => {
                self.authenticate(&mechanism, initial).await
            }
            Event::Command(command) => Box::pin(self.command(command)).await,
        };
        match reply {
            Ok(Some(reply)) | Err(reply) => self.engine.reply(&reply),
            Ok(None) => {}
        }
        if self.sending.is_none() {
            self.engine.done();
        }
    }

    /// `Ok(None)`: everything was said already.
    async fn command(&mut self, command: Command) -> Result<Option<Reply>, Reply> {
        if let Some(inbox) = &self.inbox
            && !inbox.access.is_still_theirs().await
        {
            // What was named to go stays.
            self.inbox = None;
            self.engine.reply(&Reply::err_with("AUTH", "Please log in again"));
            self.engine.hang_up();
            return Ok(None);
        }
        let reply = match command {
            Command::Capa => return self.capabilities(),
            Command::User(user) => {
                self.user = Some(user);
                Reply::ok("And the password?")
            }
            Command::Pass(password) => {
                let user = self.user.take().ok_or_else(|| Reply::err("USER comes first"))?;
                self.log_in(&user, &password).await?
            }
            Command::Apop => return Err(Reply::err("APOP is not safe, and not to be had here")),
            Command::Utf8 => {
                self.engine.use_utf8();
                Reply::ok("UTF-8 it is")
            }
            Command::Lang(None) => {
                let line = |language: Language| format!("{} {}\r\n", language.tag(), language.name());
                return self.lines("Languages", &Language::ALL.map(line).concat());
            }
            Command::Lang(Some(range)) => {
                let language = Language::lookup(&range);
                let language = language.ok_or_else(|| Reply::err("That language is not spoken here"))?;
                self.engine.speak(language);
                Reply::ok(format!("{} {}", language.tag(), language.name()))
            }
            Command::Noop => Reply::ok("Done"),
            Command::Quit => {
                self.quit().await;
                return Ok(None);
            }
            Command::Stat
            | Command::List(_)
            | Command::Uidl(_)
            | Command::Retr(_)
            | Command::Top { .. }
            | Command::Dele(_)
            | Command::Rset => return self.with_inbox(command).await,
            Command::Auth { .. } => {
                let names: String = self.names().map(|name| format!("{name}\r\n")).collect();
                return self.lines("These", &names);
            }
            // The engine answers this itself.
            Command::Stls => return Err(Reply::err("Not now")),
        };
        Ok(Some(reply))
    }

    async fn with_inbox(&mut self, command: Command) -> Result<Option<Reply>, Reply> {
        let inbox = self.inbox.as_mut().ok_or_else(|| Reply::err("Log in first"))?;
        Ok(Some(match command {
            Command::Stat => {
                let (count, bytes) = inbox.left().fold((0_u64, 0_u64), |(count, bytes), (_, message)| {
                    (count + 1, bytes + message.size_bytes)
                });
                Reply::ok(format!("{count} {bytes}"))
            }
            Command::List(number) => return self.scan(number, |message| message.size_bytes.to_string()),
            // The message's own id: it stays the same wherever the message goes.
            Command::Uidl(number) => return self.scan(number, |message| message.id.to_string()),
            Command::Retr(number) => return self.retrieve(number, None).await,
            Command::Top { number, lines } => return self.retrieve(number, Some(lines)).await,
            Command::Dele(number) => {
                inbox.message(number)?;
                inbox.deleted.insert(number);
                Reply::ok("It goes when you do")
            }
            _ => {
                inbox.deleted.clear();
                Reply::ok("Nothing is deleted")
            }
        }))
    }

    /// LIST and UIDL: a line for one message, or one for each.
    fn scan(
        &mut self,
        number: Option<u32>,
        tell: impl Fn(&Listed) -> String,
    ) -> Result<Option<Reply>, Reply> {
        let inbox = self.inbox.as_ref().ok_or_else(|| Reply::err("Log in first"))?;
        if let Some(number) = number {
            return Ok(Some(Reply::ok(format!("{number} {}", tell(inbox.message(number)?)))));
        }
        let mut lines = String::new();
        for (number, message) in inbox.left() {
            let _ = write!(lines, "{number} {}\r\n", tell(message));
        }
        self.lines("Here they are", &lines)
    }

    /// A message, or its header and so many lines.
    async fn retrieve(&mut self, number: u32, lines: Option<u32>) -> Result<Option<Reply>, Reply> {
        let inbox = self.inbox.as_ref().ok_or_else(|| Reply::err("Log in first"))?;
        let id = inbox.message(number)?.id;
        let letter = inbox.access.letters(&[id]).await.map_err(refusal)?.remove(&id);
        let letter = letter.ok_or_else(|| Reply::err("The message is gone"))?;
        let top = match lines {
            Some(lines) => {
                let structure = letter.structure().map_err(refusal)?;
                Some(Top::new(structure.root().map_or(0, |root| root.header.end), lines))
            }
            None => None,
        };
        let stream = letter.bytes(0..letter.size_bytes());
        self.sending = Some(Sending { stream, stuffer: Stuffer::default(), top });
        Ok(Some(Reply::ok(format!("{} octets", letter.size_bytes()))))
    }

    /// Sends the next piece of a message. An error: it cannot go on.
    async fn send_on(&mut self) -> Result<(), ()> {
        let Some(mut sending) = self.sending.take() else { return Ok(()) };
        let piece = sending.stream.try_next().await.map_err(|error| {
            tracing::error!(%error, "a message could not be sent to its end");
        })?;
        let Some(piece) = piece else {
            self.engine.write(sending.stuffer.finish());
            self.engine.done();
            return Ok(());
        };
        let shown = sending.top.as_mut().map_or(piece.len(), |top| top.take(&piece));
        let stuffed = sending.stuffer.push(piece.get(..shown).unwrap_or_default());
        self.engine.write(&stuffed);
        if shown < piece.len() {
            self.engine.write(sending.stuffer.finish());
            self.engine.done();
        } else {
            self.sending = Some(sending);
        }
        Ok(())
    }

    async fn log_in(&mut self, user: &str, password: &Secret) -> Result<Reply, Reply> {
        let access = self.mail.authenticate(user, password, &self.client()).await.map_err(refusal)?;
        self.let_in(access).await
    }

    fn offer(&self) -> Offer<'_> {
        let certified = self.certificate.is_of_use(self.mail.now());
        Offer { mechanisms: &self.mechanisms, binding: self.binding.as_ref(), certified }
    }

    /// The mechanisms that can be had now.
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.offer().mechanisms().filter(|_| self.engine.may_log_in()).map(Mechanism::name)
    }

    async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<Secret>,
    ) -> Result<Option<Reply>, Reply> {
        let (mail, client) = (self.mail.clone(), self.client());
        let offer = self.offer();
        let initial = initial.as_ref().map(|initial| initial.expose().as_bytes());
        let progress = Login::begin(&mail, offer, mechanism, initial, &self.certificate, client).await;
        self.went(progress).await
    }

    /// The answer to a challenge; `None`: the client gives up.
    async fn response(&mut self, response: Option<Vec<u8>>) -> Result<Option<Reply>, Reply> {
        let attempt = self.attempt.take().ok_or_else(|| Reply::err("Nothing was asked"))?;
        let progress = attempt.line(&self.mail, response.as_deref()).await;
        self.went(progress).await
    }

    async fn went(&mut self, progress: Progress) -> Result<Option<Reply>, Reply> {
        match progress {
            Progress::Challenge(attempt, challenge) => {
                self.attempt = Some(attempt);
                self.engine.challenge(&challenge);
                Ok(None)
            }
            Progress::In(access) => self.let_in(*access).await.map(Some),
            Progress::Over(why) => Err(not_let_in(why)),
        }
    }

    async fn let_in(&mut self, access: Access) -> Result<Reply, Reply> {
        let seat = self.sessions.enter(access.id());
        let seat = seat.ok_or_else(|| Reply::err_with("IN-USE", "Another session has the mailbox"))?;
        let all = access.named().await.map_err(refusal)?;
        let inbox = all.iter().find(|named| named.mailbox.role == Some(Role::Inbox));
        let mailbox = inbox.ok_or_else(|| Reply::err("There is no inbox"))?.mailbox.id;
        let roll = access.roll(mailbox).await.map_err(refusal)?;
        let messages = roll.map(|roll| roll.messages.clone()).unwrap_or_default();
        let count = messages.len();
        self.inbox = Some(Inbox { access, mailbox, messages, deleted: BTreeSet::new(), _seat: seat });
        self.engine.logged_in();
        Ok(Reply::ok(format!("Welcome, there are {count} messages")))
    }

    fn client(&self) -> Client {
        Client { ip: Some(self.client), name: "POP3".to_owned() }
    }

    /// RFC 1939 §6: only now anything is deleted.
    async fn quit(&mut self) {
        let outcome = match self.inbox.take() {
            Some(inbox) if !inbox.deleted.is_empty() => inbox.delete().await,
            Some(_) | None => Ok(()),
        };
        let reply = match outcome {
            Ok(()) => Reply::ok("See you"),
            Err(error) => {
                error.log("messages were not deleted");
                Reply::err_with("SYS/TEMP", "Some messages were not deleted")
            }
        };
        self.engine.reply(&reply);
        self.engine.hang_up();
    }

    /// RFC 2449 §5, RFC 3206, RFC 5034, RFC 6856
    fn capabilities(&mut self) -> Result<Option<Reply>, Reply> {
        let mut lines = String::from("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
        lines.push_str("EXPIRE NEVER\r\nLOGIN-DELAY 0\r\nUTF8 USER\r\nLANG\r\nIMPLEMENTATION Magpie\r\n");
        if self.engine.state() == State::Authorization && self.engine.may_log_in() {
            lines.push_str("USER\r\nSASL");
            self.names().for_each(|name| lines.extend([" ", name]));
            lines.push_str("\r\n");
        }
        if self.engine.offers_stls() {
            lines.push_str("STLS\r\n");
        }
        self.lines("This is what there is", &lines)
    }

    /// A reply of several lines.
    fn lines(&mut self, text: &str, lines: &str) -> Result<Option<Reply>, Reply> {
        self.engine.reply(&Reply::ok(text));
        self.engine.write(lines.as_bytes());
        self.engine.write(b".\r\n");
        Ok(None)
    }
}

impl Conversation for Session {
    fn receive(&mut self, bytes: &[u8]) {
        self.engine.receive(bytes);
    }

    async fn next(&mut self) -> Step {
        loop {
            if self.sending.is_some() && !self.engine.is_full() {
                if Box::pin(self.send_on()).await.is_err() {
                    return Step::Close;
                }
                continue;
            }
            if let Some(event) = self.held.take() {
                let account = self.inbox.as_ref().map(|inbox| inbox.access.id());
                if self.mail.pace(self.client, account, &self.stop, || {}).await {
                    Box::pin(self.event(event)).await;
                } else {
                    self.engine
                        .reply(&Reply::err_with("SYS/TEMP", "The server is going down, please come back"));
                    self.engine.hang_up();
                }
                continue;
            }
            match self.engine.next() {
                Action::Read => return Step::Read,
                Action::Write(bytes) => return Step::Write(bytes),
                Action::StartTls => return Step::StartTls,
                Action::Close => return Step::Close,
                Action::Event(event) if self.mail.paces() => {
                    self.held = Some(event);
                    // What was answered does not wait.
                    if let Some(bytes) = self.engine.unsent() {
                        return Step::Write(bytes);
                    }
                }
                Action::Event(event) => Box::pin(self.event(event)).await,
            }
        }
    }

    /// RFC 1939 §3: at least ten minutes of silence are borne.
    fn expects(&self) -> Expects {
        match self.engine.state() {
            State::Authorization => Expects::Command,
            State::Transaction => Expects::Anything,
        }
    }

    fn tls_started(&mut self, security: Security) {
        self.user = None;
        self.attempt = None;
        self.binding = security.binding.map(Binding);
        self.certificate = security.certificate;
        self.engine.tls_started();
    }

    fn drain(&mut self) {
        self.engine.drain();
    }

    fn time_out(&mut self) {
        self.engine.time_out();
    }
}

impl Inbox {
    /// The message of this number, unless it was deleted.
    fn message(&self, number: u32) -> Result<&Listed, Reply> {
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let message = place.and_then(|place| self.messages.get(place));
        let message = message.ok_or_else(|| Reply::err("There is no message of that number"))?;
        if self.deleted.contains(&number) {
            return Err(Reply::err("That message is named to go already; RSET keeps it"));
        }
        Ok(message)
    }

    fn left(&self) -> impl Iterator<Item = (u32, &Listed)> {
        (1..).zip(self.messages.iter()).filter(|(number, _)| !self.deleted.contains(number))
    }

    async fn delete(self) -> mail::Result<()> {
        let deleted = (1..).zip(self.messages.iter()).filter(|(number, _)| self.deleted.contains(number));
        let targets: Vec<_> =
            deleted.map(|(_, message)| Target { id: message.id, uid: message.uid }).collect();
        self.access.remove(self.mailbox, &targets).await
    }
}

/// What a client is told that is not let in.
fn not_let_in(why: Why) -> Reply {
    match why {
        Why::NoMechanism => Reply::err("That mechanism is not to be had here"),
        Why::Refused(error) => refusal(error),
        Why::Failed(
            failure @ (Failure::Cancelled | Failure::NotBase64 | Failure::Fault(Fault::Malformed)),
        ) => Reply::err(failure.to_string()),
        Why::Failed(failure @ Failure::Fault(Fault::AnotherName | Fault::Binding | Fault::Refused)) => {
            Reply::err_with("AUTH", failure.to_string())
        }
    }
}

/// What a client is told of an error; the cause is logged.
fn refusal(error: Error) -> Reply {
    match error {
        Error::Credentials | Error::Unauthenticated => Reply::err_with("AUTH", "Wrong user or password"),
        Error::Limited { .. } => Reply::err_with("SYS/TEMP", "Too many attempts, please try again later"),
        error => {
            error.log("not done");
            Reply::err_with("SYS/TEMP", "Not possible now, please try again later")
        }
    }
}
