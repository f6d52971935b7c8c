//! SMTP from many connections at once, each sending one mail after another.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{
    mail,
    server::{ACCOUNTS, PASSWORD, address},
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

/// Whose mail it is, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// From elsewhere to the accounts in turn.
    In,
    /// From the accounts in turn, who log in, to elsewhere.
    Submitted,
    /// The same from whoever may.
    Relayed,
}

/// Sends `count` mails of `size` bytes over `connections` connections to the accounts in turn.
pub(crate) fn send(smtp: &str, connections: usize, count: usize, size: usize) -> Sent {
    send_by(Way::In, smtp, connections, count, size)
}

pub(crate) fn send_by(way: Way, smtp: &str, connections: usize, count: usize, size: usize) -> Sent {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|n| {
                scope.spawn({
                    let next = &next;
                    move || connection(way, n, smtp, next, count, size)
                })
            })
            .collect();
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

fn connection(
    way: Way,
    account: usize,
    smtp: &str,
    next: &AtomicUsize,
    count: usize,
    size: usize,
) -> (Times, anyhow::Result<()>) {
    let mut times = Times::default();
    let from = address(account % ACCOUNTS);
    let result = (|| {
        let mut peer = Peer::connect(smtp)?;
        if let Way::Submitted = way {
            peer.log_in(&from)?;
        }
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return peer.say("QUIT\r\n", "221");
            }
            let (from, to) = match way {
                Way::In => (SENDER, address(number % ACCOUNTS)),
                // A provider's many domains.
                Way::Submitted | Way::Relayed => {
                    (from.as_str(), format!("user{number}@d{}.remote.test", number % 1_000))
                }
            };
            times.push(peer.deliver(from, &to, number, size)?);
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

    fn log_in(&mut self, user: &str) -> anyhow::Result<()> {
        let answer = BASE64_STANDARD.encode(format!("\0{user}\0{PASSWORD}"));
        self.say(&format!("AUTH PLAIN {answer}\r\n"), "235")
    }

    fn deliver(&mut self, from: &str, to: &str, number: usize, size: usize) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        self.say(&format!("MAIL FROM:<{from}>\r\n"), "250")?;
        self.say(&format!("RCPT TO:<{to}>\r\n"), "250")?;
        self.say("DATA\r\n", "354")?;
        let mut content = mail::plain(from, to, number, size);
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
