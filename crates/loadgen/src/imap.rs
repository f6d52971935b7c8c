//! How fast mail programs are served: every operation of the scripts' IMAP benchmark, what a new mail takes to reach a
//! waiting program, and the memory of programs that wait. Beside it Dovecot with the same scripts.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Map, Value, json};

use crate::{
    Options,
    peer::{self, Peer},
    server::{ACCOUNTS, PASSWORD, Server, address},
};

/// Where messages are filled in; small ones come first, in accounts of their own.
const BOXES: [&str; 2] = ["big10k", "big100k"];
/// Programs that wait at the same time. The scripts open them from one address.
const WAITING: [usize; 2] = [1_000, 10_000];

pub(crate) fn measure(options: &Options) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let peer = options.peer.then(|| Peer::up(options, folder.path())).transpose()?;
    let tools = match &peer {
        Some(peer) => peer.tools().to_owned(),
        None => peer::copy(&options.tools, folder.path())?,
    };
    let ours = ours(options, &tools)?;
    let theirs = peer.map(|peer| theirs(options, &peer)).transpose()?;
    Ok(json!({ "magpie": ours, "dovecot": theirs }))
}

fn ours(options: &Options, tools: &Path) -> anyhow::Result<Value> {
    let settings = vec![
        ("MAGPIE_AUTH__ALLOW_CLEARTEXT", "true".to_owned()),
        ("MAGPIE_LIMITS__PROGRAM_CONNECTIONS_PER_ADDRESS", "20000".to_owned()),
        ("MAGPIE_LIMITS__CONNECTIONS_PER_ACCOUNT", "20000".to_owned()),
    ];
    let server = Server::start_with(&options.binary, ACCOUNTS, settings, |admin| {
        for name in BOXES {
            admin.run(&["account", "add", &full(name), "--password-stdin"], PASSWORD)?;
        }
        Ok(())
    })?;
    Service {
        tools,
        imap: &server.imap,
        smtp: &server.smtp,
        password: PASSWORD,
        pids: &server.pid().to_string(),
        user: |name| if name.contains('@') { name.to_owned() } else { full(name) },
    }
    .measure(options)
}

fn theirs(options: &Options, peer: &Peer) -> anyhow::Result<Value> {
    Service {
        tools: peer.tools(),
        imap: peer::IMAP,
        smtp: peer::SMTP,
        password: "pass",
        pids: peer.pids(),
        user: |name| name.split('@').next().unwrap_or_default().to_owned(),
    }
    .measure(options)
}

fn full(name: &str) -> String {
    format!("{name}@{}", crate::server::DOMAIN)
}

struct Service<'a> {
    tools: &'a Path,
    /// `127.0.0.1:PORT`.
    imap: &'a str,
    smtp: &'a str,
    password: &'a str,
    pids: &'a str,
    /// What an account logs in with.
    user: fn(&str) -> String,
}

impl Service<'_> {
    fn measure(&self, options: &Options) -> anyhow::Result<Value> {
        let mut figures = Map::new();
        for (&messages, name) in options.messages.iter().zip(BOXES) {
            let user = (self.user)(name);
            let count = messages.to_string();
            let loaded = self.script("load", &[&user, self.password, &count, "--multi"])?;
            let timed = self.script("bench", &[&user, self.password])?;
            figures.insert(count, json!({ "load": loaded, "ms": timed }));
        }
        let user = (self.user)(&address(0));
        let pushed =
            self.script("idle", &[&user, self.password, "--smtp", self.smtp, "--rcpt", &address(0)])?;
        figures.insert("push".to_owned(), pushed);
        let users: Vec<_> = (0..ACCOUNTS).map(|account| (self.user)(&address(account))).collect();
        for waiting in WAITING {
            let conns = waiting.to_string();
            let held = self.script(
                "hold",
                &[self.password, "--users", &users.join(","), "--conns", &conns, "--pids", self.pids],
            );
            // More open files than this machine gives a program are no reason to lose the other figures.
            let held = held.unwrap_or_else(|error| Value::String(format!("{error:#}")));
            figures.insert(format!("waiting_{waiting}"), held);
        }
        Ok(Value::Object(figures))
    }

    fn script(&self, what: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let (host, port) = self.imap.rsplit_once(':').unwrap_or((self.imap, "143"));
        let mut script = Command::new("python3");
        script.arg(self.tools.join("imapbench.py")).args([what, host, port]).args(arguments);
        let figures = serde_json::from_str(&peer::output(script.stdin(Stdio::null()))?)?;
        eprintln!("{what} at {}: {figures}", self.imap);
        Ok(figures)
    }
}
