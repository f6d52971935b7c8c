//! Behind a load balancer that says for whom it connects.

use endpoints::net::{self, Proxies};
use tokio::net::TcpSocket;

use crate::client::Client;
use crate::store::{Options, Site};

/// A PROXY header of version 2 with this source.
fn header(source: [u8; 4]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", &source[..], &[10, 0, 0, 1, 0x1f, 0x90, 0, 25]].concat()
}

/// A site that believes 127.0.0.2, and takes two connections of each client.
async fn site() -> Site {
    let net = net::Config { connections_per_client: 2, ..net::Config::default() };
    let proxies = Proxies::new(&["127.0.0.2".parse().unwrap()]);
    Site::start(Options { net, proxies, ..Options::default() }).await
}

/// A connection from this address of the loopback network; the greeting has not been read.
async fn from(local: &str, site: &Site) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{local}:0").parse().unwrap()).unwrap();
    Client::over(socket.connect(site.mx).await.unwrap())
}

#[tokio::test]
async fn the_client_is_whom_the_proxy_names() {
    let site = site().await;
    let mut clients = Vec::new();
    for (source, greeting) in [
        ([192, 0, 2, 7], "220"),
        ([192, 0, 2, 7], "220"),
        ([192, 0, 2, 7], "421 4.7.0"),
        ([192, 0, 2, 8], "220"),
    ] {
        let mut client = from("127.0.0.2", &site).await;
        client.send(&header(source)).await;
        client.expect(greeting).await;
        clients.push(client);
    }
    let client = &mut clients[0];
    client.say("EHLO client.test", "250 ").await;
    client.mail("a@far.test", &["bob@demo.test"], b"Subject: x\r\n", "250").await;
    let raw = site.store.mails().remove(0).raw;
    let received = String::from_utf8(raw.to_vec()).unwrap();
    assert!(received.contains("Received: from client.test ([192.0.2.7])\r\n"), "{received}");
}

#[tokio::test]
async fn a_proxy_may_look_after_the_server_itself_and_cut_its_header_up() {
    let site = site().await;
    let mut check = from("127.0.0.2", &site).await;
    check.send(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00").await;
    check.expect("220").await;
    let mut slow = from("127.0.0.2", &site).await;
    for byte in header([192, 0, 2, 7]) {
        slow.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    slow.expect("220").await;
    let mut eager = from("127.0.0.2", &site).await;
    eager.send(&[&header([192, 0, 2, 9])[..], b"EHLO client.test\r\n"].concat()).await;
    eager.expect("220").await;
    eager.expect("250 ").await;
}

#[tokio::test]
async fn without_its_header_a_proxy_is_refused_and_nobody_else_is_believed() {
    let site = site().await;
    for first in [&b"EHLO client.test\r\n"[..], b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 25\r\n", b"\0"] {
        let mut proxy = from("127.0.0.2", &site).await;
        proxy.send(first).await;
        proxy.expect_hang_up().await;
    }
    let mut other = from("127.0.0.1", &site).await;
    other.expect("220").await;
    other.send(&header([192, 0, 2, 7])).await;
    other.expect("500").await;
}

#[tokio::test(start_paused = true)]
async fn a_header_must_come_in_time() {
    let site = site().await;
    let mut proxy = from("127.0.0.2", &site).await;
    proxy.send(b"\r\n\r\n\0").await;
    let start = tokio::time::Instant::now();
    proxy.expect_hang_up().await;
    assert_eq!(start.elapsed().as_secs(), 10);
}
