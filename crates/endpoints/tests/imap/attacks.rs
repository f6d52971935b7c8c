//! Clients that mean harm, or are broken.

use super::client::Site;

#[tokio::test]
async fn attacks_are_refused_and_the_service_goes_on() {
    let site = Site::start().await;
    let mut alice = site.alice().await;
    alice.ask("SELECT INBOX").await;
    let last = |lines: Vec<String>| lines.last().unwrap().clone();
    let nested = format!("SEARCH {}ALL{}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(last(alice.ask(&nested).await).starts_with("t BAD"));
    let many = format!("FETCH {} UID", vec!["1"; 30_000].join(","));
    assert!(last(alice.ask(&many).await).starts_with("t BAD"));
    assert!(last(alice.ask("SELECT &bad").await).starts_with("t BAD"));
    assert!(last(alice.ask("APPEND INBOX {99999999}").await).starts_with("t NO [TOOBIG]"));
    assert!(last(alice.ask("APPEND INBOX {4+}\r\n\0\u{1}(\\").await).starts_with("t OK [APPENDUID"));
    assert_eq!(last(alice.ask("FETCH 4294967295:* UID").await), "t BAD There is no message of that number");
    assert_eq!(last(alice.ask("UID FETCH 4294967295:* UID").await), "t OK Fetched");
    let broken = alice.ask("FETCH * (ENVELOPE BODYSTRUCTURE BODY[] BODY[9.9.MIME] BINARY.SIZE[1])").await;
    assert!(broken.len() == 2 && broken[1] == "t OK Fetched", "{broken:?}");
    assert_eq!(
        alice.ask("APPEND INBOX {99999999+}").await[0],
        "* BYE [TOOBIG] The line or the literal is too long"
    );

    let mut mallory = site.client().await;
    mallory.send(&[b'x'; 16 * 1_024 + 1]).await;
    assert_eq!(mallory.line().await, "* BYE [TOOBIG] The line or the literal is too long");
    let mut flood = site.client().await;
    assert!(flood.ask("LOGIN {5000}").await[0].starts_with("t NO [TOOBIG]"));

    for user in ["alice@demo.test", "nobody@demo.test", "x"] {
        let mut guess = site.client().await;
        let refused = guess.ask(&format!("LOGIN {user} wrong")).await;
        assert_eq!(refused, ["t NO [AUTHENTICATIONFAILED] Wrong user or password"]);
    }
    site.alice().await;
}

#[tokio::test]
async fn large_messages_come_out_as_they_went_in() {
    let site = Site::start().await;
    let mut alice = site.alice().await;
    let attachment: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    let mail = testkit::fixtures::mail_with_attachment("x@y.test", "alice@demo.test", "File", &attachment);
    alice.send(format!("t APPEND INBOX {{{}+}}\r\n", mail.len()).as_bytes()).await;
    alice.send(&mail).await;
    alice.send(b"\r\n").await;
    assert!(alice.line().await.starts_with("t OK [APPENDUID"));
    alice.ask("SELECT INBOX").await;
    let text = String::from_utf8(mail.clone()).unwrap().replace("\r\n", "\\r\\n");
    let whole = alice.ask("FETCH 1 BODY.PEEK[]").await;
    assert_eq!(whole[0], format!("* 1 FETCH (BODY[] {{{}}}{text})", mail.len()));
    let part = alice.ask("FETCH 1 (BODY.PEEK[]<5.70000> UID)").await;
    let piece = String::from_utf8(mail[5..70_005].to_vec()).unwrap().replace("\r\n", "\\r\\n");
    assert_eq!(part[0], format!("* 1 FETCH (BODY[]<5> {{70000}}{piece} UID 1)"));
    let size = alice.ask("FETCH 1 BINARY.SIZE[2]").await;
    assert_eq!(size[0], "* 1 FETCH (BINARY.SIZE[2] 300000)");
}
