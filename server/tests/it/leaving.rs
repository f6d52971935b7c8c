//! A server that leaves: others are asked first, what runs is finished, nothing is refused meanwhile.

use std::time::Duration;

use crate::support::{self, Plane, Server, eventually, header};
use futures::StreamExt as _;
use reqwest::StatusCode;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_tungstenite::{connect_async, tungstenite::Message};
use tokio_util::task::TaskTracker;

support::on_both_planes!(
    who_leaves_says_so_takes_what_comes_and_ends_what_has_begun,
    behind_a_load_balancer_clients_are_who_it_says,
);

/// A conversation in SMTP.
struct Smtp(BufReader<TcpStream>);

impl Smtp {
    async fn connect(server: &Server) -> Self {
        let mut smtp =
            Self(BufReader::new(TcpStream::connect(server.node.addresses.smtp.unwrap()).await.unwrap()));
        assert!(smtp.reply().await.starts_with("220"));
        smtp
    }

    /// The next line; empty at the end.
    async fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn say(&mut self, line: &str) -> String {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }
}

async fn who_leaves_says_so_takes_what_comes_and_ends_what_has_begun(plane: &Plane<'_>) {
    let server = Server::start_with(plane, &[("MAGPIE_DRAIN__DELAY", "1s")]).await;
    let alice = server.login("alice").await;
    let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
        format!("ws://{}/v1/events", server.web),
    )
    .unwrap();
    let token = format!("Bearer {}", alice.token.clone().unwrap());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    let (mut socket, _) = connect_async(request).await.unwrap();
    let mut smtp = Smtp::connect(&server).await;
    assert!(smtp.say("HELO client.test").await.starts_with("250"));
    assert_eq!(alice.get("/readyz").await.status(), StatusCode::OK);

    let addresses = server.node.addresses;
    let stopping = TaskTracker::new().spawn(server.stop());
    let ready = eventually("it leaves", async || {
        let answer = alice.get("/readyz").await;
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(header(&ready, "connection"), "close");
    // Whoever has not noticed yet is served as ever.
    assert_eq!(alice.get("/v1/folders").await.status(), StatusCode::OK);
    let mut late = Smtp(BufReader::new(TcpStream::connect(addresses.smtp.unwrap()).await.unwrap()));
    assert!(late.reply().await.starts_with("220"));
    for line in ["MAIL FROM:<carol@elsewhere.example>", "RCPT TO:<alice@demo.test>", "DATA"] {
        assert!(smtp.say(line).await.starts_with(['2', '3']), "{line}");
    }

    assert!(late.reply().await.starts_with("421"), "who has nothing running is asked to go");
    assert!(smtp.say("Subject: Last\r\n\r\nGoodbye.\r\n.").await.starts_with("250"));
    assert!(smtp.reply().await.starts_with("421"));
    let goodbye = loop {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap() {
            Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(goodbye, Some(1001));
    drop(socket);
    stopping.await.unwrap();
    assert!(TcpStream::connect(addresses.smtp.unwrap()).await.is_err());
}

async fn behind_a_load_balancer_clients_are_who_it_says(plane: &Plane<'_>) {
    let server = Server::start_with(
        plane,
        &[
            ("MAGPIE_PROXY_PROTOCOL__FROM", "[\"127.0.0.0/8\"]"),
            ("MAGPIE_LIMITS__HTTP_CONNECTIONS_PER_ADDRESS", "1"),
            ("MAGPIE_HTTP__METRICS", "loopback"),
        ],
    )
    .await;
    let get = async |source: [u8; 4], path: &str| {
        let mut stream = TcpStream::connect(server.web).await.unwrap();
        let header =
            [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", &source[..], &[10, 0, 0, 1, 31, 144, 0, 80]].concat();
        stream.write_all(&header).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        (line.split(' ').nth(1).unwrap_or_default().to_owned(), stream)
    };
    // Counted by client, not by load balancer; metrics are for this machine itself.
    let (first, _open) = get([192, 0, 2, 7], "/healthz").await;
    let (second, _) = get([192, 0, 2, 7], "/healthz").await;
    let (other, _) = get([192, 0, 2, 8], "/metrics").await;
    let (local, _) = get([127, 0, 0, 1], "/metrics").await;
    assert_eq!([&first, &second, &other, &local], ["200", "503", "404", "200"]);
    assert!(
        server.nobody().request(reqwest::Method::GET, "/healthz").send().await.is_err(),
        "without a header"
    );
    server.stop().await;
}
