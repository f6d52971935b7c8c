//! Clients of the nodes: SMTP, REST and the WebSocket. Whatever goes wrong ends a conversation, and is no panic.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::town::{Addresses, PASSWORD};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection to the node that takes mail.
pub(crate) struct Smtp(BufReader<TcpStream>);

impl Smtp {
    pub(crate) async fn connect(addresses: &RwLock<Addresses>) -> std::io::Result<Self> {
        let address = addresses.read().unwrap().smtp.clone();
        let mut smtp = Self(BufReader::new(TcpStream::connect(address).await?));
        smtp.reply().await?;
        smtp.say("HELO load.test").await?;
        Ok(smtp)
    }

    /// Whether the mail was acknowledged. After an error the connection is of no use.
    pub(crate) async fn send(&mut self, to: &[&str], subject: &str, large: bool) -> std::io::Result<bool> {
        self.say("MAIL FROM:<x@load.test>").await?;
        for to in to {
            if !self.say(&format!("RCPT TO:<{to}>")).await?.starts_with("250") {
                self.say("RSET").await?;
                return Ok(false);
            }
        }
        if !self.say("DATA").await?.starts_with("354") {
            return Ok(false);
        }
        let rest = if large { attachment(subject) } else { format!("\r\nThis is {subject}.\r\n") };
        Ok(self.say(&format!("Subject: {subject}\r\n{rest}.")).await?.starts_with("250"))
    }

    async fn say(&mut self, text: &str) -> std::io::Result<String> {
        self.0.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        match timeout(PATIENCE, self.0.read_line(&mut line)).await?? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }
}

/// The end of a header, and a body, of a mail whose attachment becomes a blob.
fn attachment(seed: &str) -> String {
    let line = format!("{:A<76}\r\n", seed.replace('-', ""));
    format!(
        "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        line.repeat(1_000)
    )
}

/// Somebody logged in at the node for the web.
#[derive(Clone)]
pub(crate) struct Rest {
    addresses: Arc<RwLock<Addresses>>,
    http: reqwest::Client,
    token: String,
    pub(crate) account: String,
}

impl Rest {
    pub(crate) async fn login(addresses: &Arc<RwLock<Addresses>>, email: &str) -> Option<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().ok()?;
        let mut rest =
            Self { addresses: Arc::clone(addresses), http, token: String::new(), account: String::new() };
        let login =
            rest.http.post(rest.url("/v1/session")).json(&json!({ "email": email, "password": PASSWORD }));
        let answer: Value = login.send().await.ok()?.json().await.ok()?;
        answer["token"].as_str()?.clone_into(&mut rest.token);
        answer["account"]["id"].as_str()?.clone_into(&mut rest.account);
        Some(rest)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.addresses.read().unwrap().web)
    }

    /// The JSON of a 200.
    async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.http.get(self.url(path)).bearer_auth(&self.token).send().await.ok()?;
        if answer.status() == 200 { answer.json().await.ok() } else { None }
    }

    /// Whether the mail was acknowledged.
    pub(crate) async fn send(&self, to: &str, subject: &str) -> bool {
        let mail = json!({ "to": [{ "email": to }], "subject": subject, "text": "text" });
        let request = self.http.post(self.url("/v1/messages")).bearer_auth(&self.token).json(&mail);
        request.send().await.is_ok_and(|answer| answer.status() == 201)
    }

    /// The newest subjects in the folder of this role, at most so many.
    pub(crate) async fn subjects(&self, role: &str, most: usize) -> Option<Vec<String>> {
        let folders = self.get("/v1/folders").await?;
        let folder = folders["folders"].as_array()?.iter().find(|folder| folder["role"] == role)?;
        let path = format!("/v1/folders/{}/messages?limit={}", folder["id"].as_str()?, most.min(200));
        let (mut subjects, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}{cursor}")).await?;
            let messages = page["messages"].as_array()?;
            subjects
                .extend(messages.iter().filter_map(|message| message["subject"].as_str().map(str::to_owned)));
            match page["next"].as_str() {
                Some(next) if subjects.len() < most => cursor = format!("&cursor={next}"),
                Some(_) | None => return Some(subjects),
            }
        }
    }

    /// Live changes from `since` on, or from now.
    pub(crate) async fn listen(&self, since: Option<i64>) -> Option<Listener> {
        let url = self.url("/v1/events").replacen("http", "ws", 1);
        let mut request = url.into_client_request().ok()?;
        request.headers_mut().insert("authorization", format!("Bearer {}", self.token).parse().ok()?);
        let (mut socket, _) = timeout(PATIENCE, connect_async(request)).await.ok()?.ok()?;
        let hello =
            since.map_or(json!({ "type": "hello" }), |since| json!({ "type": "hello", "since": since }));
        socket.send(Message::text(hello.to_string())).await.ok()?;
        Some(Listener(socket))
    }
}

/// A WebSocket.
pub(crate) struct Listener(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Listener {
    /// The next event; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).ok(),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
