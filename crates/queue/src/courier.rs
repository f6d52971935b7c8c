//! Delivery by SMTP: host after host, recipient by recipient, over connections that are kept for the next mail.
//!
//! An attempt moves on to the next address while nothing was handed over: no connection, an unwilling greeting, 421, a
//! connection that broke before the data. Once the data went out and no answer came, another host must not get
//! it as well: the outcome is deferred.

mod auth;
mod connection;
mod dial;
mod exchange;
mod observed;
mod parameters;
mod pool;
pub(crate) mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use types::{EmailAddress, Late, RecipientTerms, Terms};

use crate::{
    Class, Outcome, Reply, Security, Target, Way,
    tlsrpt::{Ledger, ResultType},
};
use connection::Connection;
use dial::Dialled;
use exchange::Attempt;
use observed::{Broken, Observed};
use pool::{Kept, Key, Pool};
pub(crate) use tls::Tls;

/// Who sends what to whom, RFC 5321 §2.3.1.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// `None`: the null return path `<>`.
    pub return_path: Option<EmailAddress>,
    /// Recipients that the same hosts are responsible for; they go in one transaction.
    pub recipients: Vec<EmailAddress>,
    /// The mail as it is sent, without Bcc.
    pub body: Bytes,
    /// What the sender asks for.
    pub terms: Terms,
    /// And for recipients; for those who are not there: nothing.
    pub wishes: Vec<(EmailAddress, RecipientTerms)>,
    pub by: Option<Deadline>,
}

/// When a mail is to be there (RFC 2852), from now on; negative if that has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    pub seconds: i64,
    pub late: Late,
    pub trace: bool,
}

/// A mail that is fetched once somebody is there to take it: what waits for a host needs no room.
#[async_trait]
pub trait Cargo: Send + Sync {
    /// `None`: it is not to be delivered now after all.
    async fn load(&self) -> Option<Envelope>;
}

#[async_trait]
impl Cargo for Envelope {
    async fn load(&self) -> Option<Envelope> {
        Some(self.clone())
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handover {
    /// A host has answered for each recipient.
    Answered {
        outcomes: Vec<(EmailAddress, Outcome)>,
        /// It has asked us to come more slowly.
        slower: bool,
        /// It tells the sender what becomes of what it took (RFC 3461).
        notifies: bool,
    },
    /// No host would talk to us.
    Away {
        reply: Reply,
        /// One of them was there, but turned us away.
        slower: bool,
    },
    /// The mail was not to be had.
    Unloaded,
}

/// Carries mail to other servers.
#[async_trait]
pub trait Courier: Send + Sync {
    /// Tries the way's targets in order.
    async fn deliver(&self, way: &Way, cargo: &dyn Cargo) -> Handover;

    /// Keeps house until the shutdown, beside deliveries.
    async fn tend(&self, shutdown: &CancellationToken) {
        shutdown.cancelled().await;
    }
}

/// How SMTP is spoken to other servers.
#[derive(Debug, Clone)]
pub struct SmtpConfig {
    /// What we call ourselves in EHLO: a name that resolves to us.
    pub hello: String,
    /// How long each step may take, RFC 5321 §4.5.3.2.
    pub timeouts: Timeouts,
    pub reuse: Reuse,
}

/// Connections that are kept for the next mail.
#[derive(Debug, Clone)]
pub struct Reuse {
    /// How many may be idle; 0: every mail has its own connection.
    pub connections: usize,
    /// How long one may be idle.
    pub idle: Duration,
    /// How long one is used in all.
    pub age: Duration,
    /// How many mails go over one.
    pub messages: u32,
}

impl Default for Reuse {
    fn default() -> Self {
        let (idle, age) = (Duration::from_secs(5), Duration::from_secs(300));
        Self { connections: 100, idle, age, messages: 100 }
    }
}

/// Time limits of the steps of a delivery.
#[derive(Debug, Clone)]
pub struct Timeouts {
    pub connect: Duration,
    /// For the greeting, for TLS, and for each reply.
    pub command: Duration,
    /// For each piece of data to be taken.
    pub data_block: Duration,
    /// For the reply to the final dot.
    pub data_done: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(30),
            command: seconds(300),
            data_block: seconds(180),
            data_done: seconds(600),
        }
    }
}

impl SmtpConfig {
    /// As usual, under this name.
    #[must_use]
    pub fn new(hello: &str) -> Self {
        Self { hello: hello.to_owned(), timeouts: Timeouts::default(), reuse: Reuse::default() }
    }
}

/// The courier that speaks SMTP.
pub struct SmtpCourier {
    config: SmtpConfig,
    tls: Tls,
    pool: Pool,
    ledger: Option<Arc<dyn Ledger>>,
}

/// Why hosts did not take it, as it is found out.
#[derive(Default)]
struct Refusals {
    worst: Option<Reply>,
    /// One was there and turned us away.
    slower: bool,
}

/// What came of talking to one target.
enum Talk {
    Settled(Handover),
    /// Nothing was handed over; another address may be tried with all recipients.
    NotHere(Reply),
}

impl SmtpCourier {
    /// Fails if the TLS library cannot be set up.
    pub fn new(config: SmtpConfig) -> Result<Self, rustls::Error> {
        let pool = Pool::new(config.reuse.clone());
        Ok(Self { config, tls: Tls::new()?, pool, ledger: None })
    }

    /// With further authorities whose certificates are good, in DER.
    pub fn trusting(mut self, authorities: &[Vec<u8>]) -> Result<Self, rustls::Error> {
        self.tls = Tls::trusting(authorities)?;
        Ok(self)
    }

    /// Tells how sessions begin.
    #[must_use]
    pub fn told_to(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }

    fn tell(&self, way: &Way, target: &Target, result: Option<ResultType>) {
        if let (Some(ledger), Some(whose)) = (&self.ledger, &way.whose) {
            ledger.note(&whose.domain, &whose.session(target, result));
        }
    }

    /// Over a connection that is there already, to one of the hosts that would be asked first.
    async fn over_kept(&self, way: &Way, cargo: &dyn Cargo) -> Option<Talk> {
        let first = way.targets.first()?.preference;
        for target in way.targets.iter().take_while(|target| target.preference == first) {
            let key = Key::new(target, way);
            while let Some(kept) = self.pool.take(&key) {
                // Stale: the host had closed it, and nothing was said over it.
                if let Some(talk) = self.talk(kept, key.clone(), target, cargo).await {
                    return Some(talk);
                }
            }
        }
        None
    }

    /// Delivers over this connection, and keeps it if it is good for another mail. `None` if it was of no use any more.
    async fn talk(&self, mut kept: Kept, key: Key, target: &Target, cargo: &dyn Cargo) -> Option<Talk> {
        let Some(envelope) = cargo.load().await else {
            self.pool.keep(key, kept);
            return Some(Talk::Settled(Handover::Unloaded));
        };
        let rested = kept.rested();
        let notifies = kept.connection.offers("DSN");
        let attempt = exchange::transact(&mut kept.connection, &envelope, target, rested).await;
        Some(match attempt {
            Attempt::Settled { outcomes, keep, slower } => {
                if !keep {
                    kept.connection.leave();
                } else if let Some(spent) = self.pool.keep(key, kept) {
                    spent.connection.quit().await;
                }
                Talk::Settled(Handover::Answered { outcomes, slower, notifies })
            }
            Attempt::NotHere(reply) => Talk::NotHere(reply),
            Attempt::Stale => return None,
        })
    }

    /// The host's addresses, until one of them has answered for the recipients.
    async fn ask_host(
        &self,
        way: &Way,
        targets: &[Target],
        cargo: &dyn Cargo,
        refusals: &mut Refusals,
    ) -> Option<Handover> {
        let mut left = targets.to_vec();
        while !left.is_empty() {
            let dialled = dial::dial(&left, &way.caller.sources, self.config.timeouts.connect).await;
            let Dialled { stream, at, failed } = match dialled {
                Ok(dialled) => dialled,
                Err(reply) => {
                    refusals.add(reply);
                    return None;
                }
            };
            let target = left.get(at).cloned()?;
            let gone = |other: usize| other == at || failed.contains(&other);
            left = left.into_iter().enumerate().filter(|(n, _)| !gone(*n)).map(|(_, to)| to).collect();
            let talk = match self.establish(&target, way, stream).await {
                Ok(connection) => {
                    let kept = Kept::new(connection);
                    let stale = || Talk::NotHere(lost(&target.host));
                    self.talk(kept, Key::new(&target, way), &target, cargo).await.unwrap_or_else(stale)
                }
                Err(reply) => Talk::NotHere(reply),
            };
            match talk {
                Talk::Settled(handover) => return Some(handover),
                Talk::NotHere(reply) => {
                    tracing::info!(host = target.host, address = %target.address, %reply, "not delivered here");
                    refusals.slower |= reply.host.is_some() && reply.class() == Class::Temporary;
                    refusals.add(reply);
                }
            }
        }
        None
    }

    /// Says hello; encrypted as the way asks for, or where the host offers it and can do it (RFC 3207, RFC 7435).
    async fn establish(
        &self,
        target: &Target,
        way: &Way,
        stream: tokio::net::TcpStream,
    ) -> Result<Connection, Reply> {
        let hello = way.caller.hello.as_ref().unwrap_or(&self.config.hello);
        let open = |stream| Connection::open(stream, &target.host, hello, &self.config.timeouts);
        let mut connection = if way.caller.tls_at_once {
            let config = self.tls.config(&target.security, &target.host)?;
            Connection::open_tls(stream, &target.host, hello, &self.config.timeouts, config).await?
        } else {
            open(stream).await?
        };
        connection.hello().await?;
        if !way.caller.tls_at_once {
            connection = self.secure(connection, target, way, open).await?;
        }
        if let Some(login) = &way.caller.login {
            auth::log_in(&mut connection, login).await?;
        }
        Ok(connection)
    }

    async fn secure<F: Future<Output = Result<Connection, Reply>>>(
        &self,
        connection: Connection,
        target: &Target,
        way: &Way,
        open: impl Fn(tokio::net::TcpStream) -> F,
    ) -> Result<Connection, Reply> {
        if target.security == Security::Plain {
            return Ok(connection);
        }
        let mandatory = target.security.is_mandatory();
        if !connection.offers("STARTTLS") {
            self.tell(way, target, Some(ResultType::StarttlsNotSupported));
            return if mandatory {
                Err(insecure(&target.host, "it does not offer TLS"))
            } else {
                Ok(connection)
            };
        }
        let (config, observed) = match &way.whose {
            Some(whose) if self.ledger.is_some() && whose.tests(target) => self.tls.observing(),
            _ => (self.tls.config(&target.security, &target.host)?, Observed::default()),
        };
        let started = connection.start_tls(&config).await;
        match &started {
            Ok(_) => self.tell(way, target, tested(way, target).or_else(|| observed.result())),
            Err(Broken { result: None, .. }) => {}
            Err(Broken { result, .. }) => self.tell(way, target, *result),
        }
        match started {
            Ok(encrypted) => Ok(encrypted),
            Err(Broken { reason, .. }) if mandatory => Err(insecure(&target.host, &reason)),
            Err(Broken { reason, .. }) => {
                tracing::info!(host = target.host, address = %target.address, %reason, "no TLS, going on without");
                let one = std::slice::from_ref(target);
                let dialled = dial::dial(one, &way.caller.sources, self.config.timeouts.connect).await?;
                let mut plain = open(dialled.stream).await?;
                plain.hello().await?;
                Ok(plain)
            }
        }
    }
}

#[async_trait]
impl Courier for SmtpCourier {
    async fn deliver(&self, way: &Way, cargo: &dyn Cargo) -> Handover {
        let mut refusals = Refusals::default();
        match self.over_kept(way, cargo).await {
            Some(Talk::Settled(handover)) => return handover,
            Some(Talk::NotHere(reply)) => {
                refusals.slower = true;
                refusals.add(reply);
            }
            None => {}
        }
        for host in way.targets.chunk_by(|one, next| one.host == next.host) {
            if let Some(handover) = self.ask_host(way, host, cargo, &mut refusals).await {
                return handover;
            }
        }
        let reply = refusals.worst.unwrap_or_else(|| Reply::ours("4.4.1", "There was no mail server to ask"));
        Handover::Away { reply, slower: refusals.slower }
    }

    async fn tend(&self, shutdown: &CancellationToken) {
        self.pool.tend(shutdown).await;
    }
}

impl Refusals {
    /// A host that refused for now weighs more than one that refused for good.
    fn add(&mut self, reply: Reply) {
        if self.worst.as_ref().is_none_or(|worst| worst.class() == Class::Permanent) {
            self.worst = Some(reply);
        }
    }
}

/// A policy that is only tested would have barred the host.
fn tested(way: &Way, target: &Target) -> Option<ResultType> {
    let whose = way.whose.as_ref().filter(|whose| whose.tests(target))?;
    let policy = whose.sts.as_ref()?;
    (!policy.covers(&target.host)).then_some(ResultType::ValidationFailure)
}

/// Whether a target can be reached at all from one of these addresses.
fn source_for(sources: &[std::net::IpAddr], target: SocketAddr) -> Option<std::net::IpAddr> {
    sources.iter().copied().find(|source| source.is_ipv4() == target.is_ipv4())
}

fn lost(host: &str) -> Reply {
    Reply::ours("4.4.2", &format!("{host} closed the connection"))
}

/// RFC 8461 §5 and RFC 7672 §2.2: such mail waits, it does not go unprotected.
fn insecure(host: &str, reason: &str) -> Reply {
    Reply::ours("4.7.5", &format!("{host} could not be reached over TLS as its domain demands: {reason}"))
}
