//! SMTP from many connections at once, each sending one mail after another.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    mail,
    server::{ACCOUNTS, address},
    stats::Times,
};

const SENDER: &str = "sender@example.com";

/// What a run came to.
pub(crate) struct Sent {
    /// From MAIL to the 250 after the content.
    pub(crate) times: Times,
    pub(crate) elapsed: Duration,
    pub(crate) errors: Vec<String>,
}

/// Sends `count` mails of `size` bytes over `connections` connections to the accounts in turn.
pub(crate) fn send(smtp: &str, connections: usize, count: usize, size: usize) -> Sent {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| connection(smtp, &next, count, size))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut sent = Sent { times: Times::default(), elapsed: begin.elapsed(), errors: Vec::new() };
    for result in results {
        match result {
            Ok((times, Ok(()))) => sent.times.append(times),
            Ok((times, Err(error))) => {
                sent.times.append(times);
                sent.errors.push(format!("{error:#}"));
            }
            Err(_) => sent.errors.push("a sender panicked".to_owned()),
        }
    }
    sent
}

fn connection(smtp: &str, next: &AtomicUsize, count: usize, size: usize) -> (Times, anyhow::Result<()>) {
    let mut times = Times::default();
    let result = (|| {
        let mut peer = Peer::connect(smtp)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return peer.say("QUIT\r\n", "221");
            }
            times.push(peer.deliver(number, size)?);
        }
    })();
    (times, result)
}

struct Peer(BufReader<TcpStream>);

impl Peer {
    fn connect(smtp: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(smtp).with_context(|| smtp.to_owned())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut peer = Self(BufReader::new(stream));
        peer.expect("220")?;
        peer.say("EHLO bench.client\r\n", "250")?;
        Ok(peer)
    }

    fn deliver(&mut self, number: usize, size: usize) -> anyhow::Result<Duration> {
        let to = address(number % ACCOUNTS);
        let begin = Instant::now();
        self.say(&format!("MAIL FROM:<{SENDER}>\r\n"), "250")?;
        self.say(&format!("RCPT TO:<{to}>\r\n"), "250")?;
        self.say("DATA\r\n", "354")?;
        let mut content = mail::plain(SENDER, &to, number, size);
        content.extend_from_slice(b".\r\n");
        self.0.get_mut().write_all(&content)?;
        self.expect("250")?;
        Ok(begin.elapsed())
    }

    fn say(&mut self, line: &str, code: &str) -> anyhow::Result<()> {
        self.0.get_mut().write_all(line.as_bytes())?;
        self.expect(code)
    }

    /// Reads a reply to its last line.
    fn expect(&mut self, code: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            anyhow::ensure!(self.0.read_line(&mut line)? > 0, "the server hung up, {code} was expected");
            if line.get(3..4) != Some("-") {
                break;
            }
        }
        anyhow::ensure!(line.starts_with(code), "{code} was expected, the server said: {}", line.trim());
        Ok(())
    }
}
