//! IMAP: people's mail programs over the mailboxes that the webmail shows.
//!
//! The engine of the `imap` crate says what a client wants; the `Session` answers it, one function per command, over
//! [`mail::Access`]. What a session knows of its mailbox is a list that all sessions of this node share; when the bus
//! says that something changed, it is brought up to date and what is new is told.

mod acl;
mod answers;
mod append;
mod auth;
mod catenate;
mod context;
mod copy;
mod fetch;
mod idle;
mod limit;
mod mailboxes;
mod metadata;
mod multi;
mod names;
mod news;
mod notify;
mod progress;
mod quota;
mod search;
mod select;
mod session;
mod sort;
mod store;
mod thread;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ::imap::{Config, Connection, Limits};
use bytes::Bytes;
use mail::Service as Mail;
use rustls::ServerConfig;
use sasl::{Binding, Mechanism, Offer};

pub use crate::sessions::Sessions;
pub use progress::Talk;

use session::Session;

use crate::budget::Budget;
use crate::net::{Peer, Server, Service, Socket, Tls};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STARTTLS (port 143).
    Imap,
    /// TLS from the first byte (port 993; RFC 8314 §3.2).
    Imaps,
}

/// What all IMAP listeners have in common.
#[derive(Clone)]
pub struct Settings {
    /// Whether passwords may be sent without TLS.
    pub allow_cleartext: bool,
    /// Bytes of a message that is appended.
    pub max_message_bytes: u64,
    /// For messages that are being received; share one.
    pub budget: Arc<Budget>,
    /// How many connections an account may have; share one.
    pub sessions: Arc<Sessions>,
    /// How often a client is told that a command goes on.
    pub progress_every: Duration,
    /// How many messages a command is carried out for (RFC 9738); `None`: as many as it names.
    pub message_limit: Option<NonZeroU32>,
}

/// Accepts IMAP connections on this socket. Without `tls`, [`Kind::Imaps`] has nothing to offer and is refused.
pub fn listen(
    server: &Server,
    socket: Socket,
    kind: Kind,
    tls: Option<Arc<ServerConfig>>,
    mail: Mail,
    settings: &Settings,
) -> Result<(), NoCertificate> {
    let tls = match (kind, tls) {
        (Kind::Imaps, None) => return Err(NoCertificate),
        (Kind::Imaps, Some(config)) => Tls::Implicit(config),
        (Kind::Imap, Some(config)) => Tls::OnDemand(config),
        (Kind::Imap, None) => Tls::Off,
    };
    let starttls = matches!(tls, Tls::OnDemand(_));
    let mechanisms: Arc<[Mechanism]> = mail.mechanisms().into();
    let engine = Arc::new(engine(starttls, settings, &mechanisms));
    let settings = Arc::new(settings.clone());
    server.listen(socket, tls, Listener { kind, engine, mail, settings, mechanisms });
    Ok(())
}

/// Implicit TLS needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an imaps listener needs a certificate")]
pub struct NoCertificate;

/// How often a client is told that a command goes on: RFC 9585 §3 wants no more.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What can be had in every state. Nothing is named that does not work.
const ALWAYS: &str = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE";
const LOGGED_IN: &str = "IDLE NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE CONDSTORE QRESYNC ESEARCH MULTISEARCH \
    SEARCHRES WITHIN LIST-EXTENDED LIST-STATUS SPECIAL-USE STATUS=SIZE SORT SORT=DISPLAY ESORT \
    THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS MULTIAPPEND BINARY QUOTA QUOTA=RES-STORAGE OBJECTID \
    PREVIEW SAVEDATE REPLACE CATENATE METADATA LIST-METADATA NOTIFY UTF8=ACCEPT UNAUTHENTICATE PARTIAL UIDONLY \
    SEARCH=FUZZY I18NLEVEL=1 INPROGRESS CONTEXT=SEARCH CONTEXT=SORT ACL RIGHTS=kxte LIST-MYRIGHTS";

fn engine(starttls: bool, settings: &Settings, mechanisms: &[Mechanism]) -> Config {
    let nothing = Binding([0; 32]);
    let login = |binding| {
        // Who has shown a certificate is told so by the engine.
        let offer = Offer { mechanisms, binding, certified: false };
        offer.mechanisms().map(|mechanism| format!(" AUTH={}", mechanism.name())).collect::<String>()
    };
    let tls = if starttls { " STARTTLS" } else { "" };
    let before_tls = if settings.allow_cleartext {
        format!("{ALWAYS}{tls}{}", login(None))
    } else {
        format!("{ALWAYS}{tls} LOGINDISABLED")
    };
    Config {
        starttls,
        allow_cleartext: settings.allow_cleartext,
        before_tls,
        before_login: format!("{ALWAYS}{}", login(None)),
        before_login_bound: format!("{ALWAYS}{}", login(Some(&nothing))),
        after_login: format!(
            "{ALWAYS} {LOGGED_IN} APPENDLIMIT={}{}",
            settings.max_message_bytes,
            settings.message_limit.map(|limit| format!(" MESSAGELIMIT={limit}")).unwrap_or_default()
        ),
        limits: Limits { literal: settings.max_message_bytes, ..Limits::default() },
    }
}

struct Listener {
    kind: Kind,
    engine: Arc<Config>,
    mail: Mail,
    settings: Arc<Settings>,
    mechanisms: Arc<[Mechanism]>,
}

impl Kind {
    /// As metrics and logs call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Imaps => "imaps",
        }
    }
}

impl Service for Listener {
    type Conversation = Talk;

    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn open(&self, peer: Peer) -> Talk {
        let engine = Connection::new(Arc::clone(&self.engine), peer.secure);
        let (settings, mechanisms) = (Arc::clone(&self.settings), Arc::clone(&self.mechanisms));
        Talk::new(Session::new(engine, peer, self.mail.clone(), settings, mechanisms))
    }

    fn busy(&self) -> Bytes {
        Bytes::from_static(b"* BYE [UNAVAILABLE] Too many connections, please come back\r\n")
    }

    async fn admits(&self, client: IpAddr) -> Result<(), Bytes> {
        let words = b"* BYE [UNAVAILABLE] You are kept out for a while\r\n";
        if self.mail.is_banned(client).await { Err(Bytes::from_static(words)) } else { Ok(()) }
    }
}
