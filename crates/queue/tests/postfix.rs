//! Delivery to Postfix' `smtp-sink`, found through DNS.

use anyhow::Result;
use queue::{Courier, DnsRouter, Envelope, Handover, Outcome, Router, Routing, SmtpConfig, SmtpCourier};
use testkit::{SmtpSink, Zone, fixtures};

async fn check(options: &[&str], shown: &str) -> Result<()> {
    let Some(sink) = SmtpSink::start(options).await? else {
        return Ok(());
    };
    let zone = Zone::start().await?;
    zone.mx("there.test", 10, "mx.there.test")?.host("mx.there.test", sink.address().ip())?;
    let router = DnsRouter::new(Routing {
        resolver: Some(zone.address()),
        port: sink.address().port(),
        allow_private_targets: true,
        ..Routing::default()
    })?;
    let courier = SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?;
    let text = ".\n..two dots\n.\n안녕하세요\n\nend";
    let mail = fixtures::mail("alice@demo.test", "bob@there.test", "Hello", text);
    let envelope = Envelope {
        return_path: Some("alice@demo.test".parse()?),
        recipients: vec!["bob@there.test".parse()?, "carol@there.test".parse()?],
        body: mail.clone().into(),
        ..Envelope::default()
    };
    let way = router.route("there.test", 1).await.map_err(|reply| anyhow::anyhow!("{reply}"))?;
    let outcomes = match courier.deliver(&way, &envelope).await {
        Handover::Answered { outcomes, .. } => outcomes,
        Handover::Away { reply, .. } => {
            envelope.recipients.iter().map(|to| (to.clone(), reply.clone().into_outcome())).collect()
        }
        Handover::Unloaded => anyhow::bail!("not loaded"),
    };
    for (to, outcome) in &outcomes {
        let kind = match outcome {
            Outcome::Delivered(_) => "delivered",
            Outcome::Deferred(_) => "deferred",
            Outcome::Failed(_) => "failed",
        };
        assert_eq!(kind, shown, "{to}: {}", outcome.reply());
    }
    assert_eq!(outcomes.len(), 2);
    if shown != "delivered" {
        return Ok(());
    }
    let taken = sink.mails()?;
    assert_eq!(taken.len(), 1);
    for taken in taken {
        let sent = String::from_utf8(mail.clone())?.replace("\r\n", "\n");
        assert!(taken.contains(&sent), "{taken}");
        assert!(taken.contains("X-Rcpt-Args: <bob@there.test>\nX-Rcpt-Args: <carol@there.test>"), "{taken}");
    }
    Ok(())
}

#[tokio::test]
async fn postfix_takes_what_we_send() -> Result<()> {
    check(&[], "delivered").await
}

#[tokio::test]
async fn postfix_takes_it_without_extensions() -> Result<()> {
    check(&["-e"], "delivered").await?;
    check(&["-p"], "delivered").await
}

#[tokio::test]
async fn postfix_refuses_for_now_and_for_good() -> Result<()> {
    check(&["-r", "rcpt"], "deferred").await?;
    check(&["-f", "rcpt"], "failed").await?;
    check(&["-r", "."], "deferred").await?;
    check(&["-q", "data"], "deferred").await
}
