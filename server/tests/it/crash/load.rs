//! The load: SMTP and REST clients that note what was acknowledged, until their server is gone.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use super::node::Node;

/// Subjects of mails that the server said it has.
#[derive(Default)]
pub(crate) struct Acknowledged {
    pub(crate) received: HashSet<String>,
    pub(crate) sent: HashSet<String>,
}

/// Lets the load run.
#[expect(clippy::disallowed_methods, reason = "the moment of the crash is a matter of real time")]
pub(crate) fn run_for(time: Duration) {
    std::thread::sleep(time);
}

/// Sends mails to alice over one connection until it breaks.
pub(crate) fn smtp(
    node: &Node,
    round: u64,
    n: u32,
    acknowledged: Arc<Mutex<Acknowledged>>,
) -> JoinHandle<()> {
    let address = node.smtp.clone();
    std::thread::spawn(move || {
        let mut sent = 0;
        let _ = (|| -> std::io::Result<()> {
            let mut stream = TcpStream::connect(address)?;
            let mut reader = BufReader::new(stream.try_clone()?);
            reply(&mut reader)?;
            stream.write_all(b"EHLO load.test\r\n")?;
            reply(&mut reader)?;
            loop {
                let subject = format!("smtp-{round}-{n}-{sent}");
                stream.write_all(b"MAIL FROM:<x@load.test>\r\nRCPT TO:<alice@crash.test>\r\nDATA\r\n")?;
                for _ in 0..3 {
                    reply(&mut reader)?;
                }
                let attachment = if sent % 5 == 0 { attachment(&subject) } else { String::new() };
                write!(stream, "Subject: {subject}\r\n{attachment}\r\ntext of {subject}\r\n.\r\n")?;
                if reply(&mut reader)?.starts_with("250") {
                    acknowledged.lock().unwrap().received.insert(subject);
                }
                sent += 1;
            }
        })();
    })
}

/// A header and body of a mail whose attachment becomes a blob.
fn attachment(seed: &str) -> String {
    let line = format!("{:A<76}\r\n", seed.replace('-', ""));
    format!(
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        line.repeat(1_000)
    )
}

fn reply(reader: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line);
        }
    }
}

/// Sends mails from alice over REST until the server is gone.
pub(crate) fn rest(
    node: &Node,
    to: &'static str,
    round: u64,
    n: u32,
    acknowledged: Arc<Mutex<Acknowledged>>,
) -> JoinHandle<()> {
    let alice = node.login("alice@crash.test");
    std::thread::spawn(move || {
        for count in 0.. {
            let subject = format!("rest-{round}-{n}-{count}");
            match alice.send(to, &subject) {
                Some(true) => drop(acknowledged.lock().unwrap().sent.insert(subject)),
                Some(false) => {}
                None => return,
            }
        }
    })
}
