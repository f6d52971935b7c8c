//! A connection with or without TLS.

use std::io;
use std::sync::Arc;

use rustls::{ProtocolVersion, ServerConfig};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Security, certificate};

/// Boxed where it is large: most connections are idle.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// From this machine; it needs no TLS and cannot have it.
    #[cfg(unix)]
    Local(UnixStream),
}

/// RFC 9266 §2.
const BINDING: &[u8] = b"EXPORTER-Channel-Binding";

impl Stream {
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer).await,
            Self::Tls(tls) => tls.read(buffer).await,
            #[cfg(unix)]
            Self::Local(unix) => unix.read(buffer).await,
        }
    }

    /// Has the peer told at once that its bytes have come. Many programs send what belongs together in pieces, and their
    /// systems hold back a small last piece until the ones before are acknowledged (RFC 1122 §4.2.3.4), which ours would
    /// do after 40 ms.
    pub(super) fn acknowledge(&self) {
        #[cfg(target_os = "linux")]
        if let Some(tcp) = self.tcp() {
            // Without it all goes on, later.
            let _ = SockRef::from(tcp).set_tcp_quickack(true);
        }
    }

    #[cfg(target_os = "linux")]
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Tls(tls) => Some(tls.get_ref().0),
            Self::Local(_) => None,
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes).await,
            Self::Tls(tls) => {
                tls.write_all(bytes).await?;
                tls.flush().await
            }
            #[cfg(unix)]
            Self::Local(unix) => unix.write_all(bytes).await,
        }
    }

    pub(super) async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.shutdown().await,
            Self::Tls(tls) => tls.shutdown().await,
            #[cfg(unix)]
            Self::Local(unix) => unix.shutdown().await,
        }
    }

    /// What the handshake brought.
    pub(super) fn security(&self) -> Security {
        let Self::Tls(tls) = self else { return Security::default() };
        let (_, connection) = tls.get_ref();
        // Whoever was not asked for a certificate has shown none; one that is not believed has ended the handshake.
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.and_then(certificate::read).unwrap_or_default().into();
        Security { binding: self.binding(), certificate }
    }

    /// What logins can be bound to: the same bytes at both ends of this TLS connection and nowhere else. In TLS 1.2
    /// that would hang on an extension of which we are not told (RFC 9266 §4.2).
    fn binding(&self) -> Option<[u8; 32]> {
        let Self::Tls(tls) = self else { return None };
        let (_, connection) = tls.get_ref();
        let new = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        new.then(|| connection.export_keying_material([0; 32], BINDING, Some(&[])).ok())?
    }

    /// Does the handshake; a stream that has TLS already cannot have it twice.
    pub(super) async fn secured(self, config: &Arc<ServerConfig>) -> io::Result<Self> {
        match self {
            Self::Plain(tcp) => {
                let accept = Box::pin(TlsAcceptor::from(Arc::clone(config)).accept(tcp));
                Ok(Self::Tls(Box::new(accept.await?)))
            }
            Self::Tls(_) => Err(io::Error::other("TLS within TLS")),
            #[cfg(unix)]
            Self::Local(_) => Err(io::Error::other("no TLS within this machine")),
        }
    }
}
