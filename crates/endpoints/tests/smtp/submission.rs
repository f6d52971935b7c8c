//! Mail from the people here.

use crate::client::Client;
use crate::store::{Options, Site};

/// `bob@demo.test` with the right password, and with a wrong one.
const RIGHT: &str = "AUTH PLAIN AGJvYkBkZW1vLnRlc3QAbWFncGllLWRlbW8=";
const WRONG: &str = "AUTH PLAIN AGJvYkBkZW1vLnRlc3QAd3Jvbmc=";

#[tokio::test]
async fn starttls_comes_before_the_password() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.submission).await;
    client.say(RIGHT, "538 5.7.11").await;
    client.say("MAIL FROM:<bob@demo.test>", "530 5.7.0").await;
    client.say("STARTTLS", "220").await;
    let mut client = client.secured(&site.root).await;
    client.say(RIGHT, "503").await;
    client.say("EHLO laptop", "250").await;
    client.say(WRONG, "535 5.7.8").await;
    client.say(RIGHT, "235").await;
    client.say("MAIL FROM:<carol@demo.test>", "553 5.7.1").await;
    client.say("MAIL FROM:<bob@demo.test>", "250").await;
    client.say("RCPT TO:<nobody@demo.test>", "550 5.1.1").await;
    // The queue waits until there is room.
    client.say("RCPT TO:<full@demo.test>", "250").await;
    client.say("RSET", "250").await;
    client.mail("bob@demo.test", &["a@far.test", "b@far.test"], b"Subject: x\r\n\r\n", "250 2.0.0").await;

    let mail = site.store.mails().remove(0);
    assert_eq!(mail.by.as_deref(), Some("bob@demo.test"));
    let raw = String::from_utf8_lossy(&mail.raw).into_owned();
    assert!(raw.starts_with("Received: from laptop ([127.0.0.1])\r\n\tby mx.test with ESMTPSA id "), "{raw}");
    let date = "Sun, 22 Nov 2026 12:20:00 +0000";
    let added = format!(
        ";\r\n\t{date}\r\nDate: {date}\r\nMessage-ID: <{}@mx.test>\r\nFrom: <bob@demo.test>\r\nSubject: x\r\n\r\n",
        mail.id
    );
    assert!(raw.ends_with(&added), "{raw}");
}

/// RFC 5321 §4.5.3.1.6: other servers need not take lines of more than 998 bytes.
#[tokio::test]
async fn long_lines_are_encoded_before_they_travel() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mut client = Client::greeted(site.submission).await;
    client.say(RIGHT, "235").await;
    let line = "x".repeat(20_000);
    let mail = |line: &str| format!("Subject: x\r\nContent-Type: text/html\r\n\r\n{line}\r\n");
    for line in ["short", &line] {
        client.mail("bob@demo.test", &["a@far.test"], mail(line).as_bytes(), "250").await;
    }
    let [short, long] = &site.store.mails()[..] else { panic!("two mails") };
    assert!(short.raw.ends_with(mail("short").as_bytes()), "it stays as it is");
    assert!(long.raw.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
    let parsed = message::parse(&long.raw);
    let part = parsed.structure.root().unwrap();
    let body = &long.raw[usize::try_from(part.body.start).unwrap()..];
    assert_eq!(message::decode(part.encoding, body), format!("{line}\r\n").as_bytes());
}

#[tokio::test]
async fn implicit_tls() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::open(site.submissions).await.secured(&site.root).await;
    client.expect("220").await;
    client.say("EHLO [127.0.0.1]", "250").await;
    client.say("STARTTLS", "503").await;
    client.say("AUTH LOGIN", "334 VXNlcm5hbWU6").await;
    client.say("Ym9iQGRlbW8udGVzdA==", "334 UGFzc3dvcmQ6").await;
    client.say("bWFncGllLWRlbW8=", "235").await;
    let large = "x".repeat(76) + "\r\n";
    client.mail("bob@demo.test", &["a@far.test"], large.repeat(20_000).as_bytes(), "250").await;
    client.say("QUIT", "221").await;
    assert_eq!(site.store.mails().len(), 1);
}

#[tokio::test]
async fn passwords_in_clear_text_only_where_allowed() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mut client = Client::greeted(site.submission).await;
    client.say(RIGHT, "235").await;
    client.mail("bob@demo.test", &["a@far.test"], b"x\r\n", "250").await;
}

#[tokio::test]
async fn where_a_mail_comes_from_is_not_for_its_author_to_say() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mail = b"Subject: x\r\nreturn-path:\r\n <eve@far.test>\r\nX: y\r\n\r\nReturn-Path: <text>\r\n";
    let mut writer = Client::greeted(site.submission).await;
    writer.say(RIGHT, "235").await;
    writer.mail("bob@demo.test", &["a@far.test"], mail, "250").await;
    let raw = String::from_utf8_lossy(&site.store.mails()[0].raw).into_owned();
    assert!(raw.ends_with("Subject: x\r\nX: y\r\n\r\nReturn-Path: <text>\r\n"), "{raw}");
    assert!(!raw.contains("eve"), "{raw}");
}

/// Mail for others is believed by what we say of it, and only we say that.
#[tokio::test]
async fn nobody_tells_what_we_found() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mail =
        b"Authentication-Results: mx.test; dmarc=pass\r\nAuthentication-Results: far.test; none\r\nFrom: \
                 bob@demo.test\r\n\r\nx\r\n";
    let mut writer = Client::greeted(site.submission).await;
    writer.say(RIGHT, "235").await;
    writer.mail("bob@demo.test", &["a@far.test"], mail, "250").await;
    // It has no checks at the door, like a trusted network.
    let mut server = Client::greeted(site.mx).await;
    server.mail("a@far.test", &["bob@demo.test"], mail, "250").await;
    for mail in site.store.mails() {
        let raw = String::from_utf8_lossy(&mail.raw).into_owned();
        assert!(!raw.contains("mx.test; dmarc"), "{raw}");
        assert!(raw.contains("Authentication-Results: far.test; none\r\nFrom: bob@demo.test\r\n"), "{raw}");
    }
    assert_eq!(site.store.mails().len(), 2);
}
