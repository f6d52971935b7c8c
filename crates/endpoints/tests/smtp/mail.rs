//! Mail from other servers.

use crate::client::Client;
use crate::store::{Options, Site};

#[tokio::test]
async fn a_mail_arrives_with_its_trace() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    let reply = client.mail("a@far.test", &["bob@demo.test"], b"Subject: x\r\n\r\ny\r\n", "250 2.0.0").await;
    client.mail("", &["bob@demo.test", "carol@demo.test"], b"\r\n", "250 2.0.0").await;
    client.say("QUIT", "221").await;
    client.expect_end().await;

    let mails = site.store.mails();
    let id = mails[0].id;
    assert_eq!(reply, format!("250 2.0.0 Accepted as {id}"));
    assert_eq!(
        String::from_utf8_lossy(&mails[0].raw),
        format!(
            "Return-Path: <a@far.test>\r\nReceived: from client.test ([127.0.0.1])\r\n\
             \tby mx.test with ESMTP id {id}\r\n\tfor <bob@demo.test>;\r\n\
             \tSun, 22 Nov 2026 12:20:00 +0000\r\nSubject: x\r\n\r\ny\r\n"
        )
    );
    assert_eq!((mails[1].from.as_str(), mails[1].to.len()), ("", 2));
    let raw = String::from_utf8_lossy(&mails[1].raw).into_owned();
    assert!(raw.starts_with("Return-Path: <>\r\n") && !raw.contains("for <"), "{raw}");
}

#[tokio::test]
async fn only_those_who_are_here_receive() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    client.say("RCPT TO:<nobody@demo.test>", "550 5.1.1").await;
    client.say("RCPT TO:<a@elsewhere.test>", "550 5.7.1").await;
    client.say("RCPT TO:<full@demo.test>", "452 4.2.2").await;
    client.say("DATA", "554 5.5.1").await;
    client.say("RCPT TO:<Postmaster>", "250").await;
    client.say("AUTH PLAIN AGEAYg==", "502").await;
    client.say("RSET", "250").await;
    for (from, reply) in [("disk", "452 4.3.1"), ("down", "451 4.3.0"), ("spam", "554 5.7.1 Looks like spam")]
    {
        client.mail(&format!("{from}@far.test"), &["bob@demo.test"], b"x\r\n", reply).await;
    }
    assert_eq!(site.store.mails().len(), 0);
}

#[tokio::test]
async fn mail_that_goes_in_circles_is_stopped() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    let hop = "Received: from a by b\r\n";
    client.mail("a@far.test", &["bob@demo.test"], hop.repeat(100).as_bytes(), "250").await;
    client.mail("a@far.test", &["bob@demo.test"], hop.repeat(101).as_bytes(), "554 5.4.6").await;
}

#[tokio::test]
async fn five_megabytes_arrive_byte_for_byte_by_data_and_by_bdat() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    let line = [&[b'A'; 76][..], b"\r\n"].concat();
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    (0..5 * 1024 * 1024 / line.len()).for_each(|_| content.extend_from_slice(&line));

    client.mail("a@far.test", &["bob@demo.test"], &content, "250 2.0.0").await;
    client.say("MAIL FROM:<a@far.test> SIZE=5300000 BODY=8BITMIME", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    let (first, second) = content.split_at(3_000_001);
    client.send(format!("BDAT {}\r\n", first.len()).as_bytes()).await;
    client.send(first).await;
    client.expect("250 2.0.0 3000001 octets").await;
    client.send(format!("BDAT {} LAST\r\n", second.len()).as_bytes()).await;
    client.send(second).await;
    client.expect("250 2.0.0 Accepted").await;

    let mails = site.store.mails();
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|mail| mail.raw.ends_with(&content)));
}

#[tokio::test]
async fn a_pipelined_mail_is_answered_in_order() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client
        .send(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<nobody@demo.test>\r\nRCPT TO:<bob@demo.test>\r\nDATA\r\n")
        .await;
    for reply in ["250 2.1.0", "550 5.1.1", "250 2.1.5", "354"] {
        client.expect(reply).await;
    }
    client.send(b"x\r\n.\r\nMAIL FROM:<b@far.test>\r\nQUIT\r\n").await;
    for reply in ["250 2.0.0", "250 2.1.0", "221"] {
        client.expect(reply).await;
    }
    client.expect_end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_connections_at_once() {
    let site = Site::start(Options::default()).await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..50 {
        let mx = site.mx;
        clients.spawn(async move {
            let mut client = Client::greeted(mx).await;
            for mail in 0..20 {
                let content = format!("Subject: {number}/{mail}\r\n\r\n{}\r\n", "x".repeat(900));
                client.mail("a@far.test", &["bob@demo.test"], content.as_bytes(), "250").await;
            }
            client.say("QUIT", "221").await;
        });
    }
    clients.join_all().await;
    let mut subjects: Vec<String> = site
        .store
        .mails()
        .iter()
        .filter_map(|mail| {
            String::from_utf8_lossy(&mail.raw)
                .lines()
                .find(|line| line.starts_with("Subject"))
                .map(String::from)
        })
        .collect();
    subjects.sort();
    subjects.dedup();
    assert_eq!((site.store.mails().len(), subjects.len()), (1_000, 1_000));
}
