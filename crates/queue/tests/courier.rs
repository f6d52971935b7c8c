//! Delivery to scripted SMTP servers.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use bytes::Bytes;
use queue::courier::Deadline;
use queue::{
    Caller, Courier, Envelope, Handover, Login, Outcome, Reuse, Security, SmtpConfig, SmtpCourier, Target,
    Timeouts, Way,
};
use testkit::{
    Script, Sink, fixtures,
    sink::{FINAL_DOT, GREETING},
};
use types::{Late, Notify, OriginalRecipient, Priority, RecipientTerms, Ret, Terms};

fn courier() -> Result<SmtpCourier> {
    let short = Duration::from_millis(300);
    let timeouts = Timeouts { connect: short, command: short, data_block: short, data_done: short };
    Ok(SmtpCourier::new(SmtpConfig { timeouts, ..SmtpConfig::new("mx.magpie.test") })?)
}

fn envelope(from: &str, to: &[&str], body: &[u8]) -> Result<Envelope> {
    Ok(Envelope {
        return_path: if from.is_empty() { None } else { Some(from.parse()?) },
        recipients: to.iter().map(|to| to.parse()).collect::<Result<_, _>>()?,
        body: Bytes::copy_from_slice(body),
        ..Envelope::default()
    })
}

fn target(sink: &Sink) -> Target {
    Target::new("sink.test", sink.address())
}

async fn deliver(sinks: &[&Sink], envelope: &Envelope) -> Result<Vec<String>> {
    deliver_by(&courier()?, sinks, envelope).await
}

async fn outcomes(courier: &SmtpCourier, targets: Vec<Target>, envelope: &Envelope) -> Result<Outcomes> {
    Ok(match courier.deliver(&Way::to(targets), envelope).await {
        Handover::Answered { outcomes, .. } => outcomes,
        Handover::Away { reply, .. } => {
            envelope.recipients.iter().map(|to| (to.clone(), reply.clone().into_outcome())).collect()
        }
        Handover::Unloaded => anyhow::bail!("not loaded"),
    })
}

type Outcomes = Vec<(types::EmailAddress, Outcome)>;

async fn deliver_by(courier: &SmtpCourier, sinks: &[&Sink], envelope: &Envelope) -> Result<Vec<String>> {
    let targets = sinks.iter().map(|sink| target(sink)).collect::<Vec<_>>();
    let outcomes = outcomes(courier, targets, envelope).await?;
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
        Target::new("gone.test", gone.address())
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
        let envelope = envelope("", BOB, b"Subject: x\r\n\r\n")?;
        let outcomes = outcomes(&courier()?, targets.to_vec(), &envelope).await?;
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

/// RFC 6531 §3.5, §3.6.
#[tokio::test]
async fn headers_that_need_smtputf8_are_for_hosts_that_have_it() -> Result<()> {
    let refused = "b failed 550 5.6.9 The server does not take headers like this mail's (SMTPUTF8)";
    for (subject, utf8, extensions, from) in [
        ("한글", true, &["SMTPUTF8"][..], Some("<a@demo.test> SMTPUTF8")),
        ("한글", true, &[], None),
        ("Hello", true, &[], Some("<a@demo.test>")),
        // As other servers take it, asked or not.
        ("한글", false, &[], Some("<a@demo.test>")),
        ("한글", false, &["SMTPUTF8"], Some("<a@demo.test> SMTPUTF8")),
    ] {
        let sink = Sink::start(Script::default().extensions(extensions)).await?;
        let mail = format!("Subject: {subject}\r\n\r\nHello\r\n");
        let mut sent = envelope("a@demo.test", &["b@there.test"], mail.as_bytes())?;
        sent.terms.utf8 = utf8;
        let wanted = if from.is_some() { "b delivered 250 2.0.0 Ok: kept" } else { refused };
        assert_eq!(deliver(&[&sink], &sent).await?, [wanted], "{subject} {utf8}");
        let received: Vec<_> = sink.received().into_iter().map(|mail| mail.from).collect();
        assert_eq!(received, from.map(str::to_owned).as_slice(), "{subject} {utf8}");
    }
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

#[tokio::test]
async fn the_next_mail_goes_over_the_same_connection() -> Result<()> {
    for extensions in [&["PIPELINING"][..], &["PIPELINING", "CHUNKING"], &["STARTTLS", "PIPELINING"], &[]] {
        let sink = Sink::start(Script::default().extensions(extensions)).await?;
        let courier = courier()?;
        for n in 0..5 {
            let sent = envelope("a@demo.test", BOB, format!("Subject: {n}\r\n\r\n.\r\n").as_bytes())?;
            assert_eq!(deliver_by(&courier, &[&sink], &sent).await?, ["bob delivered 250 2.0.0 Ok: kept"]);
        }
        assert_eq!(sink.connections(), 1, "{extensions:?}");
        let subjects = sink.received().into_iter().map(|mail| String::from_utf8(mail.data));
        let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
        let expected = (0..5).map(|n| format!("Subject: {n}\r\n\r\n.\r\n")).collect::<Vec<_>>();
        assert_eq!(subjects, expected, "{extensions:?}");
        let resets = sink.commands().iter().filter(|command| *command == "RSET").count();
        assert_eq!(resets, 4, "{extensions:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_serves_so_many_mails_and_no_other_place() -> Result<()> {
    let sink = Sink::start(Script::default()).await?;
    let reuse = Reuse { messages: 2, ..Reuse::default() };
    let courier = SmtpCourier::new(SmtpConfig { reuse, ..SmtpConfig::new("mx.magpie.test") })?;
    let sent = envelope("a@demo.test", BOB, b"Subject: x\r\n\r\n")?;
    for _ in 0..5 {
        deliver_by(&courier, &[&sink], &sent).await?;
    }
    assert_eq!(sink.connections(), 3);
    for target in [
        Target { security: Security::Plain, ..target(&sink) },
        Target { host: "other.test".to_owned(), ..target(&sink) },
    ] {
        outcomes(&courier, vec![target], &sent).await?;
    }
    assert_eq!(sink.connections(), 5);
    outcomes(&courier, vec![Target { preference: 7, ..target(&sink) }], &sent).await?;
    assert_eq!(sink.connections(), 5, "how preferred it is does not matter");

    let none = Reuse { connections: 0, ..Reuse::default() };
    let courier = SmtpCourier::new(SmtpConfig { reuse: none, ..SmtpConfig::new("mx.magpie.test") })?;
    for _ in 0..2 {
        deliver_by(&courier, &[&sink], &sent).await?;
    }
    assert_eq!(sink.connections(), 7);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_nothing_but_another() -> Result<()> {
    // Seen at once, seen at RSET, told at RSET.
    for script in [
        Script::default().last(FINAL_DOT),
        Script::default().close("RSET"),
        Script::default().reply("RSET", "421 4.4.2 Idle for too long"),
    ] {
        let sink = Sink::start(script).await?;
        let courier = courier()?;
        let sent = envelope("a@demo.test", BOB, b"Subject: x\r\n\r\n")?;
        for _ in 0..3 {
            assert_eq!(deliver_by(&courier, &[&sink], &sent).await?, ["bob delivered 250 2.0.0 Ok: kept"]);
        }
        assert_eq!(sink.received().len(), 3);
    }
    Ok(())
}

#[tokio::test]
async fn chunks_go_at_once_or_after_their_recipients() -> Result<()> {
    let script = Script::default().extensions(&["PIPELINING", "CHUNKING", "8BITMIME"]);
    let small = b"Subject: x\n\n.\nend".to_vec();
    let large = fixtures::mail_with_attachment("a@x.y", "b@x.y", "x", &[7; 300_000]);
    for (mail, expected) in [(&small, &b"Subject: x\r\n\r\n.\r\nend"[..]), (&large, &large)] {
        let sink = Sink::start(script.clone()).await?;
        let sent = envelope("a@demo.test", BOB, mail)?;
        assert_eq!(deliver(&[&sink], &sent).await?, ["bob delivered 250 2.0.0 Ok: kept"]);
        assert!(sink.received()[0].data == expected);
        assert!(!sink.commands().iter().any(|command| command == "DATA"));
    }
    let refusing = script.reply("RCPT", "550 5.1.1 No such user");
    let sink = check(refusing, BOB, &["bob failed 550 5.1.1 No such user"]).await?;
    assert!(sink.received().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_chunk_that_got_no_answer_is_not_sent_elsewhere() -> Result<()> {
    let script = Script::default().extensions(&["PIPELINING", "CHUNKING"]).close(FINAL_DOT);
    let (first, second) = (Sink::start(script).await?, Sink::start(Script::default()).await?);
    let sent = envelope("", BOB, b"Subject: x\r\n\r\n")?;
    let told = deliver(&[&first, &second], &sent).await?;
    assert_eq!(told, ["bob deferred 450 4.4.2 sink.test closed the connection"]);
    assert!(second.received().is_empty());
    Ok(())
}

#[tokio::test]
async fn data_that_nobody_may_have_is_taken_back() -> Result<()> {
    // A host that wants data although it accepted nobody.
    let script = Script::default().reply("RCPT TO:<nobody", "550 5.1.1 No").reply("DATA", "354 Go on");
    let sink = Sink::start(script).await?;
    let courier = courier()?;
    let sent = envelope("a@demo.test", &["nobody@there.test"], b"Subject: x\r\n\r\n")?;
    assert_eq!(deliver_by(&courier, &[&sink], &sent).await?, ["nobody failed 550 5.1.1 No"]);
    Ok(())
}

#[tokio::test]
async fn an_address_that_does_not_answer_costs_a_moment() -> Result<()> {
    let sink = Sink::start(Script::default()).await?;
    // Nobody is there: packets to it go nowhere, or are refused.
    let nowhere = Target::new("sink.test", "[100::1]:25".parse()?);
    let sent = envelope("a@demo.test", BOB, b"Subject: x\r\n\r\n")?;
    let patient = SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?;
    let outcomes = outcomes(&patient, vec![nowhere, target(&sink)], &sent);
    let outcomes = tokio::time::timeout(Duration::from_secs(5), outcomes).await??;
    assert!(matches!(outcomes[0].1, Outcome::Delivered(_)));
    Ok(())
}

#[tokio::test]
async fn relays_are_told_who_we_are_over_tls_only() -> Result<()> {
    let caller = Caller {
        hello: Some("out.magpie.test".to_owned()),
        sources: vec!["127.0.0.77".parse()?],
        login: Some(Login { user: "u".to_owned(), password: "p".to_owned().into() }),
        tls_at_once: false,
    };
    let extensions = ["STARTTLS", "AUTH PLAIN LOGIN", "PIPELINING"];
    let secured = Script::default().extensions(&extensions);
    for (script, delivered) in [
        (secured.clone(), true),
        (secured.reply("AUTH", "535 5.7.8 No"), false),
        (Script::default().extensions(&extensions[1..]), false),
    ] {
        let sink = Sink::start(script).await?;
        let way = Way { caller: Arc::new(caller.clone()), ..Way::to(vec![target(&sink)]) };
        let sent = envelope("a@demo.test", BOB, b"Subject: x\r\n\r\n")?;
        match courier()?.deliver(&way, &sent).await {
            Handover::Answered { .. } => assert!(delivered),
            Handover::Away { reply, .. } => {
                assert!(!delivered);
                assert_eq!((reply.code, reply.status().as_str()), (450, "4.7.8"), "{reply}");
            }
            Handover::Unloaded => anyhow::bail!("not loaded"),
        }
        if delivered {
            let received = sink.received().remove(0);
            assert_eq!(
                (received.helo.as_str(), received.login.as_deref()),
                ("out.magpie.test", Some("AHUAcA=="))
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_the_sender_asks_goes_on_where_it_is_understood() -> Result<()> {
    let mut sent = envelope("a@demo.test", &["bob@there.test", "eve@there.test"], b"Subject: x\r\n\r\n")?;
    sent.terms = Terms {
        ret: Some(Ret::Headers),
        envelope_id: Some("QQ+1".to_owned()),
        priority: Priority::new(3).unwrap_or_default(),
        ..Terms::default()
    };
    sent.by = Some(Deadline { seconds: 90, late: Late::Notify, trace: true });
    let original = OriginalRecipient { kind: "rfc822".to_owned(), address: "list@demo.test".to_owned() };
    let notify = Notify { success: true, failure: true, delay: false };
    let wishes = RecipientTerms { notify: Some(notify), original: Some(original) };
    sent.wishes = vec![("bob@there.test".parse()?, wishes)];
    let able = Script::default().extensions(&["DSN", "MT-PRIORITY", "DELIVERBY"]);
    let sink = Sink::start(able).await?;
    deliver(&[&sink], &sent).await?;
    let received = sink.received().remove(0);
    assert_eq!(received.from, "<a@demo.test> RET=HDRS ENVID=QQ+2B1 MT-PRIORITY=3 BY=90;NT");
    assert_eq!(
        received.recipients,
        ["<bob@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;list@demo.test", "<eve@there.test>"]
    );
    let sink = Sink::start(Script::default().extensions(&[])).await?;
    deliver(&[&sink], &sent).await?;
    assert_eq!(sink.received()[0].from, "<a@demo.test>");

    sent.by = Some(Deadline { seconds: 90, late: Late::Return, trace: false });
    let told = deliver(&[&sink], &sent).await?;
    assert!(told[0].starts_with("bob failed 550 5.3.3 "), "{told:?}");
    sent.terms.require_tls = true;
    let told = deliver(&[&sink], &sent).await?;
    assert!(told[0].starts_with("bob failed 550 5.7.10 "), "{told:?}");
    Ok(())
}
