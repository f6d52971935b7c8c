//! HTTPS with servers that others name: one request, no redirects, no private addresses, and not much to read.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hickory_resolver::TokioResolver;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use types::Url;

use crate::{courier::tls::Tls, private::is_private};

/// A client.
pub struct Https {
    resolver: TokioResolver,
    tls: Arc<ClientConfig>,
    allow_private_targets: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The server does not prove to be what it is called.
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Away(String),
    /// Its answer is no.
    #[error("the server answers with {0}")]
    Refused(u16),
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Https {
    /// For reports on what is wrong with TLS: they go to whoever answers (RFC 8460 §3), encrypted all the same.
    pub fn to_whoever_answers(
        resolver: &TokioResolver,
        allow_private_targets: bool,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(resolver, Tls::new()?.unverified(), allow_private_targets))
    }

    /// For servers that have to prove who they are, to the authorities of the Internet or one of these, in DER.
    pub fn to_the_proven(
        resolver: &TokioResolver,
        authorities: &[Vec<u8>],
        allow_private_targets: bool,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(resolver, Tls::trusting(authorities)?.verified(), allow_private_targets))
    }

    fn new(resolver: &TokioResolver, tls: &Arc<ClientConfig>, allow_private_targets: bool) -> Self {
        Self { resolver: resolver.clone(), tls: Arc::clone(tls), allow_private_targets }
    }

    /// Hands the content over; it has arrived if the server says 2xx. A redirect is a refusal.
    pub async fn post(&self, url: &Url, content_type: &str, content: &[u8]) -> Result<(), Failed> {
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            url.target,
            url.authority(),
            content.len()
        );
        let request = [head.as_bytes(), content].concat();
        let posting = async {
            let stream = self.connect(&url.host, url.port).await?;
            let answer =
                exchange(stream, &request, MAX_STATUS_BYTES, |answer| answer.contains(&b'\n')).await?;
            match status(&answer) {
                Some(200..300) => Ok(()),
                Some(other) => Err(Failed::Refused(other)),
                None => Err(away("it is no answer of HTTP")),
            }
        };
        timeout(PATIENCE, posting).await.map_err(|_| away("its server took too long"))?
    }

    /// The whole answer to a GET, head and all; no more than so many bytes of it.
    pub(crate) async fn get(&self, url: &Url, accept: &str, max_bytes: u64) -> Result<Vec<u8>, Failed> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
            url.target,
            url.authority()
        );
        let getting = async {
            let stream = self.connect(&url.host, url.port).await?;
            exchange(stream, request.as_bytes(), max_bytes, |_| false).await
        };
        timeout(PATIENCE, getting).await.map_err(|_| away("its server took too long"))?
    }

    async fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failed> {
        let found = self.resolver.lookup_ip(format!("{host}.")).await.map_err(away)?;
        let addresses = found.iter().filter(|ip| self.allow_private_targets || !is_private(*ip));
        let addresses = addresses.map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>();
        if addresses.is_empty() {
            return Err(away("it has no address on the Internet"));
        }
        let stream = TcpStream::connect(&*addresses).await.map_err(|error| away(error.kind()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(away)?;
        let connecting = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        connecting.await.map_err(|error| Failed::Tls(error.to_string()))
    }
}

/// A line of status is shorter.
const MAX_STATUS_BYTES: u64 = 8 << 10;

/// Sends the request, and reads the answer until it `is_enough` or ends.
async fn exchange(
    mut stream: tokio_rustls::client::TlsStream<TcpStream>,
    request: &[u8],
    max_bytes: u64,
    is_enough: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, Failed> {
    // Who has read enough to refuse may close early: what it says is to be heard.
    let written = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    let written = written.await;
    let answer = read(&mut stream, max_bytes, is_enough).await;
    match (written, answer) {
        (Err(error), Ok(answer)) if answer.is_empty() => Err(away(error.kind())),
        (_, answer) => answer.map_err(|error| away(error.kind())),
    }
}

async fn read(
    stream: impl AsyncRead + Unpin,
    max_bytes: u64,
    is_enough: impl Fn(&[u8]) -> bool,
) -> std::io::Result<Vec<u8>> {
    let mut stream = stream.take(max_bytes);
    let mut answer = Vec::new();
    while !is_enough(&answer) {
        match stream.read_buf(&mut answer).await {
            Ok(0) => break,
            Ok(_) => {}
            // Whoever ends TLS without saying so has told how long the text is, or it is not taken.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// RFC 9112 §4.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line.trim_ascii_end()).ok()?.split(' ');
    let is_http = words.next()?.starts_with("HTTP/1.");
    let status = words.next().filter(|status| status.len() == 3)?.parse().ok()?;
    is_http.then_some(status)
}

fn away(reason: impl ToString) -> Failed {
    Failed::Away(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_has_a_status() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.0 302 Found\r\nLocation: https://elsewhere.test/\r\n", Some(302)),
            ("HTTP/1.1 404", Some(404)),
            ("HTTP/2 200", None),
            ("HTTP/1.1 20", None),
            ("SSH-2.0-x 200", None),
            ("\u{0}", None),
            ("", None),
        ] {
            assert_eq!(status(answer.as_bytes()), expected, "{answer:?}");
        }
    }
}
