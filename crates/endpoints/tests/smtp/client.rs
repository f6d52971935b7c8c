//! The client's side of a conversation.

use std::net::SocketAddr;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

pub(crate) struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

impl Client {
    /// Connects; the greeting has not been read.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Connects and greets.
    pub(crate) async fn greeted(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.expect("220 mx.test ESMTP Magpie").await;
        client.say("EHLO client.test", "250 ").await;
        client
    }

    pub(crate) async fn secured(self, root: &CertificateDer<'static>) -> Client<TlsStream<TcpStream>> {
        Client { stream: BufReader::new(testkit::secured(self.stream.into_inner(), root).await.unwrap()) }
    }
}

impl Client<UnixStream> {
    /// Connects to a socket in a folder.
    pub(crate) async fn local(path: &Path) -> Self {
        Self { stream: BufReader::new(UnixStream::connect(path).await.unwrap()) }
    }
}

impl Client<TlsStream<TcpStream>> {
    /// What logins are bound to (RFC 9266).
    pub(crate) fn binding(&self) -> [u8; 32] {
        let (_, connection) = self.stream.get_ref().get_ref();
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The last line of the next reply; empty at the end.
    pub(crate) async fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await.unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    pub(crate) async fn expect(&mut self, beginning: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(beginning), "{reply:?} instead of {beginning:?}");
        reply
    }

    /// Says a line and checks how the last line of the reply begins.
    pub(crate) async fn say(&mut self, line: &str, beginning: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        let reply = self.reply().await;
        assert!(reply.starts_with(beginning), "{line}: {reply:?} instead of {beginning:?}");
        reply
    }

    /// Says envelope and content at once, checks the last reply.
    pub(crate) async fn mail(&mut self, from: &str, to: &[&str], content: &[u8], beginning: &str) -> String {
        self.say(&format!("MAIL FROM:<{from}>"), "250").await;
        for to in to {
            self.say(&format!("RCPT TO:<{to}>"), "250").await;
        }
        self.say("DATA", "354").await;
        self.send(content).await;
        self.send(b".\r\n").await;
        self.expect(beginning).await
    }

    /// The server hangs up without a word, be it in the middle of what it was sent.
    pub(crate) async fn expect_hang_up(&mut self) {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await;
        assert!(read.is_err() || line.is_empty(), "{line:?}");
    }

    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.reply().await, "");
    }
}
