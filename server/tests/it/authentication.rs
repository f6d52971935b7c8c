//! Whom mail is from: checked when it comes in, shown to whoever reads it, and signed when it leaves.

use std::time::Duration;

use crate::support::{
    self, Plane,
    door::{FRIEND, STRANGER, behind_proxy, bring, bring_to, command, mail, with_sink},
    eventually, on_both_planes,
};
use filter::{Authentication, Dns, Filter, Mail, Mode, OnTempError, Outcome, Rules, Spf};
use serde_json::{Value, json};
use testkit::{Script, Sink, Zone};

on_both_planes!(
    mail_is_checked_before_it_is_accepted,
    dns_that_is_down_loses_no_mail,
    our_own_policy_is_served,
);

async fn mail_is_checked_before_it_is_accepted(plane: &Plane<'_>) {
    let zone = Zone::start().await.unwrap();
    for domain in ["reject", "quarantine", "none"] {
        let name = format!("{domain}.test");
        zone.txt(&name, "v=spf1 ip4:192.0.2.1 -all").unwrap();
        zone.txt(&format!("_dmarc.{name}"), &format!("v=DMARC1; p={domain}")).unwrap();
    }
    let server = behind_proxy(plane, &zone, &[]).await;
    let alice = server.login("alice").await;
    let reply = bring(&server, STRANGER, "x@reject.test", &mail("ceo@reject.test", "forged")).await;
    assert!(reply.starts_with("550 5.7.1 ") && reply.contains("reject.test"), "{reply}");
    let lie = "Authentication-Results: mx.demo.test; spf=pass; dkim=pass; dmarc=pass\r\n";
    let other = "Authentication-Results: relay.test; spf=pass\r\n";
    for (client, domain, subject) in [
        (STRANGER, "quarantine", "junk"),
        (STRANGER, "none", "marked"),
        (FRIEND, "reject", "genuine"),
        (STRANGER, "unknown", "unknown"),
    ] {
        let raw = format!("{lie}{other}{}", mail(&format!("ceo@{domain}.test"), subject));
        let reply = bring(&server, client, &format!("x@{domain}.test"), &raw).await;
        assert!(reply.starts_with("250 "), "{subject}: {reply}");
    }
    let inbox = alice.messages("inbox").await;
    let mut subjects: Vec<_> = inbox.iter().map(|message| message["subject"].as_str().unwrap()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["genuine", "marked", "unknown"]);
    assert_eq!(alice.messages("junk").await[0]["subject"], "junk");
    for message in inbox.iter().chain(&alice.messages("junk").await) {
        let opened = alice.read(&format!("/v1/messages/{}", message["id"].as_str().unwrap())).await;
        let wanted = match message["subject"].as_str().unwrap() {
            "genuine" => json!({ "spf": "pass", "dkim": "none", "dmarc": "pass" }),
            "unknown" => json!({ "spf": "none", "dkim": "none", "dmarc": "none" }),
            _ => json!({ "spf": "fail", "dkim": "none", "dmarc": "fail" }),
        };
        assert_eq!(opened["auth"], wanted, "{}", message["subject"]);
        let headers: Vec<_> =
            opened["headers"].as_array().unwrap().iter().map(|field| (&field[0], &field[1])).collect();
        let results: Vec<_> = headers.iter().filter(|(name, _)| *name == "Authentication-Results").collect();
        assert_eq!(results.len(), 2, "ours, and the one that says to be another's: {results:?}");
        assert!(results[0].1.as_str().unwrap().starts_with("mx.demo.test; spf="));
        assert_eq!(*results[1].1, "relay.test; spf=pass");
    }
    server.stop().await;
}

async fn dns_that_is_down_loses_no_mail(plane: &Plane<'_>) {
    let zone = Zone::start().await.unwrap();
    zone.servfail("down.test").unwrap().servfail("_dmarc.down.test").unwrap();
    // Whoever forges mail could wait for DNS to fail, so it is not taken as it comes.
    let server = behind_proxy(plane, &zone, &[]).await;
    let reply = bring(&server, STRANGER, "x@down.test", &mail("ceo@down.test", "later")).await;
    assert!(reply.starts_with("451 4.7.0 "), "{reply}");
    server.stop().await;
}

fn publish(zone: &Zone, records: &str) {
    let records: Vec<Value> = serde_json::from_str(records).unwrap();
    for record in records.iter().filter(|record| record["type"] == "TXT" && record["state"] != "right") {
        zone.txt(record["name"].as_str().unwrap(), record["value"].as_str().unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_leaves_is_signed() {
    let zone = Zone::start().await.unwrap();
    let sink = Sink::start(Script::default()).await.unwrap();
    zone.mx("there.test", 10, "mx.there.test").unwrap();
    zone.host("mx.there.test", "127.0.0.1".parse().unwrap()).unwrap();
    let server = with_sink(&Plane::Embedded, &zone, &sink, &[]).await;
    let (made, said) = command(&server, &zone, &["domain", "rotate-keys", "demo.test"]);
    assert!(made && said.contains("waits for its record"), "{said}");
    let (complete, records) = command(&server, &zone, &["domain", "check", "demo.test", "--json"]);
    assert!(!complete, "nothing is published yet");
    publish(&zone, &records);
    zone.mx("demo.test", 10, "mx.demo.test").unwrap();
    zone.host("mx.demo.test", "127.0.0.1".parse().unwrap()).unwrap();
    let (complete, said) = command(&server, &zone, &["domain", "check", "demo.test"]);
    assert!(complete, "{said}");
    let (_, said) = command(&server, &zone, &["domain", "rotate-keys", "demo.test", "--now"]);
    assert_eq!(said.matches(" signs\n").count(), 2, "{said}");
    assert_eq!(said.matches(" is retired").count(), 2, "{said}");
    let (_, records) = command(&server, &zone, &["domain", "check", "demo.test", "--json"]);
    publish(&zone, &records);

    let alice = server.login("alice").await;
    let sent = json!({
        "to": [{ "email": "carol@there.test" }, { "email": "dave@there.test" }],
        "bcc": [{ "email": "eve@there.test" }],
        "subject": "Signed", "text": "Hello\n.\n  trailing  \n",
    });
    // The running server sees what the command did within seconds.
    let mut posted = 0;
    let received = eventually("a signed mail", async || {
        if sink.received().len() == posted {
            assert_eq!(alice.post("/v1/messages", &sent).await.status(), 201);
            posted += 1;
        }
        sink.received().pop().filter(|mail| mail.data.starts_with(b"DKIM-Signature: "))
    })
    .await;
    assert!(!String::from_utf8_lossy(&received.data).contains("eve@"));

    // Whoever writes in alice's name to a group is passed on, and not vouched for.
    let group = "team@demo.test".parse().unwrap();
    let (owner, member) = ("alice@demo.test".parse().unwrap(), "carol@there.test".parse().unwrap());
    server.node.mail.admin().set_group(&group, &owner, &[member]).await.unwrap();
    let forged = mail("alice@demo.test", "Forged");
    let reply = bring_to(&server, STRANGER, "x@elsewhere.test", "team@demo.test", &forged).await;
    assert!(reply.starts_with("250 "), "{reply}");
    let passed_on = eventually("the forged mail", async || {
        let mut texts =
            sink.received().into_iter().map(|mail| String::from_utf8_lossy(&mail.data).into_owned());
        texts.find(|text| text.contains("Subject: Forged"))
    })
    .await;
    assert!(!passed_on.contains("DKIM-Signature:"), "{passed_on}");
    assert!(passed_on.starts_with("ARC-Seal:"), "{passed_on}");

    let dns = Dns::new(Some(zone.address())).unwrap();
    let rules = Rules {
        dmarc: Mode::Enforce,
        on_temperror: OnTempError::Accept,
        trusted_sealers: Vec::new(),
        budget: Duration::from_secs(20),
    };
    let spf = Spf::new(dns.clone(), "mx.there.test".to_owned(), rules.budget);
    let judge = Filter::new(
        "mx.there.test".to_owned(),
        vec![Box::new(spf), Box::new(Authentication::new(dns, rules))],
    );
    let verdict = judge
        .check(&Mail {
            client: "203.0.113.9".parse().unwrap(),
            hello: Some("mx.demo.test".to_owned()),
            sender: Some("alice@demo.test".parse().unwrap()),
            recipients: vec!["carol@there.test".parse().unwrap()],
            raw: received.data.into(),
            sample: 0,
        })
        .await;
    let of = |method: &str| -> Vec<_> {
        let results = verdict.results.iter().filter(|result| result.method == method);
        results.map(|result| result.outcome).collect()
    };
    assert_eq!(of("dkim"), [Outcome::Pass; 2], "{verdict:?}");
    assert_eq!(of("dmarc"), [Outcome::Pass], "{verdict:?}");
    server.stop().await;
}

async fn our_own_policy_is_served(plane: &Plane<'_>) {
    let zone = Zone::start().await.unwrap();
    let server = behind_proxy(plane, &zone, &[("MAGPIE_MTA_STS__MODE", "testing")]).await;
    let ask = async |host: &str| {
        let request = server.nobody().request(reqwest::Method::GET, "/.well-known/mta-sts.txt");
        request.header("host", host).send().await.unwrap()
    };
    let answer = ask("mta-sts.demo.test").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(support::header(&answer, "content-type"), "text/plain; charset=utf-8");
    let wanted = "version: STSv1\r\nmode: testing\r\nmx: mx.demo.test\r\nmax_age: 604800\r\n";
    assert_eq!(answer.text().await.unwrap(), wanted);
    server.node.mail.admin().add_domain("한국.test").await.unwrap();
    assert_eq!(ask("mta-sts.xn--3e0b707e.test").await.status(), 200, "as DNS and browsers call it");
    for host in ["demo.test", "mta-sts.other.test", "mta-sts."] {
        assert_eq!(ask(host).await.status(), 404, "{host}");
    }
    server.stop().await;
}
