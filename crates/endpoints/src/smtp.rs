//! SMTP: mail from other servers (MX) and from the people here (submission, RFC 6409).
//!
//! The engine says what a client wants, an [`Mta`] decides, and the [`Session`] stands between them: one transaction
//! at a time, its content in memory within a [`Budget`], its trace headers in front.

mod door;
mod mail;
mod mta;
mod policy;
mod session;
mod trace;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::mail::Rate;
use bytes::{Bytes, BytesMut};
use rustls::ServerConfig;
use smtp::{Auth, Config, Connection, Limits, Protocol, Reply};
use types::Clock;

pub use crate::budget::Budget;
pub use door::Door;
pub use mta::{Incoming, Mta, Refusal, Submission};
pub use policy::{Dns, HelloCheck, NoAnswer, Policy, ReverseDns};
pub use session::Session;

use crate::net::{Peer, Server, Service, Socket, Tls};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mail from other servers, for the accounts here; STARTTLS.
    Mx,
    /// Mail from people who log in; STARTTLS (RFC 6409).
    Submission,
    /// The same with TLS from the first byte (RFC 8314 §3.3).
    Submissions,
    /// Mail from programs of this site, for the accounts here (RFC 2033).
    Lmtp,
}

/// What all SMTP listeners have in common.
#[derive(Clone)]
pub struct Settings {
    /// What the server calls itself.
    pub hostname: String,
    pub limits: Limits,
    /// Whether passwords may be sent without TLS.
    pub allow_cleartext: bool,
    /// For all content that is being received; share one.
    pub budget: Arc<Budget>,
    /// From the first byte of a mail's content to its last.
    pub content_within: Duration,
    /// Checks mail from other servers; `None`: it is taken as it comes.
    pub door: Option<Arc<Door>>,
    pub clock: Arc<dyn Clock>,
    /// What other servers must be like.
    pub policy: Arc<Policy>,
    /// For how long people may have their mail held back (RFC 4865); `None`: not at all.
    pub hold_seconds: Option<u32>,
}

/// Accepts SMTP connections on this socket. Without `tls`, [`Kind::Submissions`] has nothing to offer and is refused.
pub fn listen<M: Mta>(
    server: &Server,
    socket: Socket,
    kind: Kind,
    tls: Option<Arc<ServerConfig>>,
    mta: Arc<M>,
    settings: &Settings,
) -> Result<(), NoCertificate> {
    let tls = match (kind, tls) {
        (Kind::Submissions, None) => return Err(NoCertificate),
        (Kind::Submissions, Some(config)) => Tls::Implicit(config),
        (Kind::Mx | Kind::Submission | Kind::Lmtp, Some(config)) => Tls::OnDemand(config),
        (Kind::Mx | Kind::Submission | Kind::Lmtp, None) => Tls::Off,
    };
    let starttls = matches!(tls, Tls::OnDemand(_));
    server.listen(socket, tls, Listener::new(kind, starttls, mta, settings));
    Ok(())
}

/// Accepts LMTP connections from programs on this machine.
#[cfg(unix)]
pub fn listen_locally<M: Mta>(
    server: &Server,
    listener: tokio::net::UnixListener,
    mta: Arc<M>,
    settings: &Settings,
) {
    server.listen_locally(listener, Listener::new(Kind::Lmtp, false, mta, settings));
}

/// Implicit TLS needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a submissions listener needs a certificate")]
pub struct NoCertificate;

struct Listener<M> {
    kind: Kind,
    engine: Arc<Config>,
    mta: Arc<M>,
    settings: Arc<Settings>,
}

impl<M: Mta> Listener<M> {
    fn new(kind: Kind, starttls: bool, mta: Arc<M>, settings: &Settings) -> Self {
        let auth = match kind {
            Kind::Mx | Kind::Lmtp => Auth::Off,
            Kind::Submission if settings.allow_cleartext => Auth::Always,
            Kind::Submission | Kind::Submissions => Auth::OverTls,
        };
        let (protocol, hold_seconds) = match kind {
            Kind::Mx => (Protocol::Smtp, None),
            Kind::Submission | Kind::Submissions => (Protocol::Smtp, settings.hold_seconds),
            Kind::Lmtp => (Protocol::Lmtp, None),
        };
        let engine = Config {
            hostname: settings.hostname.clone(),
            starttls,
            auth,
            mechanisms: mta.mechanisms(),
            protocol,
            hold_seconds,
            limits: settings.limits.clone(),
        };
        Self { kind, engine: Arc::new(engine), mta, settings: Arc::new(settings.clone()) }
    }
}

impl Kind {
    /// As metrics and logs call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mx => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
        }
    }
}

impl<M: Mta> Service for Listener<M> {
    type Conversation = Session<M>;

    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn open(&self, peer: Peer) -> Session<M> {
        let mut engine = Connection::new(Arc::clone(&self.engine), peer.secure)
            .opened_at(self.settings.clock.now())
            .bound(peer.security.binding.map(sasl::Binding));
        engine.certify(peer.security.certificate.is_of_use(self.settings.clock.now()));
        Session::new(engine, self.kind, peer, Arc::clone(&self.mta), Arc::clone(&self.settings))
    }

    fn busy(&self) -> Bytes {
        let mut out = BytesMut::new();
        Reply::new(421, (7, 0), "Too many connections, please come back").encode(&mut out);
        out.freeze()
    }

    fn patience(&self) -> Option<Duration> {
        match self.kind {
            Kind::Mx => self.settings.policy.patience,
            Kind::Submission | Kind::Submissions | Kind::Lmtp => None,
        }
    }

    async fn admits(&self, client: IpAddr) -> Result<(), Bytes> {
        if self.settings.policy.trusts(client) {
            return Ok(());
        }
        let refusal = if self.mta.is_banned(client).await {
            Reply::new(554, (7, 1), "You are kept out for a while")
        } else if self.mta.check_rate(client, Rate::Connection).await.is_err() {
            Reply::new(421, (7, 0), "Too many connections, please come back later")
        } else {
            return Ok(());
        };
        let mut out = BytesMut::new();
        refusal.encode(&mut out);
        Err(out.freeze())
    }
}
