//! Where clients connect, themselves or through proxies that say for whom.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use types::Network;

use super::proxy::{self, Progress};

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    pub listener: TcpListener,
    pub proxies: Proxies,
}

/// Proxies that begin each connection with a PROXY header of version 2. Cheap to clone.
///
/// From their addresses the header must come, and only from them it is believed: for anybody else it is what any
/// other nonsense is at the beginning of the protocol. So nobody can take another's address.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Arc<[Network]>);

/// For the header, which proxies send at once.
const HEADER_WITHIN: Duration = Duration::from_secs(10);

impl Proxies {
    #[must_use]
    pub fn new(networks: &[Network]) -> Self {
        Self(networks.into())
    }

    /// Whether connections from this address begin with a header.
    #[must_use]
    pub fn contains(&self, peer: SocketAddr) -> bool {
        self.0.iter().any(|network| network.contains(peer.ip()))
    }

    /// Who is at the far end of a connection from `peer`. Nothing is read beyond a header.
    ///
    /// # Errors
    /// A proxy's header is missing, malformed or late; this is logged, and the connection is of no use.
    pub async fn client(&self, stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        if !self.contains(peer) {
            return Ok(peer);
        }
        let source = timeout(HEADER_WITHIN, source(stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match source {
            Ok(source) => Ok(source.unwrap_or(peer)),
            Err(error) => {
                // A proxy that only looks whether somebody listens hangs up at once.
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    tracing::warn!(%peer, %error, "a connection from a proxy is refused");
                }
                Err(error)
            }
        }
    }
}

async fn source(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = Vec::new();
    loop {
        let invalid = |malformed| io::Error::new(io::ErrorKind::InvalidData, malformed);
        match proxy::read(&header).map_err(invalid)? {
            Progress::Whole(source) => return Ok(source),
            Progress::Needs(length) => {
                let missing = u64::try_from(length.saturating_sub(header.len())).unwrap_or_default();
                if (&mut *stream).take(missing).read_buf(&mut header).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
}
