//! An SMTP server on a free port of 127.0.0.1 that answers by a script and keeps what it was sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// What the server says, where that is not a plain yes.
#[derive(Debug, Clone)]
pub struct Script {
    extensions: Vec<String>,
    steps: Vec<(String, Step)>,
}

#[derive(Debug, Clone)]
enum Step {
    Reply(String),
    Close,
    Stall,
}

/// The point before any command, for [`Script::reply`] and its like.
pub const GREETING: &str = "(greeting)";
/// The end of the data.
pub const FINAL_DOT: &str = ".";

impl Default for Script {
    fn default() -> Self {
        let extensions = ["PIPELINING", "SIZE 50000000", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"];
        Self { extensions: extensions.map(str::to_owned).to_vec(), steps: Vec::new() }
    }
}

impl Script {
    /// Answers commands that begin so (whatever their case) with this reply; its lines are separated by LF.
    #[must_use]
    pub fn reply(self, command: &str, reply: &str) -> Self {
        self.step(command, Step::Reply(reply.to_owned()))
    }

    /// Drops the connection at this point, without an answer.
    #[must_use]
    pub fn close(self, command: &str) -> Self {
        self.step(command, Step::Close)
    }

    /// Says nothing at this point until the sink is dropped or given another script.
    #[must_use]
    pub fn stall(self, command: &str) -> Self {
        self.step(command, Step::Stall)
    }

    /// Announces exactly these extensions; `STARTTLS` with a certificate that nobody trusts.
    #[must_use]
    pub fn extensions(mut self, extensions: &[&str]) -> Self {
        self.extensions = extensions.iter().map(|&name| name.to_owned()).collect();
        self
    }

    fn step(mut self, command: &str, step: Step) -> Self {
        self.steps.push((command.to_ascii_uppercase(), step));
        self
    }

    fn at(&self, command: &str) -> Option<&Step> {
        let command = command.to_ascii_uppercase();
        self.steps.iter().find(|(prefix, _)| command.starts_with(prefix)).map(|(_, step)| step)
    }
}

/// A mail that the sink took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    pub helo: String,
    pub tls: bool,
    /// What followed `MAIL FROM:`, with its parameters.
    pub from: String,
    /// What followed each `RCPT TO:` that was accepted.
    pub recipients: Vec<String>,
    /// Without dot-stuffing and the final dot.
    pub data: Vec<u8>,
}

/// The server; it stops when dropped.
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    _stop: DropGuard,
}

struct State {
    script: watch::Sender<Script>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<u64>,
    tls: TlsAcceptor,
}

impl Sink {
    /// Starts a server that follows the script.
    pub async fn start(script: Script) -> Result<Self> {
        Self::start_at("127.0.0.1:0".parse()?, script).await
    }

    /// Starts it at this address, e.g. another loopback address with the port of another sink.
    pub async fn start_at(address: SocketAddr, script: Script) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            script: watch::Sender::new(script),
            received: Mutex::default(),
            connections: Mutex::default(),
            tls: acceptor()?,
        });
        let stop = CancellationToken::new();
        let (tasks, shared, stopped) = (TaskTracker::new(), Arc::clone(&state), stop.clone());
        let _listening = TaskTracker::new().spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                *lock(&shared.connections) += 1;
                let (shared, stopped) = (Arc::clone(&shared), stopped.clone());
                tasks.spawn(async move { stopped.run_until_cancelled(converse(stream, &shared)).await });
            }
        });
        Ok(Self { address, state, _stop: stop.drop_guard() })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Follows another script from the next command on; whoever is stalled loses the connection.
    pub fn follow(&self, script: Script) {
        self.state.script.send_replace(script);
    }

    /// The mails taken so far, oldest first.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state.received).clone()
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        *lock(&self.state.connections)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn acceptor() -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["sink.test".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// How a conversation went on.
enum Next {
    StartTls,
    Over,
}

async fn converse(stream: TcpStream, state: &State) -> Result<()> {
    let mut plain = Conversation::new(stream, state, false);
    if !plain.answer(GREETING, "220 sink.test ESMTP").await? {
        return Ok(());
    }
    if let Next::StartTls = plain.run().await? {
        let stream = state.tls.accept(plain.stream.into_inner()).await?;
        Conversation::new(stream, state, true).run().await?;
    }
    Ok(())
}

struct Conversation<'a, S> {
    stream: BufStream<S>,
    state: &'a State,
    tls: bool,
    mail: Received,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    fn new(stream: S, state: &'a State, tls: bool) -> Self {
        Self { stream: BufStream::new(stream), state, tls, mail: Received::default() }
    }

    async fn run(&mut self) -> Result<Next> {
        loop {
            let mut line = Vec::new();
            if self.stream.read_until(b'\n', &mut line).await? == 0 {
                return Ok(Next::Over);
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let after_colon = line.split_once(':').map_or("", |(_, rest)| rest).trim().to_owned();
            let goes_on = match verb.as_str() {
                "EHLO" | "HELO" => {
                    self.mail.helo = line.get(5..).unwrap_or_default().to_owned();
                    let hello = self.hello(verb == "EHLO");
                    self.answer(&line, &hello).await?
                }
                "STARTTLS" => {
                    if self.answer(&line, "220 2.0.0 Go ahead").await? {
                        return Ok(Next::StartTls);
                    }
                    false
                }
                "MAIL" => {
                    self.mail = Received {
                        from: after_colon,
                        tls: self.tls,
                        helo: self.mail.helo.clone(),
                        ..Received::default()
                    };
                    self.answer(&line, "250 2.1.0 Ok").await?
                }
                "RCPT" => self.rcpt(&line, after_colon).await?,
                "DATA" => self.data(&line).await?,
                "QUIT" => {
                    self.answer(&line, "221 2.0.0 Bye").await?;
                    false
                }
                _ => self.answer(&line, "250 2.0.0 Ok").await?,
            };
            if !goes_on {
                return Ok(Next::Over);
            }
        }
    }

    fn hello(&self, extended: bool) -> String {
        let mut lines = vec!["sink.test".to_owned()];
        if extended {
            let script = self.state.script.borrow();
            lines.extend(script.extensions.iter().filter(|name| !(self.tls && *name == "STARTTLS")).cloned());
        }
        let last = lines.len() - 1;
        let line = |(at, text): (usize, &String)| format!("250{}{text}", if at == last { ' ' } else { '-' });
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    async fn rcpt(&mut self, line: &str, recipient: String) -> Result<bool> {
        let refused = matches!(self.state.script.borrow().at(line), Some(Step::Reply(reply)) if !reply.starts_with('2'));
        if !refused {
            self.mail.recipients.push(recipient);
        }
        self.answer(line, "250 2.1.5 Ok").await
    }

    async fn data(&mut self, line: &str) -> Result<bool> {
        let refused = self.state.script.borrow().at(line).is_some();
        let usual =
            if self.mail.recipients.is_empty() { "554 5.5.1 No valid recipients" } else { "354 Go on" };
        if !self.answer(line, usual).await? {
            return Ok(false);
        }
        if refused || self.mail.recipients.is_empty() {
            return Ok(true);
        }
        let mut data = Vec::new();
        loop {
            let start = data.len();
            if self.stream.read_until(b'\n', &mut data).await? == 0 {
                return Ok(false);
            }
            match data.get(start..) {
                Some(b".\r\n") => {
                    data.truncate(start);
                    break;
                }
                Some([b'.', ..]) => {
                    data.remove(start);
                }
                _ => {}
            }
        }
        self.mail.data = data;
        let takes = match self.state.script.borrow().at(FINAL_DOT) {
            None => true,
            Some(Step::Reply(reply)) => reply.starts_with('2'),
            Some(Step::Close | Step::Stall) => false,
        };
        if takes {
            lock(&self.state.received).push(self.mail.clone());
        }
        self.answer(FINAL_DOT, "250 2.0.0 Ok: kept").await
    }

    /// Says what the script wants here, otherwise the usual; false ends the connection.
    async fn answer(&mut self, point: &str, usual: &str) -> Result<bool> {
        let step = self.state.script.borrow().at(point).cloned();
        let reply = match step {
            None => usual.to_owned(),
            Some(Step::Reply(reply)) => reply,
            Some(Step::Close) => return Ok(false),
            Some(Step::Stall) => {
                let mut changes = self.state.script.subscribe();
                changes.borrow_and_update();
                let _ = changes.changed().await;
                return Ok(false);
            }
        };
        self.stream.write_all(format!("{}\r\n", reply.replace('\n', "\r\n")).as_bytes()).await?;
        self.stream.flush().await?;
        // RFC 5321 §3.8: after 421 the server closes.
        Ok(!reply.starts_with("421"))
    }
}
