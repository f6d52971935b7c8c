//! POP3 (RFC 1939): the inbox, to be fetched and emptied.
//!
//! A session sees the inbox as it was when it began, is the only one of its account on this node, and deletes at QUIT
//! alone, what it named and nothing else. So two sessions on different nodes can at worst delete the same twice.

mod session;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use ::pop3::{Config, Connection};
use bytes::Bytes;
use mail::Service as Mail;
use rustls::ServerConfig;
use types::AccountId;

pub use session::Session;

use crate::net::{Peer, Server, Service, Socket, Tls};

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// STLS (port 110).
    Pop3,
    /// TLS from the first byte (port 995).
    Pop3s,
}

/// Who has a session: an account has one at a time (RFC 1939 §8). Share one between listeners.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashSet<AccountId>>);

/// The right to be the account's session, until it is dropped.
struct Lock {
    sessions: Arc<Sessions>,
    account: AccountId,
}

impl Sessions {
    fn lock(self: &Arc<Self>, account: AccountId) -> Option<Lock> {
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
        is_free.then(|| Lock { sessions: Arc::clone(self), account })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.sessions.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account);
    }
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
    server.listen(socket, tls, Listener { kind, engine, mail, sessions });
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
        Session::new(engine, peer.address.ip(), self.mail.clone(), Arc::clone(&self.sessions))
    }

    fn busy(&self) -> Bytes {
        Bytes::from_static(b"-ERR [SYS/TEMP] Too many connections, please come back\r\n")
    }
}
