//! What we report to other domains: counted at the door, sent when the day is over, and readable for those who get it.

use std::time::Duration;

use crate::support::{
    self, Plane, Server,
    door::{FRIEND, STRANGER, behind_proxy, bring, command_at, mail, with_sink},
    eventually, on_both_planes,
};
use base64::Engine as _;
use filter::report::{Findings, Report, Source, read};
use testkit::{HttpsServer, Script, Sink, Zone};
use types::Timestamp;

on_both_planes!(
    domains_hear_of_mail_in_their_names,
    domains_hear_of_connections_to_them,
    slow_names_keep_nobody_else_waiting,
    a_day_has_its_size,
    a_day_may_have_several_policies,
    reports_on_connections_are_posted,
);

/// Who reports, in words.
const NAMED: (&str, &str) = ("MAGPIE_REPORTS__ORGANIZATION", "Demo Mail");

/// When every report of today is due.
fn tomorrow() -> Timestamp {
    let now: Timestamp = time::OffsetDateTime::now_utc().into();
    now.plus(Duration::from_secs(30 * 3_600))
}

async fn domains_hear_of_mail_in_their_names(plane: &Plane<'_>) {
    let (zone, sink) = (Zone::start().await.unwrap(), Sink::start(Script::default()).await.unwrap());
    for (name, rua) in [
        ("far.test", "rua=mailto:dmarc@far.test,mailto:elsewhere@watch.test,mailto:small@far.test!1k"),
        ("echo.test", "rua=mailto:dmarc@echo.test"),
        ("silent.test", "fo=1"),
    ] {
        zone.txt(name, "v=spf1 ip4:192.0.2.1 -all").unwrap();
        zone.txt(&format!("_dmarc.{name}"), &format!("v=DMARC1; p=reject; {rua}")).unwrap();
        zone.mx(name, 10, "mx.far.test").unwrap();
    }
    zone.host("mx.far.test", "127.0.0.1".parse().unwrap()).unwrap();
    let server = with_sink(plane, &zone, &sink, &[NAMED]).await;
    for (client, from, subject, wanted) in [
        (FRIEND, "far.test", "one", "250 "),
        (FRIEND, "far.test", "two", "250 "),
        (STRANGER, "far.test", "forged", "550 5.7.1 "),
        // Whoever reports nothing but reports hears of nothing.
        (FRIEND, "echo.test", "Report Domain: demo.test Submitter: echo.test Report-ID: <1>", "250 "),
        (FRIEND, "silent.test", "hush", "250 "),
    ] {
        let raw = mail(&format!("ceo@{from}"), subject);
        let reply = bring(&server, client, &format!("bounces@{from}"), &raw).await;
        assert!(reply.starts_with(wanted), "{subject}: {reply}");
    }
    assert_eq!(
        server.node.report(time::OffsetDateTime::now_utc().into()).await.unwrap(),
        0,
        "the day is not over"
    );
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 1);
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 0, "once");

    let received = eventually("the report", async || sink.received().pop()).await;
    assert!(received.from.starts_with("<postmaster@demo.test>"), "{}", received.from);
    assert_eq!(
        received.recipients.len(),
        1,
        "nobody who did not ask, nobody who wants less: {:?}",
        received.recipients
    );
    assert!(received.recipients[0].starts_with("<dmarc@far.test>"), "{:?}", received.recipients);
    let [report] = &read(&received.data).unwrap()[..] else { panic!("one report") };
    let Report { from, domain, findings: Findings::Dmarc(sources), begin, end, .. } = report else {
        panic!("{report:?}")
    };
    assert_eq!((from.as_str(), domain.as_str()), ("Demo Mail", "far.test"));
    assert_eq!((begin.seconds() % 86_400, end.seconds() - begin.seconds()), (0, 86_399));
    let source = |client: [u8; 4], mails, passed, done| Source {
        address: Some(client.into()),
        mails,
        spf: passed,
        dkim: false,
        done,
    };
    assert_eq!(*sources, [source(FRIEND, 2, true, "none"), source(STRANGER, 1, false, "reject")]);
    assert_eq!(sink.received().len(), 1);
    server.stop().await;
}

async fn domains_hear_of_connections_to_them(plane: &Plane<'_>) {
    let zone = Zone::start().await.unwrap();
    let sink = Sink::start(Script::default().extensions(&["STARTTLS", "PIPELINING"])).await.unwrap();
    zone.txt("_smtp._tls.far.test", "v=TLSRPTv1; rua=mailto:tls@far.test").unwrap();
    zone.mx("far.test", 10, "mx.far.test").unwrap().mx("silent.test", 10, "mx.silent.test").unwrap();
    for host in ["mx.far.test", "mx.silent.test"] {
        zone.host(host, "127.0.0.1".parse().unwrap()).unwrap();
    }
    let server = with_sink(plane, &zone, &sink, &[NAMED]).await;
    let alice = server.login("alice").await;
    for to in ["carol@far.test", "dave@silent.test"] {
        let sent = serde_json::json!({ "to": [{ "email": to }], "subject": "Hello", "text": "Hello\n" });
        assert_eq!(alice.post("/v1/messages", &sent).await.status(), 201);
    }
    eventually("both mails", async || (sink.received().len() == 2).then_some(())).await;
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 1, "only who asks for it");
    let received = eventually("the report", async || sink.received().into_iter().nth(2)).await;
    assert!(received.recipients[0].starts_with("<tls@far.test>"), "{:?}", received.recipients);
    let text = String::from_utf8_lossy(&received.data).into_owned();
    assert!(
        text.contains("TLS-Report-Domain: far.test\r\n") && text.contains("TLS-Required: No\r\n"),
        "{text}"
    );
    let [report] = &read(&received.data).unwrap()[..] else { panic!("one policy: {text}") };
    let Findings::Tls(sessions) = &report.findings else { panic!("{report:?}") };
    assert_eq!((report.from.as_str(), report.domain.as_str()), ("Demo Mail", "far.test"));
    assert_eq!((sessions.policy.as_str(), sessions.succeeded, sessions.failed), ("no-policy-found", 1, 0));
    server.stop().await;
}

/// Whoever has a zone has as many names as they like, and answers as slowly.
async fn slow_names_keep_nobody_else_waiting(plane: &Plane<'_>) {
    let (zone, sink) = (Zone::start().await.unwrap(), Sink::start(Script::default()).await.unwrap());
    let slow: Vec<_> = (0..6).map(|n| format!("a{n}.crawl.test")).collect();
    for name in slow.iter().map(String::as_str).chain(["far.test"]) {
        let rua = if name == "far.test" { "dmarc@far.test" } else { "dmarc@watch.test" };
        zone.txt(name, "v=spf1 ip4:192.0.2.1 -all").unwrap();
        zone.txt(&format!("_dmarc.{name}"), &format!("v=DMARC1; p=none; rua=mailto:{rua}")).unwrap();
        zone.stall(&format!("{name}._report._dmarc.watch.test")).unwrap();
    }
    zone.mx("far.test", 10, "mx.far.test").unwrap();
    zone.host("mx.far.test", "127.0.0.1".parse().unwrap()).unwrap();
    let server = with_sink(plane, &zone, &sink, &[NAMED]).await;
    for name in slow.iter().map(String::as_str).chain(["far.test"]) {
        let raw = mail(&format!("ceo@{name}"), "one");
        let reply = bring(&server, FRIEND, &format!("bounces@{name}"), &raw).await;
        assert!(reply.starts_with("250 "), "{name}: {reply}");
    }
    let received = async { eventually("the report", async || sink.received().pop()).await };
    let received = tokio::select! {
        sent = server.node.report(tomorrow()) => panic!("all {sent:?} are there before the slow ones were asked"),
        received = received => received,
    };
    assert!(received.recipients[0].starts_with("<dmarc@far.test>"), "{:?}", received.recipients);

    // Where there may be no more today, DNS is not asked.
    let day = Duration::from_secs(86_400);
    while server.node.mail.throttle("report:crawl.test", 50, day).await.is_none() {}
    let sent = tokio::time::timeout(Duration::from_secs(5), server.node.report(tomorrow())).await;
    sent.expect("nobody is asked").unwrap();
    server.stop().await;
}

async fn a_day_has_its_size(plane: &Plane<'_>) {
    let (zone, sink) = (Zone::start().await.unwrap(), Sink::start(Script::default()).await.unwrap());
    zone.txt("far.test", "v=spf1 ip4:192.0.2.1 -all").unwrap();
    zone.txt("_dmarc.far.test", "v=DMARC1; p=none; rua=mailto:dmarc@far.test").unwrap();
    let server = with_sink(plane, &zone, &sink, &[("MAGPIE_REPORTS__DAY_SIZE", "1KB")]).await;
    let reply = bring(&server, FRIEND, "bounces@far.test", &mail("ceo@far.test", "one")).await;
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 0, "its share has no room for a row");
    server.stop().await;
}

async fn a_day_may_have_several_policies(plane: &Plane<'_>) {
    let (zone, sink) = (Zone::start().await.unwrap(), Sink::start(Script::default()).await.unwrap());
    let publish = |policy: &str| {
        let record = format!("v=DMARC1; p={policy}; rua=mailto:dmarc@far.test");
        zone.forget("_dmarc.far.test").unwrap().txt("_dmarc.far.test", &record).unwrap();
    };
    publish("none");
    zone.mx("far.test", 10, "mx.far.test").unwrap();
    zone.host("mx.far.test", "127.0.0.1".parse().unwrap()).unwrap();
    let server = with_sink(plane, &zone, &sink, &[NAMED]).await;
    let forged = async || bring(&server, STRANGER, "x@far.test", &mail("ceo@far.test", "forged")).await;
    assert!(forged().await.starts_with("250 "));
    publish("reject");
    eventually("the new policy", async || forged().await.starts_with("550 ").then_some(())).await;
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 2);
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 0, "each once");
    let received = eventually("both", async || {
        let received = sink.received();
        (received.len() == 2).then_some(received)
    })
    .await;
    let reports: Vec<_> = received.iter().flat_map(|mail| read(&mail.data).unwrap()).collect();
    assert_ne!(reports[0].id, reports[1].id);
    assert!(reports.iter().all(|report| report.domain == "far.test"), "{reports:?}");
    server.stop().await;
}

async fn reports_on_connections_are_posted(plane: &Plane<'_>) {
    let zone = Zone::start().await.unwrap();
    let sink = Sink::start(Script::default().extensions(&["STARTTLS", "PIPELINING"])).await.unwrap();
    let there = HttpsServer::start("tls.far.test", "HTTP/1.1 503 Later\r\n\r\n").await.unwrap();
    let rua = format!("https://tls.far.test:{}/in,mailto:tls@far.test", there.port());
    zone.txt("_smtp._tls.far.test", &format!("v=TLSRPTv1; rua={rua}")).unwrap();
    zone.mx("far.test", 10, "mx.far.test").unwrap();
    for host in ["mx.far.test", "tls.far.test"] {
        zone.host(host, "127.0.0.1".parse().unwrap()).unwrap();
    }
    let server = with_sink(plane, &zone, &sink, &[NAMED]).await;
    let sent =
        serde_json::json!({ "to": [{ "email": "carol@far.test" }], "subject": "Hello", "text": "Hello\n" });
    assert_eq!(server.login("alice").await.post("/v1/messages", &sent).await.status(), 201);
    eventually("the mail", async || (sink.received().len() == 1).then_some(())).await;
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 1, "by mail");
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 0, "who has it gets it once");
    there.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 1, "over HTTPS");
    assert_eq!(server.node.report(tomorrow()).await.unwrap(), 0, "that is all");
    let asked = there.asked();
    assert_eq!(asked.len(), 3);
    let (one, last) = (&asked[0], &asked[2]);
    assert!(one.head.starts_with("POST /in HTTP/1.1\r\n"), "{}", one.head);
    assert!(one.head.contains("\r\nContent-Type: application/tlsrpt+gzip\r\n"), "{}", one.head);
    assert_eq!(one.body, last.body, "the same under the same id");
    let text = base64::engine::general_purpose::STANDARD.encode(&last.body);
    let as_mail = format!(
        "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n{text}\r\n"
    );
    let [report] = &read(as_mail.as_bytes()).unwrap()[..] else { panic!("one policy") };
    assert_eq!((report.from.as_str(), report.domain.as_str()), ("Demo Mail", "far.test"));
    server.stop().await;
}

/// One service reports, the other is reported to and shows it.
#[tokio::test]
async fn what_we_report_we_show() {
    let zone = Zone::start().await.unwrap();
    for (name, record) in [
        ("far.test", "v=spf1 ip4:192.0.2.1 -all"),
        ("_dmarc.far.test", "v=DMARC1; p=reject; rua=mailto:postmaster@far.test"),
        ("_smtp._tls.far.test", "v=TLSRPTv1; rua=mailto:postmaster@far.test"),
        ("demo.test", "v=spf1 ip4:127.0.0.1 -all"),
        ("_dmarc.demo.test", "v=DMARC1; p=reject"),
    ] {
        zone.txt(name, record).unwrap();
    }
    zone.mx("far.test", 10, "mx.far.test").unwrap();
    zone.host("mx.far.test", "127.0.0.1".parse().unwrap()).unwrap();
    let resolver = zone.address().to_string();
    let keys = [
        ("MAGPIE_DNS__RESOLVER", resolver.as_str()),
        ("MAGPIE_SMTP__HOSTNAME", "mx.far.test"),
        ("MAGPIE_FILTER__TRUSTED_NETWORKS", "[]"),
    ];
    let far = Server::join(&Plane::Embedded, &keys).await;
    let admin = far.node.mail.admin();
    admin.add_domain("far.test").await.unwrap();
    for name in ["postmaster", "carol"] {
        let address = format!("{name}@far.test").parse().unwrap();
        admin.add_account(&address, "", types::Secret::new(support::PASSWORD.into()), None).await.unwrap();
    }
    let port = far.node.addresses.smtp.unwrap().port().to_string();
    let keys =
        [("MAGPIE_QUEUE__PORT", port.as_str()), ("MAGPIE_QUEUE__ALLOW_PRIVATE_TARGETS", "true"), NAMED];
    let near = behind_proxy(&Plane::Embedded, &zone, &keys).await;

    for (client, wanted) in [(FRIEND, "250 "), (STRANGER, "550 5.7.1 ")] {
        let reply = bring(&near, client, "bounces@far.test", &mail("ceo@far.test", "one")).await;
        assert!(reply.starts_with(wanted), "{reply}");
    }
    let sent =
        serde_json::json!({ "to": [{ "email": "carol@far.test" }], "subject": "Hello", "text": "Hello\n" });
    assert_eq!(near.login("alice").await.post("/v1/messages", &sent).await.status(), 201);
    let carol = far.node.mail.admin().open(&"carol@far.test".parse().unwrap()).await.unwrap();
    eventually("the mail", async || {
        let folders = carol.folders().await.unwrap().folders;
        folders.iter().any(|folder| folder.total > 0).then_some(())
    })
    .await;
    assert_eq!(near.node.report(tomorrow()).await.unwrap(), 2);

    let shown = eventually("both reports", async || {
        let (_, said) = command_at("mx.far.test", &far, &zone, &["domain", "reports", "far.test"]);
        (said.contains("DMARC  ") && said.contains("TLS    ")).then_some(said)
    })
    .await;
    for wanted in [
        "DMARC  Demo Mail (postmaster@demo.test)  ",
        "       192.0.2.1  1 mails  SPF pass  DKIM fail  none\n",
        "       203.0.113.9  1 mails  SPF fail  DKIM fail  reject\n",
        "TLS    Demo Mail (postmaster@demo.test)  ",
        "       no-policy-found  1 connections succeeded, 0 failed\n",
    ] {
        assert!(shown.contains(wanted), "{wanted:?} is not in:\n{shown}");
    }
    near.stop().await;
    far.stop().await;
}
