//! A service in a folder of its own, a server in front of it, and clients.

use std::net::SocketAddr;
use std::sync::Arc;

use endpoints::imap::{Kind, Sessions, Settings, listen};
use endpoints::net::{Config, Proxies, Server, Socket};
use endpoints::smtp::Budget;
use testkit::House;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Site {
    pub(crate) house: House,
    pub(crate) address: SocketAddr,
    _server: Server,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::at(House::open().await.unwrap()).await
    }

    pub(crate) async fn at(house: House) -> Self {
        let server = Server::new(Config::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Settings {
            allow_cleartext: true,
            max_message_bytes: 1 << 20,
            budget: Arc::new(Budget::new(64 << 20)),
            sessions: Arc::new(Sessions::of_each(SESSIONS)),
        };
        let socket = Socket { listener, proxies: Proxies::default() };
        listen(&server, socket, Kind::Imap, None, house.mail.clone(), &settings).unwrap();
        Self { house, address, _server: server }
    }

    /// A connection whose greeting was read.
    pub(crate) async fn client(&self) -> Client {
        let mut client = Client { stream: BufReader::new(TcpStream::connect(self.address).await.unwrap()) };
        let greeting = client.line().await;
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

    /// The next line with the literals in it, their line breaks written as `\r\n`; empty at the end.
    pub(crate) async fn line(&mut self) -> String {
        let mut all = String::new();
        loop {
            let mut line = Vec::new();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_until(b'\n', &mut line));
            read.await.unwrap_or_else(|_| panic!("nothing came after {all:?}")).unwrap();
            let line = String::from_utf8_lossy(&line).into_owned();
            let line = line.trim_end_matches("\r\n");
            all.push_str(line);
            let digits =
                line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).map(|(_, digits)| digits);
            let Some(length) = digits.and_then(|digits| digits.parse::<usize>().ok()) else { return all };
            let mut literal = vec![0; length];
            self.stream.read_exact(&mut literal).await.unwrap();
            all.push_str(&String::from_utf8_lossy(&literal).replace("\r\n", "\\r\\n"));
        }
    }

    /// All lines up to the one with this tag.
    pub(crate) async fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(format!("t {command}\r\n").as_bytes()).await;
        let mut lines = Vec::new();
        loop {
            lines.push(self.line().await);
            let last = lines.last().unwrap();
            if last.starts_with("t ") || last.is_empty() {
                return lines;
            }
        }
    }
}

/// Connections that an account may have here.
pub(crate) const SESSIONS: usize = 8;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
