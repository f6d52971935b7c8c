//! An SMTP server on a free port of 127.0.0.1 that answers by a script and keeps what it was sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
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
    /// Answers as usual, and closes.
    Last,
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

    /// Answers as usual at this point, and then closes the connection.
    #[must_use]
    pub fn last(self, command: &str) -> Self {
        self.step(command, Step::Last)
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
    /// Whoever had logged in by AUTH PLAIN: what followed it, in Base64.
    pub login: Option<String>,
}

/// Who the sink is over TLS: a certificate chain, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// The DER of the first certificate's public key.
    pub public_key: Vec<u8>,
}

impl Identity {
    /// Signed by itself, under this name.
    pub fn alone(name: &str) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
        Self::of(vec![made.cert.der().clone()], &made.signing_key)
    }

    /// Signed by an authority that was made for it and comes second in the chain.
    pub fn vouched_for(name: &str) -> Result<Self> {
        let mut authority = rcgen::CertificateParams::new(Vec::new())?;
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        authority.distinguished_name.push(rcgen::DnType::CommonName, "the sink's authority");
        let authority_key = rcgen::KeyPair::generate()?;
        let root = authority.self_signed(&authority_key)?;
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new([name.to_owned()])?.signed_by(&key, &issuer)?;
        Self::of(vec![certificate.der().clone(), root.der().clone()], &key)
    }

    fn of(chain: Vec<CertificateDer<'static>>, key: &rcgen::KeyPair) -> Result<Self> {
        let public_key = rcgen::PublicKeyData::subject_public_key_info(key);
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        Ok(Self { chain, key, public_key })
    }

    /// To serve TLS as.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
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
    commands: Mutex<Vec<String>>,
    tls: TlsAcceptor,
}

impl Sink {
    /// Starts a server that follows the script.
    pub async fn start(script: Script) -> Result<Self> {
        Self::start_at("127.0.0.1:0".parse()?, script).await
    }

    /// Starts it at this address, e.g. another loopback address with the port of another sink.
    pub async fn start_at(address: SocketAddr, script: Script) -> Result<Self> {
        Self::start_as(&Identity::alone("sink.test")?, address, script).await
    }

    /// Starts it there with this certificate.
    pub async fn start_as(identity: &Identity, address: SocketAddr, script: Script) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            script: watch::Sender::new(script),
            received: Mutex::default(),
            connections: Mutex::default(),
            commands: Mutex::default(),
            tls: identity.acceptor()?,
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

    /// All commands of all connections so far.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        lock(&self.state.commands).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            lock(&self.state.commands).push(line.clone());
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
                        login: self.mail.login.clone(),
                        ..Received::default()
                    };
                    self.answer(&line, "250 2.1.0 Ok").await?
                }
                "RCPT" => self.rcpt(&line, after_colon).await?,
                "DATA" => self.data(&line).await?,
                "BDAT" => self.chunk(&line).await?,
                "AUTH" => {
                    self.mail.login = line.split(' ').nth(2).map(str::to_owned);
                    self.answer(&line, "235 2.7.0 Welcome").await?
                }
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
        self.take().await
    }

    /// RFC 3030: the chunk is read whatever becomes of it.
    async fn chunk(&mut self, line: &str) -> Result<bool> {
        let mut words = line.split(' ').skip(1);
        let size = words.next().unwrap_or_default().parse()?;
        let mut data = vec![0; size];
        self.stream.read_exact(&mut data).await?;
        self.mail.data.extend(data);
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        let refused = self.state.script.borrow().at(line).is_some();
        match (refused, self.mail.recipients.is_empty()) {
            (false, true) => self.answer(line, "554 5.5.1 No valid recipients").await,
            (false, false) if last => self.take().await,
            _ => self.answer(line, "250 2.0.0 Ok").await,
        }
    }

    async fn take(&mut self) -> Result<bool> {
        let takes = match self.state.script.borrow().at(FINAL_DOT) {
            None | Some(Step::Last) => true,
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
        let last = matches!(step, Some(Step::Last));
        let reply = match step {
            None | Some(Step::Last) => usual.to_owned(),
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
        Ok(!last && !reply.starts_with("421"))
    }
}
