//! A service in a folder of its own, a server in front of it, and clients.

use std::net::SocketAddr;
use std::sync::Arc;

use endpoints::imap::{Kind, PROGRESS_EVERY, Sessions, Settings, listen};
use endpoints::net::{Config, Proxies, Server, Socket};
use endpoints::smtp::Budget;
use testkit::House;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::judge::{judge, judge_greeting};

pub(crate) struct Site {
    pub(crate) house: House,
    pub(crate) address: SocketAddr,
    _server: Server,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::at_with(House::open().await.unwrap(), change).await
    }

    pub(crate) async fn at(house: House) -> Self {
        Self::at_with(house, |_| {}).await
    }

    async fn at_with(house: House, change: impl FnOnce(&mut Settings)) -> Self {
        let server = Server::new(Config::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings {
            allow_cleartext: true,
            max_message_bytes: 1 << 20,
            budget: Arc::new(Budget::new(64 << 20)),
            sessions: Arc::new(Sessions::of_each(SESSIONS)),
            progress_every: PROGRESS_EVERY,
            message_limit: None,
        };
        change(&mut settings);
        let socket = Socket { listener, proxies: Proxies::default() };
        listen(&server, socket, Kind::Imap, None, house.mail.clone(), &settings).unwrap();
        Self { house, address, _server: server }
    }

    /// A connection whose greeting was read.
    pub(crate) async fn client(&self) -> Client {
        let mut client = Client { stream: BufReader::new(TcpStream::connect(self.address).await.unwrap()) };
        let greeting = client.read().await;
        judge_greeting(&greeting);
        let greeting = shown(&greeting);
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        client
    }

    /// The same, logged in as alice.
    pub(crate) async fn alice(&self) -> Client {
        self.who("alice").await
    }

    pub(crate) async fn who(&self, name: &str) -> Client {
        let mut client = self.client().await;
        client.send(format!("login LOGIN {name}@demo.test magpie-demo\r\n").as_bytes()).await;
        let answer = client.line().await;
        assert!(answer.starts_with("login OK [CAPABILITY "), "{answer}");
        client
    }
}

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next response with the literals in it, their line breaks written as `\r\n`; empty at the end.
    pub(crate) async fn line(&mut self) -> String {
        let response = self.read().await;
        judge(&response);
        shown(&response)
    }

    /// The same as it came.
    async fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let start = all.len();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_until(b'\n', &mut all));
            if read.await.is_err() {
                panic!("nothing came after {:?}", shown(&all));
            }
            let line = String::from_utf8_lossy(&all[start..]).into_owned();
            let digits = line.strip_suffix("}\r\n").and_then(|line| line.rsplit_once('{'));
            let Some(length) = digits.and_then(|(_, digits)| digits.parse::<usize>().ok()) else {
                return all;
            };
            let start = all.len();
            all.resize(start + length, 0);
            self.stream.read_exact(&mut all[start..]).await.unwrap();
        }
    }

    /// What a command is answered with.
    pub(crate) async fn ask(&mut self, command: &str) -> Vec<String> {
        self.ask_as("t", command).await
    }

    /// The same, by another tag.
    pub(crate) async fn ask_as(&mut self, tag: &str, command: &str) -> Vec<String> {
        self.send(format!("{tag} {command}\r\n").as_bytes()).await;
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().await);
            let last = lines.last().unwrap();
            if last.starts_with(&format!("{tag} ")) || last.is_empty() {
                return lines;
            }
        }
    }
}

fn shown(response: &[u8]) -> String {
    let text = String::from_utf8_lossy(response).into_owned();
    let text = text.strip_suffix("\r\n").unwrap_or(&text);
    // The end of a line that announces a literal is none of the literal's.
    let mut shown = String::new();
    for line in text.split("}\r\n") {
        if !shown.is_empty() {
            shown.push('}');
        }
        shown.push_str(&line.replace("\r\n", "\\r\\n"));
    }
    shown
}

/// Connections that an account may have here.
pub(crate) const SESSIONS: usize = 8;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
