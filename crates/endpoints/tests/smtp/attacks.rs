//! Clients that want more than to send mail.

use crate::client::Client;
use crate::store::{Options, Site};

/// RFC 5321 §2.3.8: what others might take for the end of a mail, and what follows as a mail of its own.
const ENDS: [&str; 11] = [
    "\n.\n",
    "\r\n.\n",
    "\n.\r\n",
    "\r.\r",
    "\r\n.\r",
    "\r.\r\n",
    "\n.\r",
    "\r.\n",
    "\r\n.\r\r\n",
    "\n\n.\n\n",
    "\r\n\0.\r\n",
];

#[tokio::test]
async fn nothing_is_smuggled() {
    let site = Site::start(Options::default()).await;
    for end in ENDS {
        let mut client = Client::greeted(site.mx).await;
        let smuggled = "MAIL FROM:<admin@demo.test>\r\nRCPT TO:<carol@demo.test>\r\nDATA\r\nSubject: no\r\n";
        client.say("MAIL FROM:<a@far.test>", "250").await;
        client.say("RCPT TO:<bob@demo.test>", "250").await;
        client.say("DATA", "354").await;
        client.send(format!("Subject: x\r\n\r\nHello{end}{smuggled}.\r\n").as_bytes()).await;
        client.expect("554 5.6.0").await;
        drop(client);
    }
    assert!(site.store.mails().iter().all(|mail| mail.from != "admin@demo.test"));
    assert!(site.store.mails().is_empty());
}

#[tokio::test]
async fn what_is_injected_before_tls_is_never_carried_out() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.submission).await;
    client.send(b"STARTTLS\r\nAUTH PLAIN AGJvYkBkZW1vLnRlc3QAbWFncGllLWRlbW8=\r\n").await;
    client.expect("554 5.7.0").await;
    client.expect_hang_up().await;

    // What was said in clear text is forgotten: the transaction, the name, everything.
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<evil@far.test>", "250").await;
    client.say("RSET", "250").await;
    client.say("STARTTLS", "220").await;
    let mut client = client.secured(&site.root).await;
    client.say("MAIL FROM:<a@far.test>", "503 5.5.1 EHLO comes first").await;
}

#[tokio::test]
async fn requests_of_other_protocols_end_at_once() {
    let site = Site::start(Options::default()).await;
    for request in
        ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /x HTTP/1.1\r\nMAIL FROM:<a@b.c>\r\n", "SSH-2.0-x\r\n"]
    {
        let mut client = Client::open(site.mx).await;
        client.expect("220").await;
        client.send(request.as_bytes()).await;
        let reply = client.reply().await;
        assert!(reply.starts_with('5'), "{reply}");
        client.expect_hang_up().await;
    }
}

#[tokio::test]
async fn garbage_is_answered_until_it_is_enough() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::open(site.mx).await;
    client.expect("220").await;
    for line in 0..10_u8 {
        let byte = |n: u8| n.wrapping_mul(31).wrapping_add(line);
        let garbage: Vec<u8> = (0..=255).map(byte).filter(|byte| !b"\r\n".contains(byte)).collect();
        client.send(&[&b"\xff"[..], &garbage, b"\r\n"].concat()).await;
        client.expect("500").await;
        if line == 0 {
            // What begins like that is no SMTP.
            client = Client::greeted(site.mx).await;
        }
    }
    client.say("QUIT", "221").await;
    assert!(site.store.mails().is_empty());
}

#[tokio::test]
async fn thousands_of_recipients_are_cut_off() {
    let limits = smtp::Limits { recipients: 100, ..smtp::Limits::default() };
    let site = Site::start(Options { limits, ..Options::default() }).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    let mut burst = String::new();
    (0..3_000).for_each(|_| burst.push_str("RCPT TO:<bob@demo.test>\r\n"));
    let (mut taken, mut refused) = (0, 0);
    for part in burst.as_bytes().chunks(250 * 25) {
        client.send(part).await;
        for _ in 0..part.len() / 25 {
            match client.reply().await {
                reply if reply.starts_with("250") => taken += 1,
                reply if reply.starts_with("452 4.5.3") => refused += 1,
                reply => panic!("{reply}"),
            }
        }
    }
    assert_eq!((taken, refused), (100, 2_900));
    client.say("BDAT 0 LAST", "250").await;
    assert_eq!(site.store.mails()[0].to, ["bob@demo.test"], "once is enough");
}

#[tokio::test]
async fn chunks_of_wrong_lengths_harm_nobody_else() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    // Too short: what is left of the content is taken for commands, and they are none.
    client.send(b"BDAT 5 LAST\r\nHelloRCPT nonsense\r\n").await;
    client.expect("250 2.0.0 Accepted").await;
    client.expect("501").await;
    // Too long: the commands behind it are content.
    client.say("MAIL FROM:<a@far.test>", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    client.send(b"BDAT 13 LAST\r\nHello\r\nQUIT\r\n").await;
    client.expect("250 2.0.0 Accepted").await;
    for size in ["-1", "1x", "99999999999999999999", ""] {
        let mut client = Client::greeted(site.mx).await;
        client.send(format!("BDAT {size} LAST\r\nQUIT\r\n").as_bytes()).await;
        let reply = client.reply().await;
        assert!(reply.starts_with('5'), "{reply}");
        client.expect_hang_up().await;
    }
}
