//! What a client may ask for, on its way to whoever has the mail.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use types::{DeliverBy, Late, Notify, OriginalRecipient, Priority, RecipientTerms, Ret, Terms};

use crate::client::Client;
use crate::store::{NOW, Options, Site};

const LOGIN: &str = "AUTH PLAIN AGJvYkBkZW1vLnRlc3QAbWFncGllLWRlbW8=";

#[tokio::test]
async fn what_is_asked_for_a_mail_travels_with_it() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mut client = Client::greeted(site.submission).await;
    client.say(LOGIN, "235").await;
    client
        .say(
            "MAIL FROM:<bob@demo.test> RET=FULL ENVID=Q+2B1 BY=120;NT MT-PRIORITY=2 HOLDFOR=60 SMTPUTF8",
            "250",
        )
        .await;
    client.say("RCPT TO:<x@far.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;X@far.test", "250").await;
    client.say("RCPT TO:<y@far.test>", "250").await;
    client.say("BDAT 0 LAST", "250").await;
    let mail = site.store.mails().remove(0);
    let deliver_by = DeliverBy { at: NOW.plus(Duration::from_secs(120)), late: Late::Notify, trace: true };
    assert_eq!(
        mail.terms,
        Terms {
            ret: Some(Ret::Full),
            envelope_id: Some("Q+1".into()),
            require_tls: false,
            utf8: true,
            tls_optional: false,
            priority: Priority::new(2).unwrap(),
            deliver_by: Some(deliver_by),
        }
    );
    let original = OriginalRecipient { kind: "rfc822".into(), address: "X@far.test".into() };
    let notify = Notify { success: true, failure: false, delay: true };
    let first = RecipientTerms { notify: Some(notify), original: Some(original) };
    assert_eq!(mail.asked, [first, RecipientTerms::default()]);
    assert_eq!(mail.not_before, Some(NOW.plus(Duration::from_secs(60))));
}

#[tokio::test]
async fn tls_is_required_under_tls_only() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    client.say("MAIL FROM:<a@far.test> REQUIRETLS", "555").await;
    client.say("MAIL FROM:<a@far.test> HOLDFOR=60", "555").await;
    client.say("STARTTLS", "220").await;
    let mut client = client.secured(&site.root).await;
    client.say("EHLO x", "250").await;
    client.say("MAIL FROM:<a@far.test> REQUIRETLS", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    client.say("BDAT 0 LAST", "250").await;
    assert!(site.store.mails()[0].terms.require_tls);
}

#[tokio::test]
async fn sizes_are_refused_as_soon_as_they_are_known() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mut client = Client::greeted(site.mx).await;
    let large = "x".repeat(70) + "\r\n";
    let large = large.repeat(100);
    client.say("MAIL FROM:<a@far.test> SIZE=7200", "250").await;
    client.say("RCPT TO:<dave@demo.test>", "552 5.3.4").await;
    client.say("RCPT TO:<carol@demo.test>", "452 4.2.2").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    client.say("RSET", "250").await;
    // What was not said before is told at the end.
    client.mail("a@far.test", &["dave@demo.test"], large.as_bytes(), "552 5.3.4").await;
    client.mail("a@far.test", &["carol@demo.test"], large.as_bytes(), "452 4.2.2").await;
    client.mail("a@far.test", &["bob@demo.test", "dave@demo.test"], large.as_bytes(), "552").await;
    assert_eq!(site.store.mails().len(), 0);
    client.mail("a@far.test", &["bob@demo.test", "carol@demo.test"], large.as_bytes(), "250").await;

    let mut client = Client::greeted(site.submission).await;
    client.say(LOGIN, "235").await;
    client.say("MAIL FROM:<bob@demo.test> SIZE=20001", "552 5.3.4").await;
}

#[tokio::test]
async fn any_bytes_become_lines() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::greeted(site.mx).await;
    let head = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n";
    let content = [&head[..], b"a\nb\rc\0\r\n.\r\nd"].concat();
    client.say("MAIL FROM:<a@far.test> BODY=BINARYMIME", "250").await;
    client.say("RCPT TO:<bob@demo.test>", "250").await;
    client.send(format!("BDAT {} LAST\r\n", content.len()).as_bytes()).await;
    client.send(&content).await;
    client.expect("250").await;
    let raw = String::from_utf8(site.store.mails()[0].raw.to_vec()).unwrap();
    let encoded = STANDARD.encode(b"a\nb\rc\0\r\n.\r\nd");
    assert!(raw.ends_with(&format!("Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n")), "{raw}");
}

#[tokio::test]
async fn lmtp_answers_for_each() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::open(site.lmtp).await;
    client.expect("220 mx.test LMTP Magpie").await;
    client.say("EHLO x", "500").await;
    client.say("LHLO x", "250").await;
    client.say("MAIL FROM:<a@far.test>", "250").await;
    for to in ["bob", "dave", "carol"] {
        client.say(&format!("RCPT TO:<{to}@demo.test>"), "250").await;
    }
    client.say("RCPT TO:<nobody@demo.test>", "550").await;
    client.say("DATA", "354").await;
    let line = "x".repeat(70) + "\r\n";
    client.send(line.repeat(50).as_bytes()).await;
    client.send(b".\r\n").await;
    client.expect("250 2.0.0 Accepted").await;
    client.expect("552 5.3.4").await;
    client.expect("250 2.0.0 Accepted").await;
    let mail = site.store.mails().remove(0);
    assert_eq!(mail.to, ["bob@demo.test", "carol@demo.test"]);
    let raw = String::from_utf8_lossy(&mail.raw).into_owned();
    assert!(raw.contains("by mx.test with LMTP id "), "{raw}");
    client.mail("down@far.test", &["bob@demo.test", "carol@demo.test"], b"x\r\n", "451").await;
    client.expect("451").await;
    client.say("NOOP", "250").await;
}

#[tokio::test]
async fn lmtp_on_a_socket_of_this_machine() {
    let site = Site::start(Options::default()).await;
    let mut client = Client::local(&site.socket).await;
    client.expect("220 mx.test LMTP Magpie").await;
    client.say("LHLO x", "250").await;
    client.say("STARTTLS", "502").await;
    client.mail("a@far.test", &["bob@demo.test"], b"x\r\n", "250").await;
    client.say("QUIT", "221").await;
    client.expect_end().await;
    assert_eq!(site.store.mails().len(), 1);
    site.server.shutdown(Duration::from_secs(5)).await;
}

/// The client's side of RFC 5802 §3.
fn proof(server_first: &str, bare: &str, header: &[u8]) -> String {
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let sign =
        |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let (salt, cost) = (STANDARD.decode(part("s=")).unwrap(), part("i=").parse().unwrap());
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, cost, &salt, b"magpie-demo", &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let without_proof = format!("c={},r={}", STANDARD.encode(header), part("r="));
    let message = format!("{bare},{server_first},{without_proof}");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), message.as_bytes());
    let proof: Vec<_> = client_key.iter().zip(signature).map(|(key, mask)| key ^ mask).collect();
    STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof)))
}

#[tokio::test]
async fn a_login_is_bound_to_its_connection() {
    let site = Site::start(Options::default()).await;
    for (implicit, lies) in [(true, false), (false, false), (true, true)] {
        let mut client = if implicit {
            let mut client = Client::open(site.submissions).await.secured(&site.root).await;
            client.expect("220").await;
            client
        } else {
            let mut client = Client::greeted(site.submission).await;
            client.say("STARTTLS", "220").await;
            client.secured(&site.root).await
        };
        client.say("EHLO x", "250 AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN").await;
        let (flag, bare) = ("p=tls-exporter,,", "n=bob@demo.test,r=client-nonce");
        let first = STANDARD.encode(format!("{flag}{bare}"));
        let answer = client.say(&format!("AUTH SCRAM-SHA-256-PLUS {first}"), "334 ").await;
        let server_first = String::from_utf8(STANDARD.decode(&answer[4..]).unwrap()).unwrap();
        let mut binding = client.binding();
        binding[0] ^= u8::from(lies);
        let last = proof(&server_first, bare, &[flag.as_bytes(), &binding].concat());
        if lies {
            client.say(&last, "535 5.7.8").await;
            assert_eq!(site.store.blamed.lock().unwrap().len(), 1);
            continue;
        }
        client.say(&last, "334 ").await;
        client.say("", "235").await;
        client.say("MAIL FROM:<bob@demo.test>", "250").await;
        assert!(site.store.blamed.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn tokens_log_in() {
    let site = Site::start(Options { allow_cleartext: true, ..Options::default() }).await;
    let mut client = Client::greeted(site.submission).await;
    let token = |token: &str| STANDARD.encode(format!("n,a=bob@demo.test,\x01auth=Bearer {token}\x01\x01"));
    client.say(&format!("AUTH OAUTHBEARER {}", token("stolen")), "334 ").await;
    client.say("AQ==", "535 5.7.8").await;
    client.say(&format!("AUTH OAUTHBEARER {}", token("t0ken")), "235").await;
    client.say("MAIL FROM:<bob@demo.test>", "250").await;
}
