//! A connection to another server: commands out, replies in, each within its time.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures::FutureExt as _;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Timeouts, insecure, observed::Broken};
use crate::{Class, Reply, body::DotStuffer, tlsrpt::ResultType};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An SMTP session as its client sees it.
///
/// A step that fails for the connection's sake is told as a temporary [`Reply`] of our own.
pub(super) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// The host's name, or its address literal.
    host: String,
    hello: String,
    timeouts: Timeouts,
    encrypted: bool,
    /// The lines of its answer to EHLO, after the first.
    extensions: Vec<String>,
}

/// Replies as far as they came, and what ended them if they are not all.
pub(super) struct Replies {
    pub(super) replies: Vec<Reply>,
    pub(super) lost: Option<Reply>,
}

const MAX_REPLY_LINE: u64 = 4_096;
const MAX_REPLY_LINES: usize = 100;
const DATA_BLOCK: usize = 64 * 1024;

impl Connection {
    /// Waits to be greeted.
    pub(super) async fn open(
        stream: TcpStream,
        host: &str,
        hello: &str,
        timeouts: &Timeouts,
    ) -> Result<Self, Reply> {
        Self::over(Box::new(stream), host, hello, timeouts, false).await
    }

    /// The same after TLS (RFC 8314).
    pub(super) async fn open_tls(
        stream: TcpStream,
        host: &str,
        hello: &str,
        timeouts: &Timeouts,
        config: Arc<ClientConfig>,
    ) -> Result<Self, Reply> {
        let stream = shake_hands(&config, host, Box::new(stream), timeouts.command).await;
        let stream = stream.map_err(|broken| insecure(host, &broken.reason))?;
        Self::over(stream, host, hello, timeouts, true).await
    }

    async fn over(
        stream: Box<dyn Stream>,
        host: &str,
        hello: &str,
        timeouts: &Timeouts,
        encrypted: bool,
    ) -> Result<Self, Reply> {
        let mut connection = Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
            hello: hello.to_owned(),
            timeouts: timeouts.clone(),
            encrypted,
            extensions: Vec::new(),
        };
        let greeting = connection.reply(connection.timeouts.command).await?;
        if greeting.class() == Class::Positive { Ok(connection) } else { Err(greeting) }
    }

    /// EHLO, or HELO for hosts that do not know it (RFC 5321 §3.2).
    pub(super) async fn hello(&mut self) -> Result<(), Reply> {
        let reply = self.command(&format!("EHLO {}", self.hello)).await?;
        if reply.class() == Class::Positive {
            self.extensions = reply.text.split('\n').skip(1).map(str::to_ascii_uppercase).collect();
            return Ok(());
        }
        self.extensions.clear();
        if reply.code == 421 {
            return Err(reply);
        }
        let reply = self.command(&format!("HELO {}", self.hello)).await?;
        if reply.class() == Class::Positive { Ok(()) } else { Err(reply) }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the host announced this extension.
    pub(super) fn offers(&self, extension: &str) -> bool {
        self.extensions.iter().any(|line| line.split(' ').next() == Some(extension))
    }

    /// What it announced the extension with.
    pub(super) fn parameters(&self, extension: &str) -> Vec<String> {
        let words = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = self.extensions.iter().map(words);
        let line = lines.find(|words| words.first().is_some_and(|first| first == extension));
        line.map(|words| words.into_iter().skip(1).collect()).unwrap_or_default()
    }

    /// The largest mail that it takes, if it told (RFC 1870 §4).
    pub(super) fn max_size(&self) -> Option<u64> {
        self.parameters("SIZE").first()?.parse().ok().filter(|size| *size > 0)
    }

    /// Whether the other side has said nothing since its last reply; it would only say that it closes the connection.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.stream.fill_buf().now_or_never().is_none()
    }

    /// RFC 3207; the reason if that does not work out, after which the connection is of no use.
    pub(super) async fn start_tls(mut self, config: &Arc<ClientConfig>) -> Result<Self, Broken> {
        let silent = |reply: Reply| Broken { result: None, reason: reply.to_string() };
        let reply = self.command("STARTTLS").await.map_err(silent)?;
        if reply.class() != Class::Positive {
            return Err(Broken::by(ResultType::StarttlsNotSupported, reply.to_string()));
        }
        if !self.stream.buffer().is_empty() {
            let reason = "something was slipped in before TLS".to_owned();
            return Err(Broken::by(ResultType::ValidationFailure, reason));
        }
        let stream = shake_hands(config, &self.host, self.stream.into_inner(), self.timeouts.command).await?;
        self.stream = BufReader::new(stream);
        self.encrypted = true;
        self.hello().await.map_err(silent)?;
        Ok(self)
    }

    /// Sends a command and awaits its reply.
    pub(super) async fn command(&mut self, line: &str) -> Result<Reply, Reply> {
        self.send(format!("{line}\r\n").as_bytes(), self.timeouts.command).await?;
        self.reply(self.timeouts.command).await
    }

    /// Sends commands one after the other, and awaits each one's reply.
    pub(super) async fn in_order(&mut self, lines: &[String]) -> Replies {
        let mut replies = Vec::with_capacity(lines.len());
        for line in lines {
            match self.command(line).await {
                Ok(reply) => replies.push(reply),
                Err(lost) => return Replies { replies, lost: Some(lost) },
            }
        }
        Replies { replies, lost: None }
    }

    /// Sends commands all at once (RFC 2920), and what goes after them, and awaits the commands' replies.
    pub(super) async fn at_once(&mut self, lines: &[String], after: &[u8]) -> Replies {
        let mut all =
            lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"]).flatten().copied().collect::<Vec<_>>();
        all.extend_from_slice(after);
        let mut replies = Vec::with_capacity(lines.len());
        // Whatever was answered before the connection broke is still to be read.
        let sent = self.send(&all, self.timeouts.command).await;
        for _ in lines {
            match self.reply(self.timeouts.command).await {
                Ok(reply) => replies.push(reply),
                Err(lost) => return Replies { replies, lost: Some(sent.err().unwrap_or(lost)) },
            }
        }
        Replies { replies, lost: None }
    }

    /// Sends the mail with its final dot.
    pub(super) async fn data(&mut self, mail: &[u8]) -> Result<(), Reply> {
        let mut stuffer = DotStuffer::default();
        let mut block = Vec::with_capacity(DATA_BLOCK + DATA_BLOCK / 16);
        for piece in mail.chunks(DATA_BLOCK) {
            stuffer.push(piece, &mut block);
            self.send(&block, self.timeouts.data_block).await?;
            block.clear();
        }
        stuffer.finish(&mut block);
        self.send(&block, self.timeouts.data_block).await
    }

    /// Sends the mail as one chunk (RFC 3030). Its lines end with CRLF already.
    pub(super) async fn chunk(&mut self, mail: &[u8]) -> Result<(), Reply> {
        self.send(format!("BDAT {} LAST\r\n", mail.len()).as_bytes(), self.timeouts.command).await?;
        for piece in mail.chunks(DATA_BLOCK) {
            self.send(piece, self.timeouts.data_block).await?;
        }
        Ok(())
    }

    /// The answer to the final dot.
    pub(super) async fn data_reply(&mut self) -> Result<Reply, Reply> {
        self.reply(self.timeouts.data_done).await
    }

    /// Says goodbye; whether that is heard does not matter any more.
    pub(super) async fn quit(mut self) {
        let _ = timeout(Duration::from_secs(5), self.command("QUIT")).await;
    }

    /// Closes without a word: the other side is not in a state to hear one.
    pub(super) fn leave(self) {
        drop(self);
    }

    async fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Reply> {
        let stream = self.stream.get_mut();
        let sending = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        within(&self.host, limit, sending).await
    }

    async fn reply(&mut self, limit: Duration) -> Result<Reply, Reply> {
        let mut reply = within(&self.host, limit, read_reply(&mut self.stream)).await?;
        reply.host = Some(self.host.clone());
        Ok(reply)
    }
}

async fn within<T>(
    host: &str,
    limit: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, Reply> {
    match timeout(limit, step).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Reply::ours("4.5.0", &format!("{host} does not speak SMTP: {error}")))
        }
        Ok(Err(_)) => Err(Reply::ours("4.4.2", &format!("{host} closed the connection"))),
        Err(_) => Err(Reply::ours("4.4.2", &format!("{host} took too long to answer"))),
    }
}

/// TLS with the host; or why it does not work out.
async fn shake_hands(
    config: &Arc<ClientConfig>,
    host: &str,
    stream: Box<dyn Stream>,
    limit: Duration,
) -> Result<Box<dyn Stream>, Broken> {
    let failed = |reason| Broken::by(ResultType::ValidationFailure, reason);
    let name = host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(|error| failed(error.to_string()))?;
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let stream =
        timeout(limit, handshake).await.map_err(|_| failed("the handshake took too long".to_owned()))?;
    Ok(Box::new(stream.map_err(|error| Broken::of(&error))?))
}

/// RFC 5321 §4.2 `Reply-line`s. Text that is not UTF-8 is shown as well as it can be.
async fn read_reply(stream: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Reply> {
    let mut text = Vec::new();
    for _ in 0..MAX_REPLY_LINES {
        let mut line = Vec::new();
        (&mut *stream).take(MAX_REPLY_LINE).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            let cut = line.len() as u64 == MAX_REPLY_LINE;
            return Err(if cut { nonsense("an endless line") } else { io::ErrorKind::UnexpectedEof.into() });
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let (code, rest) = line.split_at_checked(3).ok_or_else(|| nonsense("a line without a code"))?;
        let code: u16 = code.parse().map_err(|_| nonsense("a line without a code"))?;
        text.push(rest.get(1..).unwrap_or_default().to_owned());
        if !rest.starts_with('-') {
            let text = if (400..600).contains(&code) { once(text) } else { text };
            return Ok(Reply { code, text: text.join("\n"), host: None });
        }
    }
    Err(nonsense("an endless reply"))
}

/// RFC 2034 §4: every line repeats the enhanced code; people need to see it once.
fn once(lines: Vec<String>) -> Vec<String> {
    let status = lines.first().and_then(|line| line.split(' ').next()).filter(|word| word.contains('.'));
    let Some(status) = status.map(|status| format!("{status} ")) else {
        return lines;
    };
    let shorten = |(at, line): (usize, &String)| match line.strip_prefix(&status) {
        Some(rest) if at > 0 => rest.to_owned(),
        _ => line.clone(),
    };
    lines.iter().enumerate().map(shorten).collect()
}

fn nonsense(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replies_are_read_to_their_end_and_no_further() {
        for (wire, expected) in [
            ("250 Ok\r\nrest", Some((250, "Ok"))),
            ("250\r\n", Some((250, ""))),
            ("250-a\r\n250-b c\r\n250 d\r\n", Some((250, "a\nb c\nd"))),
            ("550-5.1.1 No such\r\n550 5.1.1 user here\r\n", Some((550, "5.1.1 No such\nuser here"))),
            ("550 bare\n", Some((550, "bare"))),
            ("250-never ends\r\n", None),
            ("nonsense\r\n", None),
            ("25\r\n", None),
            ("", None),
        ] {
            let reply = read_reply(&mut wire.as_bytes()).await.ok();
            assert_eq!(reply.as_ref().map(|r| (r.code, r.text.as_str())), expected, "{wire:?}");
        }
        let latin1 = read_reply(&mut &b"550 caf\xE9\r\n"[..]).await.unwrap();
        assert_eq!(latin1.text, "caf\u{FFFD}");
        let endless = [b'2'; 10_000];
        assert!(read_reply(&mut &endless[..]).await.is_err());
    }
}
