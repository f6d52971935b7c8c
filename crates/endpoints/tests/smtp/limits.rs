//! Clients that want too much, or nothing.

use std::time::Duration;

use endpoints::net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::store::{Options, Site};

#[tokio::test]
async fn one_client_does_not_take_all_the_room() {
    let net = net::Config { connections_per_client: 2, ..net::Config::default() };
    let site = Site::start(Options { net, ..Options::default() }).await;
    let mut first = Client::greeted(site.mx).await;
    let _second = Client::greeted(site.mx).await;
    let mut third = Client::open(site.mx).await;
    third.expect("421 4.7.0").await;
    third.expect_end().await;
    first.say("QUIT", "221").await;
    first.expect_end().await;
    // The place is free once the server has noticed.
    let mut fourth = Client::open(site.mx).await;
    while fourth.reply().await.starts_with("421") {
        fourth = Client::open(site.mx).await;
    }
}

#[tokio::test]
async fn one_network_does_not_take_all_the_room() {
    let net = net::Config { connections_per_network: 2, ..net::Config::default() };
    let site = Site::start(Options { net, ..Options::default() }).await;
    let _first = Client::greeted(site.mx).await;
    let mut second = Client::greeted(site.mx).await;
    let mut third = Client::open(site.mx).await;
    third.expect("421 4.7.0").await;
    third.expect_end().await;
    second.say("NOOP", "250").await;
}

#[tokio::test]
async fn memory_for_content_is_bounded() {
    let site = Site::start(Options { budget: 200_000, ..Options::default() }).await;
    let mut client = Client::greeted(site.mx).await;
    let line = "x".repeat(100) + "\r\n";
    client.mail("a@far.test", &["bob@demo.test"], line.repeat(2_000).as_bytes(), "452 4.3.1").await;
    client.mail("a@far.test", &["bob@demo.test"], line.repeat(200).as_bytes(), "250").await;
}

#[tokio::test]
async fn too_large_is_said_at_the_end() {
    let limits = smtp::Limits { message: 1_000, ..smtp::Limits::default() };
    let site = Site::start(Options { limits, ..Options::default() }).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test> SIZE=1001", "552 5.3.4").await;
    client.mail("a@far.test", &["bob@demo.test"], "xx\r\n".repeat(300).as_bytes(), "552 5.3.4").await;
    client.mail("a@far.test", &["bob@demo.test"], "xx\r\n".repeat(250).as_bytes(), "250").await;
}

/// Says this, adds a byte each minute, and reads until the end; gives what came and how long it took.
async fn trickle(site: &Site, first: &[u8]) -> (String, Duration) {
    let mut stream = TcpStream::connect(site.mx).await.unwrap();
    stream.write_all(first).await.unwrap();
    let (start, mut received) = (Instant::now(), Vec::new());
    let (mut read, mut write) = stream.split();
    let drip = async {
        loop {
            sleep(Duration::from_secs(60)).await;
            // It fails once the server has hung up.
            let _ = write.write_all(b"x").await;
        }
    };
    tokio::select! {
        result = read.read_to_end(&mut received) => drop(result),
        () = drip => {}
    }
    (String::from_utf8(received).unwrap(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_command_must_end_in_time_however_slowly_it_goes_on() {
    let site = Site::start(Options::default()).await;
    let (received, took) = trickle(&site, b"EHLO ").await;
    assert!(received.ends_with("421 4.4.2 Timeout, closing the connection\r\n"), "{received}");
    assert!((290..=310).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn content_must_go_on() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    client.say("DATA", "354").await;
    client.send(b"Subject: x\r\n").await;
    let start = Instant::now();
    client.expect("421 4.4.2").await;
    client.expect_end().await;
    assert!((179..=181).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(site.store.mails().is_empty());
}

#[tokio::test(start_paused = true)]
async fn content_must_end_also_in_chunks() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    for _ in 0..5 {
        client.say("BDAT 3\r\nx", "250").await;
        sleep(Duration::from_secs(150)).await;
    }
    client.say("BDAT 0 LAST", "451 4.4.2").await;
    assert!(site.store.mails().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn many_idle_connections_cost_little() {
    let resident_kb = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let site = Site::start(Options::default()).await;
    let before = resident_kb();
    let mut clients = Vec::new();
    for _ in 0..400 {
        clients.push(Client::greeted(site.mx).await);
    }
    let (after, count) = (resident_kb(), clients.len() as u64);
    // With the client's half, whose read buffer alone has 8 KiB.
    assert!((after - before) / count < 32, "{} kB for each connection", (after - before) / count);
}
