//! Delivery to scripted SMTP servers.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use queue::{Courier, Envelope, Outcome, SmtpConfig, SmtpCourier, Target, Timeouts};
use testkit::{
    Script, Sink, fixtures,
    sink::{FINAL_DOT, GREETING},
};

fn courier() -> Result<SmtpCourier> {
    let short = Duration::from_millis(300);
    let timeouts = Timeouts { connect: short, command: short, data_block: short, data_done: short };
    Ok(SmtpCourier::new(SmtpConfig { hello: "mx.magpie.test".to_owned(), timeouts })?)
}

fn envelope(from: &str, to: &[&str], body: &[u8]) -> Result<Envelope> {
    Ok(Envelope {
        return_path: if from.is_empty() { None } else { Some(from.parse()?) },
        recipients: to.iter().map(|to| to.parse()).collect::<Result<_, _>>()?,
        body: Bytes::copy_from_slice(body),
    })
}

fn target(sink: &Sink) -> Target {
    Target { host: "sink.test".to_owned(), address: sink.address() }
}

async fn deliver(sinks: &[&Sink], envelope: &Envelope) -> Result<Vec<String>> {
    let targets = sinks.iter().map(|sink| target(sink)).collect::<Vec<_>>();
    let outcomes = courier()?.deliver(&targets, envelope).await;
    let mut outcomes = outcomes.into_iter().map(shown).collect::<Vec<_>>();
    outcomes.sort();
    Ok(outcomes)
}

fn shown((to, outcome): (types::EmailAddress, Outcome)) -> String {
    let kind = match &outcome {
        Outcome::Delivered(_) => "delivered",
        Outcome::Deferred(_) => "deferred",
        Outcome::Failed(_) => "failed",
    };
    format!("{} {kind} {}", to.local(), outcome.reply())
}

async fn check(script: Script, to: &[&str], expected: &[&str]) -> Result<Sink> {
    let sink = Sink::start(script).await?;
    let mail = fixtures::mail("alice@demo.test", "bob@there.test", "Hello", "text");
    assert_eq!(deliver(&[&sink], &envelope("alice@demo.test", to, &mail)?).await?, expected);
    Ok(sink)
}

const BOB: &[&str] = &["bob@there.test"];

#[tokio::test]
async fn a_mail_arrives_byte_for_byte() -> Result<()> {
    let sink = Sink::start(Script::default()).await?;
    let mut mail = fixtures::mail("a@demo.test", "b@there.test", "Dots", ".\n..\n.x\n\nend");
    mail.extend_from_slice(&fixtures::mail_with_attachment("a@x.y", "b@x.y", "x", &[7; 300_000]));
    let sent = envelope("a@demo.test", BOB, &mail)?;
    assert_eq!(deliver(&[&sink], &sent).await?, ["bob delivered 250 2.0.0 Ok: kept"]);
    let received = sink.received().remove(0);
    assert_eq!(received.helo, "mx.magpie.test");
    assert_eq!(received.from, format!("<a@demo.test> SIZE={}", mail.len()));
    assert_eq!(received.recipients, ["<bob@there.test>"]);
    assert!(received.data == mail && !received.tls);
    Ok(())
}

#[tokio::test]
async fn each_recipient_has_a_fate_of_its_own() -> Result<()> {
    let script = Script::default()
        .reply("RCPT TO:<nobody", "550-5.1.1 No such user\n550 5.1.1 here")
        .reply("RCPT TO:<busy", "450 4.2.1 Later");
    let to = ["bob@there.test", "nobody@there.test", "busy@there.test", "eve@there.test"];
    let expected = [
        "bob delivered 250 2.0.0 Ok: kept",
        "busy deferred 450 4.2.1 Later",
        "eve delivered 250 2.0.0 Ok: kept",
        "nobody failed 550 5.1.1 No such user\nhere",
    ];
    for extensions in [&["PIPELINING"][..], &[]] {
        let sink = check(script.clone().extensions(extensions), &to, &expected).await?;
        assert_eq!(sink.received()[0].recipients, ["<bob@there.test>", "<eve@there.test>"]);
        assert_eq!(sink.received()[0].from, "<alice@demo.test>");
        assert_eq!(sink.connections(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn refusals_and_breaks_are_told_apart() -> Result<()> {
    let base = Script::default;
    for (script, expected) in [
        (base().reply("MAIL", "550 5.7.1 Not you"), "bob failed 550 5.7.1 Not you"),
        (base().reply("MAIL", "451 4.7.1 Greylisted"), "bob deferred 451 4.7.1 Greylisted"),
        (base().reply("DATA", "554 5.6.0 Never"), "bob failed 554 5.6.0 Never"),
        (base().reply(FINAL_DOT, "554 5.7.1 Spam"), "bob failed 554 5.7.1 Spam"),
        (base().reply(FINAL_DOT, "452 4.3.1 Full"), "bob deferred 452 4.3.1 Full"),
        (base().reply(FINAL_DOT, "421 4.3.2 Closing"), "bob deferred 421 4.3.2 Closing"),
        (base().reply(GREETING, "554 5.3.2 No service"), "bob failed 554 5.3.2 No service"),
        (base().reply(GREETING, "421 4.3.2 Busy"), "bob deferred 421 4.3.2 Busy"),
        (base().close(FINAL_DOT), "bob deferred 450 4.4.2 sink.test closed the connection"),
        (base().close("RCPT"), "bob deferred 450 4.4.2 sink.test closed the connection"),
        (base().stall("MAIL"), "bob deferred 450 4.4.2 sink.test took too long to answer"),
        (base().stall(FINAL_DOT), "bob deferred 450 4.4.2 sink.test took too long to answer"),
        (base().reply("EHLO", "502 What?"), "bob delivered 250 2.0.0 Ok: kept"),
        (
            base().reply(GREETING, "hello there"),
            "bob deferred 450 4.5.0 sink.test does not speak SMTP: a line without a code",
        ),
    ] {
        let sink = check(script, BOB, &[expected]).await?;
        assert_eq!(sink.connections(), 1, "{expected}");
    }
    Ok(())
}

#[tokio::test]
async fn the_next_host_is_tried_only_while_nothing_was_handed_over() -> Result<()> {
    let refused = {
        let gone = Sink::start(Script::default()).await?;
        Target { host: "gone.test".to_owned(), address: gone.address() }
    };
    let base = Script::default;
    for (script, taken_by_second) in [
        (base().reply(GREETING, "421 4.3.2 Busy"), true),
        (base().reply(GREETING, "554 5.3.2 No"), true),
        (base().reply("RCPT", "421 4.3.2 Closing"), true),
        (base().reply("DATA", "421 4.3.2 Closing"), true),
        (base().close("MAIL"), true),
        (base().reply("RCPT", "550 5.1.1 No such user"), false),
        (base().reply("RCPT", "450 4.2.1 Later"), false),
        (base().close(FINAL_DOT), false),
    ] {
        let (first, second) = (Sink::start(script.clone()).await?, Sink::start(base()).await?);
        let targets = [refused.clone(), target(&first), target(&second)];
        let outcomes = courier()?.deliver(&targets, &envelope("", BOB, b"Subject: x\r\n\r\n")?).await;
        assert_eq!(outcomes.len(), 1);
        assert_eq!(second.received().len(), usize::from(taken_by_second), "{script:?}");
        assert_eq!(matches!(outcomes[0].1, Outcome::Delivered(_)), taken_by_second, "{script:?}");
    }
    Ok(())
}

#[tokio::test]
async fn tls_is_used_where_offered_and_done_without_where_broken() -> Result<()> {
    let script = Script::default().extensions(&["STARTTLS", "8BITMIME"]);
    let sink = check(script.clone(), BOB, &["bob delivered 250 2.0.0 Ok: kept"]).await?;
    assert!(sink.received()[0].tls);
    for broken in [script.clone().reply("STARTTLS", "454 4.7.0 No TLS today"), script.close("STARTTLS")] {
        let sink = check(broken, BOB, &["bob delivered 250 2.0.0 Ok: kept"]).await?;
        assert!(!sink.received()[0].tls);
        assert_eq!(sink.connections(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn addresses_that_need_smtputf8_are_for_hosts_that_have_it() -> Result<()> {
    let to = ["bob@there.test", "한글@there.test"];
    let sink = check(
        Script::default().extensions(&["8BITMIME"]),
        &to,
        &[
            "bob delivered 250 2.0.0 Ok: kept",
            "한글 failed 550 5.6.7 The server does not take addresses like this (SMTPUTF8)",
        ],
    )
    .await?;
    assert_eq!(sink.received()[0].from, "<alice@demo.test>");

    let able = Script::default().extensions(&["8BITMIME", "SMTPUTF8"]);
    let delivered = ["bob delivered 250 2.0.0 Ok: kept", "한글 delivered 250 2.0.0 Ok: kept"];
    let sink = check(able.clone(), &to, &delivered).await?;
    assert_eq!(sink.received()[0].from, "<alice@demo.test> SMTPUTF8");

    let sink = Sink::start(able).await?;
    let mail = fixtures::mail("a@demo.test", "b@there.test", "Hello", "안녕하세요");
    deliver(&[&sink], &envelope("a@demo.test", &["bob@한국.test"], &mail)?).await?;
    assert_eq!(sink.received()[0].from, "<a@demo.test> BODY=8BITMIME");
    assert_eq!(sink.received()[0].recipients, ["<bob@xn--3e0b707e.test>"]);
    Ok(())
}

#[tokio::test]
async fn a_mail_larger_than_announced_is_not_even_tried() -> Result<()> {
    let script = Script::default().extensions(&["SIZE 100"]);
    let text = format!(
        "bob failed 550 5.3.4 The mail has {} bytes, and its server takes at most 100",
        fixtures::mail("alice@demo.test", "bob@there.test", "Hello", "text").len()
    );
    let sink = check(script, BOB, &[&text]).await?;
    assert!(sink.received().is_empty());
    Ok(())
}
