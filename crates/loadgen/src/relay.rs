//! How fast mail leaves: from a program that submits it, through the queue, to a server that takes everything. Beside it
//! Postfix with the same mail and the same server.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    Options, load,
    load::Way,
    peer::{self, Peer},
    process,
    server::{ACCOUNTS, Server},
    smtp::as_f64,
    stats::round,
};

/// Where the scripts' Postfix sends `*.remote.test`.
const SINK: &str = "127.0.0.1:3526";
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Value> {
    let sink = Sink::start(SINK)?;
    let rows = ours(options, &sink).await?;
    let peer = if options.peer { Some(theirs(options, &sink).await?) } else { None };
    Ok(json!({ "magpie": rows, "postfix": peer }))
}

async fn ours(options: &Options, sink: &Sink) -> anyhow::Result<Vec<Value>> {
    let settings = vec![
        ("MAGPIE_SMTP__RELAY", SINK.to_owned()),
        ("MAGPIE_AUTH__ALLOW_CLEARTEXT", "true".to_owned()),
        ("MAGPIE_LIMITS__SENDS_PER_HOUR", "100000000".to_owned()),
    ];
    let server = Server::start_with(&options.binary, ACCOUNTS, settings, |_| Ok(()))?;
    let way = Way::Submitted;
    run(&server.submission, way, sink, 10, 200, 2048, &[server.pid()]).await?;
    let mut rows = Vec::new();
    for (size, connections, count) in cases(options) {
        rows.push(run(&server.submission, way, sink, connections, count, size, &[server.pid()]).await?);
        eprintln!("{}", rows.last().unwrap_or(&Value::Null));
    }
    Ok(rows)
}

async fn theirs(options: &Options, sink: &Sink) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let _peer = Peer::up(options, folder.path())?;
    run(peer::SMTP, Way::Relayed, sink, 10, 200, 2048, &[]).await?;
    let mut rows = Vec::new();
    for (size, connections, count) in cases(options) {
        // It is some times slower; fewer mails tell as much.
        rows.push(run(peer::SMTP, Way::Relayed, sink, connections, count.div_ceil(2), size, &[]).await?);
        eprintln!("{}", rows.last().unwrap_or(&Value::Null));
    }
    Ok(rows)
}

fn cases(options: &Options) -> Vec<(usize, usize, usize)> {
    let most = if options.count > 0 { options.count } else { 4000 };
    let mut cases = Vec::new();
    for &size in options.sizes.iter().filter(|size| **size <= 100_000) {
        for &connections in options.connections.iter().filter(|connections| **connections > 1) {
            cases.push((size, connections, if size > 10_000 { most / 2 } else { most }));
        }
    }
    cases
}

async fn run(
    smtp: &str,
    way: Way,
    sink: &Sink,
    connections: usize,
    count: usize,
    size: usize,
    pids: &[u32],
) -> anyhow::Result<Value> {
    sink.forget();
    let cpu = cpu_of(pids)?;
    let begin = Instant::now();
    let sent = tokio::task::block_in_place(|| load::send_by(way, smtp, connections, count, size));
    if let Some(error) = sent.errors.first() {
        anyhow::bail!("{} senders failed; the first: {error}", sent.errors.len());
    }
    while sink.different() < count {
        anyhow::ensure!(begin.elapsed() < PATIENCE, "{} of {count} mails arrived", sink.different());
        sleep(LOOK_AGAIN).await;
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let mails = as_f64(count)?;
    let spent = cpu_of(pids)? - cpu;
    Ok(json!({
        "connections": connections,
        "size_bytes": size,
        "mails": count,
        "accepted_per_s": round(mails / sent.elapsed.as_secs_f64()),
        "relayed_per_s": round(mails / elapsed),
        "accept": sent.times.figures(),
        "cpu_ms_per_mail": if pids.is_empty() { Value::Null } else { json!(round(spent * 1e3 / mails)) },
        "connections_to_sink": sink.connections(),
        "twice": sink.all() - sink.different(),
    }))
}

fn cpu_of(pids: &[u32]) -> anyhow::Result<f64> {
    pids.iter().map(|pid| process::cpu_seconds(*pid)).sum()
}

/// Takes everything, and counts. It offers what Postfix' `smtp-sink` does.
struct Sink(Arc<Counts>);

#[derive(Default)]
struct Counts {
    subjects: Mutex<HashSet<Vec<u8>>>,
    all: AtomicUsize,
    connections: AtomicUsize,
}

impl Sink {
    fn start(address: &str) -> anyhow::Result<Self> {
        let counts = Arc::<Counts>::default();
        let listener = TcpListener::bind(address).context("the sink's port")?;
        let shared = Arc::clone(&counts);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || converse(stream, &shared));
            }
        });
        Ok(Self(counts))
    }

    fn forget(&self) {
        self.subjects().clear();
        self.0.all.store(0, Ordering::Relaxed);
        self.0.connections.store(0, Ordering::Relaxed);
    }

    fn different(&self) -> usize {
        self.subjects().len()
    }

    fn all(&self) -> usize {
        self.0.all.load(Ordering::Relaxed)
    }

    fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    fn subjects(&self) -> std::sync::MutexGuard<'_, HashSet<Vec<u8>>> {
        self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn converse(stream: TcpStream, counts: &Counts) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut commands = BufReader::with_capacity(64 << 10, stream);
    answers.write_all(b"220 sink ESMTP\r\n")?;
    let (mut line, mut waiting) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if commands.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n",
            b"DATA" => {
                waiting.extend_from_slice(b"354 Go on\r\n");
                answers.write_all(&std::mem::take(&mut waiting))?;
                take(&mut commands, counts)?;
                b"250 2.0.0 Ok\r\n"
            }
            b"QUIT" => b"221 2.0.0 Bye\r\n",
            _ => b"250 2.0.0 Ok\r\n",
        };
        waiting.extend_from_slice(reply);
        // Whoever sends ahead is answered at once.
        if commands.buffer().is_empty() || verb == b"QUIT" {
            answers.write_all(&std::mem::take(&mut waiting))?;
        }
        if verb == b"QUIT" {
            return Ok(());
        }
    }
}

fn take(content: &mut impl BufRead, counts: &Counts) -> anyhow::Result<()> {
    let (mut subject, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        anyhow::ensure!(content.read_until(b'\n', &mut line)? > 0, "the data has no end");
        if line == b".\r\n" {
            break;
        }
        if subject.is_empty() && line.starts_with(b"Subject:") {
            subject.clone_from(&line);
        }
    }
    counts.all.fetch_add(1, Ordering::Relaxed);
    counts.subjects.lock().unwrap_or_else(PoisonError::into_inner).insert(subject);
    Ok(())
}
