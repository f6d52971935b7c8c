//! POP3 (RFC 1939): the inbox, to be fetched and emptied.
//!
//! A session sees the inbox as it was when it began, is the only one of its account on this node, and deletes at QUIT
//! alone, what it named and nothing else. So two sessions on different nodes can at worst delete the same twice.

mod session;

use std::net::IpAddr;
use std::sync::Arc;

use ::pop3::{Config, Connection};
use bytes::Bytes;
use mail::Service as Mail;
use rustls::ServerConfig;
use sasl::Mechanism;

pub use session::Session;

pub use crate::sessions::Sessions;

use crate::net::{Peer, Server, Service, Socket, Tls};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STLS (port 110).
    Pop3,
    /// TLS from the first byte (port 995).
    Pop3s,
}

/// Accepts POP3 connections on this socket. Without `tls`, [`Kind::Pop3s`] has nothing to offer and is refused.
pub fn listen(
    server: &Server,
    socket: Socket,
    kind: Kind,
    tls: Option<Arc<ServerConfig>>,
    mail: Mail,
    sessions: Arc<Sessions>,
    allow_cleartext: bool,
) -> Result<(), NoCertificate> {
    let tls = match (kind, tls) {
        (Kind::Pop3s, None) => return Err(NoCertificate),
        (Kind::Pop3s, Some(config)) => Tls::Implicit(config),
        (Kind::Pop3, Some(config)) => Tls::OnDemand(config),
        (Kind::Pop3, None) => Tls::Off,
    };
    let engine = Arc::new(Config { stls: matches!(tls, Tls::OnDemand(_)), allow_cleartext });
    let mechanisms = mail.mechanisms().into();
    server.listen(socket, tls, Listener { kind, engine, mail, sessions, mechanisms });
    Ok(())
}

/// Implicit TLS needs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a pop3s listener needs a certificate")]
pub struct NoCertificate;

struct Listener {
    kind: Kind,
    engine: Arc<Config>,
    mail: Mail,
    sessions: Arc<Sessions>,
    mechanisms: Arc<[Mechanism]>,
}

impl Service for Listener {
    type Conversation = Session;

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Pop3 => "pop3",
            Kind::Pop3s => "pop3s",
        }
    }

    fn open(&self, peer: Peer) -> Session {
        let engine = Connection::new(Arc::clone(&self.engine), peer.secure);
        let (sessions, mechanisms) = (Arc::clone(&self.sessions), Arc::clone(&self.mechanisms));
        Session::new(engine, peer, self.mail.clone(), sessions, mechanisms)
    }

    fn busy(&self) -> Bytes {
        Bytes::from_static(b"-ERR [SYS/TEMP] Too many connections, please come back\r\n")
    }

    async fn admits(&self, client: IpAddr) -> Result<(), Bytes> {
        let words = b"-ERR [SYS/TEMP] You are kept out for a while\r\n";
        if self.mail.is_banned(client).await { Err(Bytes::from_static(words)) } else { Ok(()) }
    }
}
