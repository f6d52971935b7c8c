//! What a domain demands of connections to its hosts: by TLSA records in a signed zone, and by its policy over HTTPS.

#![cfg(test)]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::Result;
use queue::{
    Caller, Courier, DnsRouter, Envelope, Handover, Outcome, Router, Routing, Rule, Security, SmtpConfig,
    SmtpCourier, StsConfig,
    tlsrpt::{Ledger, Session},
};
use testkit::{House, Identity, Script, Signed, SignedZone, Sink, Zone};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

const TLS: &[&str] = &["STARTTLS", "PIPELINING"];

fn envelope() -> Result<Envelope> {
    Ok(Envelope {
        return_path: Some("alice@demo.test".parse()?),
        recipients: vec!["bob@there.test".parse()?],
        body: "Subject: x\r\n\r\n".into(),
        ..Envelope::default()
    })
}

/// What comes of a mail for `there.test`: `delivered`, or the reply.
async fn send(router: &DnsRouter, courier: &SmtpCourier) -> Result<String> {
    hand_over(router.route("there.test", 1).await, courier).await
}

/// The same for a mail that says `TLS-Required: No`.
async fn send_leniently(router: &DnsRouter, courier: &SmtpCourier) -> Result<String> {
    hand_over(router.lenient_route("there.test", 1).await, courier).await
}

async fn hand_over(route: queue::Route, courier: &SmtpCourier) -> Result<String> {
    let way = match route {
        Ok(way) => way,
        Err(reply) => return Ok(reply.to_string()),
    };
    Ok(match courier.deliver(&way, &envelope()?).await {
        Handover::Answered { outcomes, .. } => match &outcomes[0].1 {
            Outcome::Delivered(_) => "delivered".to_owned(),
            other => other.reply().to_string(),
        },
        Handover::Away { reply, .. } => reply.to_string(),
        Handover::Unloaded => anyhow::bail!("not loaded"),
    })
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).to_vec()
}

struct Proven {
    zone: SignedZone,
    sink: Sink,
}

impl Proven {
    async fn start(
        identity: &Identity,
        extensions: &[&str],
        records: impl FnOnce(Signed, u16) -> Result<Signed>,
    ) -> Result<Self> {
        let script = Script::default().extensions(extensions);
        let sink = Sink::start_as(identity, "127.0.0.1:0".parse()?, script).await?;
        let (ip, port) = (sink.address().ip(), sink.address().port());
        let zone = Signed::default().mx("there.test", 10, "mx.there.test")?.host("mx.there.test", ip)?;
        Ok(Self { zone: records(zone, port)?.start().await?, sink })
    }

    fn router(&self) -> Result<DnsRouter> {
        Ok(DnsRouter::new(Routing {
            resolver: Some(self.zone.address()),
            port: self.sink.address().port(),
            allow_private_targets: true,
            dane: true,
            trust_anchor: Some(self.zone.anchor().to_owned()),
            ..Routing::default()
        })?)
    }

    async fn send(&self) -> Result<String> {
        send(&self.router()?, &SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?).await
    }
}

const HOST: &str = "mx.there.test";

#[tokio::test]
async fn tlsa_records_decide_whom_mail_is_handed_to() -> Result<()> {
    let identity = Identity::vouched_for(HOST)?;
    let stranger = Identity::alone(HOST)?;
    let misnamed = Identity::vouched_for("other.test")?;
    let (end, anchor, key) = (&identity.chain[0], &identity.chain[1], &identity.public_key);
    for (who, numbers, data, delivered) in [
        (&identity, [3, 1, 1], sha256(key), true),
        (&identity, [3, 0, 1], sha256(end), true),
        (&identity, [3, 1, 0], key.clone(), true),
        (&identity, [2, 0, 1], sha256(anchor), true),
        (&stranger, [3, 1, 1], sha256(key), false),
        (&stranger, [2, 0, 1], sha256(anchor), false),
        (&misnamed, [2, 0, 1], sha256(&misnamed.chain[1]), false),
        // The name does not matter for the key itself.
        (&misnamed, [3, 1, 1], sha256(&misnamed.public_key), true),
        // Of no use: then anybody over TLS is good enough.
        (&stranger, [0, 1, 1], sha256(key), true),
    ] {
        let proven = Proven::start(who, TLS, |zone, port| zone.tlsa(HOST, port, numbers, &data)).await?;
        let told = proven.send().await?;
        assert_eq!(told == "delivered", delivered, "{numbers:?}: {told}");
        if !delivered {
            assert!(told.starts_with("450 4.7.5 "), "{told}");
        }
        assert_eq!(proven.sink.received().iter().filter(|mail| mail.tls).count(), usize::from(delivered));
    }
    Ok(())
}

#[tokio::test]
async fn a_host_with_tlsa_records_gets_no_mail_in_clear_text() -> Result<()> {
    let identity = Identity::alone(HOST)?;
    let key = sha256(&identity.public_key);
    let proven =
        Proven::start(&identity, &["PIPELINING"], |zone, port| zone.tlsa(HOST, port, [3, 1, 1], &key))
            .await?;
    assert!(proven.send().await?.starts_with("450 4.7.5 "));
    assert!(proven.sink.received().is_empty());
    // Without them, it does.
    let open = Proven::start(&identity, &["PIPELINING"], |zone, _| Ok(zone)).await?;
    assert_eq!(open.send().await?, "delivered");
    Ok(())
}

#[tokio::test]
async fn what_is_not_proven_is_not_believed() -> Result<()> {
    let identity = Identity::alone(HOST)?;
    let wrong = sha256(b"another key");
    let proven = Proven::start(&identity, TLS, |zone, port| zone.tlsa(HOST, port, [3, 1, 1], &wrong)).await?;
    // Signed by a key that nobody vouches for.
    let other = Signed::default().start().await?;
    let routing = Routing {
        resolver: Some(proven.zone.address()),
        port: proven.sink.address().port(),
        allow_private_targets: true,
        dane: true,
        trust_anchor: Some(other.anchor().to_owned()),
        ..Routing::default()
    };
    let courier = SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?;
    assert_eq!(send(&DnsRouter::new(routing)?, &courier).await?, "delivered", "as if there were none");
    Ok(())
}

/// A server that has a policy at the well-known place.
struct PolicyServer {
    port: u16,
    authority: Vec<u8>,
    text: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl PolicyServer {
    async fn start(text: &str) -> Result<Self> {
        let identity = Identity::vouched_for("mta-sts.there.test")?;
        let acceptor = identity.acceptor()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (text, asked) = (Arc::new(Mutex::new(text.to_owned())), Arc::new(AtomicUsize::new(0)));
        let stop = CancellationToken::new();
        let (said, counted, stopped) = (Arc::clone(&text), Arc::clone(&asked), stop.clone());
        let _serving = TaskTracker::new().spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let text = said.lock().unwrap_or_else(|e| e.into_inner()).clone();
                let answer = if text.is_empty() {
                    "HTTP/1.1 404 Not Found\r\n\r\n".to_owned()
                } else {
                    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{text}")
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let authority = identity.chain[1].to_vec();
        Ok(Self { port, authority, text, asked, _stop: stop.drop_guard() })
    }

    fn say(&self, text: &str) {
        *self.text.lock().unwrap_or_else(|e| e.into_inner()) = text.to_owned();
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 604800\r\n")
}

struct Published {
    house: House,
    zone: Zone,
    server: PolicyServer,
    sink: Sink,
}

impl Published {
    async fn start(identity: &Identity, extensions: &[&str], text: &str) -> Result<Self> {
        let script = Script::default().extensions(extensions);
        let sink = Sink::start_as(identity, "127.0.0.1:0".parse()?, script).await?;
        let zone = Zone::start().await?;
        zone.mx("there.test", 10, HOST)?.host(HOST, sink.address().ip())?;
        zone.host("mta-sts.there.test", "127.0.0.1".parse()?)?
            .txt("_mta-sts.there.test", "v=STSv1; id=1;")?;
        Ok(Self { house: House::open().await?, zone, server: PolicyServer::start(text).await?, sink })
    }

    fn router(&self) -> Result<DnsRouter> {
        let routing = Routing {
            resolver: Some(self.zone.address()),
            port: self.sink.address().port(),
            allow_private_targets: true,
            ..Routing::default()
        };
        let sts = StsConfig { port: self.server.port, authorities: vec![self.server.authority.clone()] };
        Ok(DnsRouter::new(routing)?.with_sts(self.house.mail.clone(), &sts)?)
    }

    async fn send(&self, router: &DnsRouter, authorities: &[Vec<u8>]) -> Result<String> {
        let courier = SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?.trusting(authorities)?;
        send(router, &courier).await
    }
}

#[tokio::test]
async fn a_policy_decides_which_hosts_get_mail_and_how() -> Result<()> {
    let known = Identity::vouched_for(HOST)?;
    let stranger = Identity::alone(HOST)?;
    for (who, extensions, text, expected) in [
        (&known, TLS, policy("enforce", HOST), "delivered"),
        (&known, TLS, policy("enforce", "*.there.test"), "delivered"),
        (&known, TLS, policy("enforce", "elsewhere.test"), "450 4.7.5 "),
        (&stranger, TLS, policy("enforce", HOST), "450 4.7.5 "),
        (&known, &["PIPELINING"], policy("enforce", HOST), "450 4.7.5 "),
        (&stranger, TLS, policy("testing", "elsewhere.test"), "delivered"),
        (&stranger, TLS, policy("none", HOST), "delivered"),
        (&stranger, TLS, "nonsense".to_owned(), "delivered"),
        (&stranger, TLS, String::new(), "delivered"),
    ] {
        let published = Published::start(who, extensions, &text).await?;
        let told = published.send(&published.router()?, &[known.chain[1].to_vec()]).await?;
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn a_policy_holds_until_another_is_announced() -> Result<()> {
    let stranger = Identity::alone(HOST)?;
    let published = Published::start(&stranger, TLS, &policy("enforce", HOST)).await?;
    let router = published.router()?;
    for _ in 0..3 {
        assert!(published.send(&router, &[]).await?.starts_with("450 4.7.5 "));
    }
    assert_eq!(published.server.asked(), 1, "it is remembered");
    // Another node, or the same after a restart, has it from the cache.
    let other = published.router()?;
    published.server.say("");
    assert!(published.send(&other, &[]).await?.starts_with("450 4.7.5 "));
    assert_eq!(published.server.asked(), 1);

    // Whoever only hides the announcement changes nothing.
    published.zone.forget("_mta-sts.there.test")?.txt("_mta-sts.there.test", "nothing")?;
    assert!(published.send(&published.router()?, &[]).await? == "delivered", "never heard of it");
    assert!(published.send(&router, &[]).await?.starts_with("450 4.7.5 "));

    // An announced one that cannot be had neither; until the old one ends.
    published.zone.forget("_mta-sts.there.test")?.txt("_mta-sts.there.test", "v=STSv1; id=2;")?;
    let again = published.router()?;
    assert_eq!(published.send(&again, &[]).await?, "delivered");
    published.server.say(&policy("none", HOST));
    published.house.clock.advance(std::time::Duration::from_secs(301));
    assert_eq!(published.send(&again, &[]).await?, "delivered");
    assert_eq!(published.server.asked(), 3);
    Ok(())
}

#[tokio::test]
async fn a_relay_is_met_as_its_route_says() -> Result<()> {
    let known = Identity::vouched_for("relay.test")?;
    let stranger = Identity::alone("relay.test")?;
    let zone = Zone::start().await?;
    zone.host("relay.test", "127.0.0.1".parse()?)?;
    for (who, extensions, security, expected) in [
        (&known, TLS, Security::Verified, "delivered"),
        (&stranger, TLS, Security::Verified, "450 4.7.5 "),
        (&stranger, TLS, Security::Encrypted, "delivered"),
        (&stranger, &["PIPELINING"], Security::Encrypted, "450 4.7.5 "),
        (&stranger, &["PIPELINING"], Security::Opportunistic, "delivered"),
        (&stranger, TLS, Security::Plain, "delivered"),
    ] {
        let script = Script::default().extensions(extensions);
        let sink = Sink::start_as(who, "127.0.0.1:0".parse()?, script).await?;
        let rule = Rule {
            domains: vec!["there.test".to_owned()],
            relay: Some(format!("relay.test:{}", sink.address().port())),
            security: Some(security.clone()),
            caller: Arc::new(Caller::default()),
        };
        let router = DnsRouter::new(Routing {
            resolver: Some(zone.address()),
            rules: vec![rule],
            ..Routing::default()
        })?;
        let courier =
            SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?.trusting(&[known.chain[1].to_vec()])?;
        let told = send(&router, &courier).await?;
        assert!(told.starts_with(expected), "{security:?}: {told}");
        let tls = security != Security::Plain && extensions.contains(&"STARTTLS");
        assert!(sink.received().iter().all(|mail| mail.tls == tls));
    }
    Ok(())
}

#[tokio::test]
async fn mail_that_requires_tls_goes_to_known_hosts_that_require_it_too() -> Result<()> {
    let known = Identity::vouched_for(HOST)?;
    let mut sent = envelope()?;
    sent.terms.require_tls = true;
    for (security, extensions, expected) in [
        (Security::Verified, &["STARTTLS", "REQUIRETLS"][..], "delivered"),
        (Security::Verified, TLS, "550 5.7.30 "),
        (Security::Opportunistic, &["STARTTLS", "REQUIRETLS"], "550 5.7.10 "),
    ] {
        let script = Script::default().extensions(extensions);
        let sink = Sink::start_as(&known, "127.0.0.1:0".parse()?, script).await?;
        let target = queue::Target { security: security.clone(), ..queue::Target::new(HOST, sink.address()) };
        let courier =
            SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?.trusting(&[known.chain[1].to_vec()])?;
        let told = match courier.deliver(&queue::Way::to(vec![target]), &sent).await {
            Handover::Answered { outcomes, .. } => match &outcomes[0].1 {
                Outcome::Delivered(_) => "delivered".to_owned(),
                other => other.reply().to_string(),
            },
            other => anyhow::bail!("{other:?}"),
        };
        assert!(told.starts_with(expected), "{security:?}: {told}");
        if told == "delivered" {
            assert_eq!(sink.received()[0].from, "<alice@demo.test> REQUIRETLS");
        }
    }
    Ok(())
}

#[tokio::test]
async fn mail_that_needs_no_tls_goes_whatever_the_domain_demands() -> Result<()> {
    let courier = SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?;
    let stranger = Identity::alone(HOST)?;
    for extensions in [TLS, &["PIPELINING"]] {
        for mx in [HOST, "elsewhere.test"] {
            let published = Published::start(&stranger, extensions, &policy("enforce", mx)).await?;
            let router = published.router()?;
            assert!(send(&router, &courier).await?.starts_with("450 4.7.5 "));
            assert_eq!(send_leniently(&router, &courier).await?, "delivered", "{extensions:?} {mx}");
            let received = published.sink.received();
            assert_eq!(received[0].tls, extensions.contains(&"STARTTLS"), "over TLS where it is offered");
        }
        let other = vec![0; 32];
        let records = |zone: Signed, port| zone.tlsa(HOST, port, [3, 1, 1], &other);
        let proven = Proven::start(&stranger, extensions, records).await?;
        assert!(proven.send().await?.starts_with("450 4.7.5 "));
        assert_eq!(send_leniently(&proven.router()?, &courier).await?, "delivered", "{extensions:?}");
    }
    // What the operator demands is heeded.
    let zone = Zone::start().await?;
    zone.host("relay.test", "127.0.0.1".parse()?)?;
    let sink = Sink::start(Script::default().extensions(&["PIPELINING"])).await?;
    let rule = Rule {
        domains: vec!["there.test".to_owned()],
        relay: Some(format!("relay.test:{}", sink.address().port())),
        security: Some(Security::Encrypted),
        caller: Arc::new(Caller::default()),
    };
    let routing = Routing { resolver: Some(zone.address()), rules: vec![rule], ..Routing::default() };
    assert!(send_leniently(&DnsRouter::new(routing)?, &courier).await?.starts_with("450 4.7.5 "));
    Ok(())
}

/// What is told of sessions, in short.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

impl Ledger for Told {
    fn note(&self, domain: &str, Session { policy, failure }: &Session) {
        let failure = failure.as_ref().map_or_else(
            || "fine".to_owned(),
            |failure| {
                let host = failure.receiving_mx_hostname.as_deref().unwrap_or("nobody");
                format!("{:?} {host}", failure.result_type)
            },
        );
        let strings =
            policy.policy_string.first().map_or("", String::as_str).chars().take(6).collect::<String>();
        let line = format!("{domain} {:?} {strings:?} {failure}", policy.policy_type);
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push(line);
    }
}

fn courier_telling(told: &Arc<Told>, authorities: &[Vec<u8>]) -> Result<SmtpCourier> {
    let courier = SmtpCourier::new(SmtpConfig::new("mx.magpie.test"))?.trusting(authorities)?;
    Ok(courier.told_to(Arc::clone(told) as Arc<dyn Ledger>))
}

#[tokio::test]
async fn sessions_are_told_of_as_policies_see_them() -> Result<()> {
    let known = Identity::vouched_for(HOST)?;
    let misnamed = Identity::vouched_for("other.test")?;
    let stranger = Identity::alone(HOST)?;
    let plain: &[&str] = &["PIPELINING"];
    for (who, extensions, text, expected) in [
        (&known, TLS, policy("enforce", HOST), "Sts \"versio\" fine"),
        (&known, TLS, policy("testing", HOST), "Sts \"versio\" fine"),
        (&known, TLS, policy("enforce", "elsewhere.test"), "Sts \"versio\" ValidationFailure mx.there.test"),
        (&known, TLS, policy("testing", "elsewhere.test"), "Sts \"versio\" ValidationFailure mx.there.test"),
        (&stranger, TLS, policy("enforce", HOST), "Sts \"versio\" CertificateNotTrusted mx.there.test"),
        (&stranger, TLS, policy("testing", HOST), "Sts \"versio\" CertificateNotTrusted mx.there.test"),
        (&misnamed, TLS, policy("testing", HOST), "Sts \"versio\" CertificateHostMismatch mx.there.test"),
        (&known, plain, policy("enforce", HOST), "Sts \"versio\" StarttlsNotSupported mx.there.test"),
        (&known, plain, policy("testing", HOST), "Sts \"versio\" StarttlsNotSupported mx.there.test"),
        (&stranger, TLS, policy("none", HOST), "NoPolicyFound \"\" fine"),
        (&stranger, TLS, "nonsense".to_owned(), "Sts \"\" StsPolicyInvalid nobody"),
        (&stranger, TLS, String::new(), "Sts \"\" StsPolicyFetchError nobody"),
    ] {
        let told = Arc::new(Told::default());
        let published = Published::start(who, extensions, &text).await?;
        let router = published.router()?.told_to(Arc::clone(&told) as Arc<dyn Ledger>);
        let authorities = [known.chain[1].to_vec(), misnamed.chain[1].to_vec()];
        let courier = courier_telling(&told, &authorities)?;
        send(&router, &courier).await?;
        let first = told.all().first().cloned().unwrap_or_default();
        assert_eq!(first, format!("there.test {expected}"), "{text}: {:?}", told.all());
        // What is not to heed the domain's demands is not told of.
        let before = told.all().len();
        assert_eq!(send_leniently(&router, &courier).await?, "delivered");
        assert_eq!(told.all().len(), before, "{text}");
    }
    for (data, expected) in [
        (sha256(&known.public_key), "there.test Tlsa \"3 1 1 \" fine"),
        (sha256(b"another"), "there.test Tlsa \"3 1 1 \" CertificateNotTrusted mx.there.test"),
    ] {
        let told = Arc::new(Told::default());
        let proven = Proven::start(&known, TLS, |zone, port| zone.tlsa(HOST, port, [3, 1, 1], &data)).await?;
        send(&proven.router()?, &courier_telling(&told, &[])?).await?;
        assert_eq!(told.all(), [expected]);
    }
    Ok(())
}
