//! Sockets, TLS and time limits, written once for every protocol.
//!
//! A [`Server`] has the limits and the way to stop; [`Server::listen`] gives it a [`Socket`] and a [`Service`], which opens
//! a [`Conversation`] for each connection. The driver reads and writes for the conversation and knows nothing of what
//! is said.

mod certificate;
mod counts;
mod driver;
mod proxy;
mod server;
mod socket;
mod stream;

use std::future::{Future, pending};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

pub use counts::{Counts, Most, Place};
pub use server::Server;
pub use socket::{Proxies, Socket};

/// How many connections there may be, and how long things may take.
#[derive(Debug, Clone)]
pub struct Config {
    /// Connections to all listeners together.
    pub connections: usize,
    /// Connections from one address (IPv6: from one /64).
    pub connections_per_client: usize,
    /// Connections from one network (IPv4: a /24, IPv6: a /48).
    pub connections_per_network: usize,
    pub deadlines: Deadlines,
}

/// Time limits; the defaults for single steps are those of RFC 5321 §4.5.3.2.
#[derive(Debug, Clone)]
pub struct Deadlines {
    /// From a reply to the end of the next command, however slowly it trickles in.
    pub command: Duration,
    /// Between two pieces of content.
    pub content: Duration,
    /// For all content of a mail.
    pub whole_content: Duration,
    /// For who logged in and may be silent: RFC 9051 §5.4 and RFC 2177 give half an hour.
    pub silence: Duration,
    pub handshake: Duration,
    /// For a reply to be taken.
    pub write: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_client: 1_000,
            connections_per_network: 1_000,
            deadlines: Deadlines::default(),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(5 * 60),
            content: Duration::from_secs(3 * 60),
            whole_content: Duration::from_secs(10 * 60),
            silence: Duration::from_secs(31 * 60),
            handshake: Duration::from_secs(30),
            write: Duration::from_secs(60),
        }
    }
}

/// TLS on one listener.
#[derive(Debug, Clone)]
pub enum Tls {
    Off,
    /// When the conversation says so.
    OnDemand(Arc<ServerConfig>),
    /// From the first byte.
    Implicit(Arc<ServerConfig>),
}

/// What a TLS handshake brought.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// What logins can be bound to, where TLS has it (RFC 9266).
    pub binding: Option<[u8; 32]>,
    /// The client's certificate; one that names nobody, unless an authority signed it that is believed.
    pub certificate: Arc<mail::Certificate>,
}

/// Who connected; through a [proxy](Proxies), whom it connected for.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    /// TLS is on.
    pub secure: bool,
    pub security: Security,
    /// Something was said before the greeting.
    pub early: bool,
    /// When the service is about to end: nothing more is begun.
    pub stop: CancellationToken,
}

/// What a listener offers.
pub trait Service: Send + Sync + 'static {
    type Conversation: Conversation;

    /// The listener's name in metrics and logs.
    fn name(&self) -> &'static str;

    /// A connection came.
    fn open(&self, peer: Peer) -> Self::Conversation;

    /// What a client is told for whom there is no room.
    fn busy(&self) -> Bytes;

    /// How long a client that should listen first is given to show that it does not; `None`: that is not asked.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Whether this client may come in; otherwise what it is told.
    fn admits(&self, _client: IpAddr) -> impl Future<Output = Result<(), Bytes>> + Send {
        std::future::ready(Ok(()))
    }
}

/// What a conversation wants of its driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Read,
    Write(Bytes),
    StartTls,
    Close,
}

/// What a read waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    Command,
    Content,
    /// Whatever the client says next, in its own time.
    Anything,
}

/// One client, in some protocol.
pub trait Conversation: Send + 'static {
    /// Takes what was read.
    fn receive(&mut self, bytes: &[u8]);

    /// Does what can be done, until something is wanted of the driver.
    fn next(&mut self) -> impl Future<Output = Step> + Send;

    /// What the next read waits for.
    fn expects(&self) -> Expects;

    /// Waits, beside a read, for something to tell the client unasked; then [`Conversation::next`] is called. Cancel safe.
    fn woken(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }

    /// Whether what is written now was not asked for, so that the time of the read goes on.
    fn tells_news(&self) -> bool {
        false
    }

    /// The handshake after [`Step::StartTls`] is done.
    fn tls_started(&mut self, security: Security);

    /// The server stops: end what has begun, begin nothing more.
    fn drain(&mut self);

    /// The client took too long: say goodbye.
    fn time_out(&mut self);
}
