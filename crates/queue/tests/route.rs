//! Routing against a real DNS server with a zone of the test's own.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use queue::{Caller, DnsRouter, Router, Routing, Rule, Security};
use testkit::Zone;

fn routing(zone: &Zone) -> Routing {
    Routing {
        resolver: Some(zone.address()),
        port: 2525,
        allow_private_targets: true,
        own_names: vec!["mx.magpie.test".to_owned()],
        own_addresses: vec![SocketAddr::from(([127, 0, 0, 99], 2525))],
        ..Routing::default()
    }
}

async fn zone() -> Result<Zone> {
    let zone = Zone::start().await?;
    for (host, address) in [
        ("a.hosts.test", "127.0.0.1"),
        ("a.hosts.test", "::1"),
        ("b.hosts.test", "127.0.0.2"),
        ("c.hosts.test", "127.0.0.3"),
        ("public.hosts.test", "192.88.99.7"),
        ("ours.hosts.test", "127.0.0.99"),
        ("bare.test", "127.0.0.4"),
    ] {
        zone.host(host, address.parse()?)?;
    }
    zone.mx("one.test", 20, "b.hosts.test")?.mx("one.test", 10, "a.hosts.test")?;
    zone.mx("한국.test", 10, "b.hosts.test")?;
    zone.mx("equal.test", 10, "b.hosts.test")?.mx("equal.test", 10, "c.hosts.test")?;
    zone.mx("mixed.test", 5, "gone.hosts.test")?.mx("mixed.test", 10, "b.hosts.test")?;
    zone.mx("dangling.test", 5, "gone.hosts.test")?;
    zone.null_mx("null.test")?;
    zone.empty("empty.test")?;
    zone.servfail("broken.test")?;
    zone.servfail("broken.hosts.test")?;
    zone.mx("halfbroken.test", 10, "broken.hosts.test")?;
    zone.mx("backup.test", 10, "a.hosts.test")?.mx("backup.test", 20, "mx.magpie.test")?;
    zone.mx("backup.test", 30, "c.hosts.test")?;
    zone.mx("loop.test", 10, "MX.magpie.test")?;
    zone.mx("loopaddress.test", 10, "ours.hosts.test")?;
    zone.mx("public.test", 10, "public.hosts.test")?.mx("public.test", 5, "a.hosts.test")?;
    Ok(zone)
}

async fn check(router: &DnsRouter, domain: &str, expected: &str) {
    let shown = match router.route(domain, 7).await {
        Ok(way) => {
            let shown = |target: queue::Target| format!("{}={}", target.host, target.address);
            way.targets.into_iter().map(shown).collect::<Vec<_>>().join(" ")
        }
        Err(reply) => format!("{} {}", reply.code, reply.status()),
    };
    assert_eq!(shown, expected, "{domain}");
}

#[tokio::test]
async fn mail_goes_where_the_zone_says() -> Result<()> {
    let zone = zone().await?;
    let router = DnsRouter::new(routing(&zone))?;
    let one = "a.hosts.test=[::1]:2525 a.hosts.test=127.0.0.1:2525 b.hosts.test=127.0.0.2:2525";
    for (domain, expected) in [
        ("one.test", one),
        ("ONE.test.", one),
        ("한국.test", "b.hosts.test=127.0.0.2:2525"),
        ("mixed.test", "b.hosts.test=127.0.0.2:2525"),
        ("bare.test", "bare.test=127.0.0.4:2525"),
        ("[127.0.0.9]", "[127.0.0.9]=127.0.0.9:2525"),
        ("[IPv6:::1]", "[IPv6:::1]=[::1]:2525"),
        ("nowhere.test", "550 5.1.2"),
        ("empty.test", "550 5.1.2"),
        ("null.test", "550 5.1.10"),
        ("dangling.test", "550 5.4.4"),
        ("broken.test", "450 4.4.3"),
        ("halfbroken.test", "450 4.4.3"),
        ("backup.test", "a.hosts.test=[::1]:2525 a.hosts.test=127.0.0.1:2525"),
        ("loop.test", "550 5.4.6"),
        ("loopaddress.test", "550 5.4.6"),
    ] {
        check(&router, domain, expected).await;
    }
    Ok(())
}

#[tokio::test]
async fn hosts_of_one_preference_take_turns() -> Result<()> {
    let zone = zone().await?;
    let router = DnsRouter::new(routing(&zone))?;
    let mut first = [0, 0];
    for random in 0..200 {
        let targets = router.route("equal.test", random).await.expect("a route").targets;
        assert_eq!(targets.len(), 2);
        first[usize::from(targets[0].host == "c.hosts.test")] += 1;
    }
    assert!(first[0] > 60 && first[1] > 60, "{first:?}");
    Ok(())
}

#[tokio::test]
async fn private_targets_are_refused_by_default() -> Result<()> {
    let zone = zone().await?;
    let router = DnsRouter::new(Routing { allow_private_targets: false, ..routing(&zone) })?;
    check(&router, "one.test", "550 5.4.4").await;
    check(&router, "[127.0.0.1]", "550 5.4.4").await;
    check(&router, "public.test", "public.hosts.test=192.88.99.7:2525").await;
    Ok(())
}

#[tokio::test]
async fn a_relay_takes_all_mail() -> Result<()> {
    let zone = zone().await?;
    let at = |relay: &str| {
        let rule = Rule { domains: vec!["*".to_owned()], relay: Some(relay.to_owned()), ..Rule::default() };
        DnsRouter::new(Routing { rules: vec![rule], ..routing(&zone) })
    };
    check(&at("127.0.0.1:25")?, "nowhere.test", "127.0.0.1=127.0.0.1:25").await;
    check(&at("b.hosts.test:587")?, "one.test", "b.hosts.test=127.0.0.2:587").await;
    check(&at("gone.hosts.test:587")?, "one.test", "450 4.4.4").await;
    check(&at("b.hosts.test")?, "one.test", "450 4.4.4").await;
    Ok(())
}

#[tokio::test]
async fn the_first_rule_that_fits_decides() -> Result<()> {
    let zone = zone().await?;
    let rule = |domain: &str, relay: Option<&str>| Rule {
        domains: vec![domain.to_owned()],
        relay: relay.map(str::to_owned),
        ..Rule::default()
    };
    let hello = Arc::new(Caller { hello: Some("out.magpie.test".to_owned()), ..Caller::default() });
    let rules = vec![
        rule("one.test", Some("127.0.0.7:2500")),
        rule("*.partner.test", Some("127.0.0.8:2500")),
        Rule { caller: Arc::clone(&hello), security: Some(Security::Encrypted), ..rule("equal.test", None) },
    ];
    let router = DnsRouter::new(Routing { rules, ..routing(&zone) })?;
    check(&router, "One.test", "127.0.0.7=127.0.0.7:2500").await;
    check(&router, "a.partner.test", "127.0.0.8=127.0.0.8:2500").await;
    check(&router, "bare.test", "bare.test=127.0.0.4:2525").await;
    check(&router, &router.by_way_of("127.0.0.9:26"), "127.0.0.9=127.0.0.9:26").await;
    let way = router.route("equal.test", 1).await.expect("a way");
    assert_eq!((&way.caller, &way.targets[0].security), (&hello, &Security::Encrypted));

    let destinations = ["one.test", "a.partner.test", "b.partner.test", "bare.test"];
    let destinations = destinations.map(|domain| router.destination(domain));
    assert_eq!(destinations[1], destinations[2], "they share transactions");
    assert_eq!(destinations[3], "bare.test");
    check(&router, &destinations[1], "127.0.0.8=127.0.0.8:2500").await;
    Ok(())
}

#[tokio::test]
async fn domains_whose_mail_goes_to_the_same_provider_are_one_group() -> Result<()> {
    let zone = zone().await?;
    let router = DnsRouter::new(routing(&zone))?;
    for (domain, group) in
        [("one.test", "hosts.test"), ("equal.test", "hosts.test"), ("bare.test", "bare.test")]
    {
        assert_eq!(router.route(domain, 1).await.expect("a way").group, group);
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_resolver_is_temporary() -> Result<()> {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    let resolver: SocketAddr = silent.local_addr()?;
    let router = DnsRouter::new(Routing { resolver: Some(resolver), ..Routing::default() })?;
    // Nothing but timers can move, so the paused clock runs through the time-outs at once.
    tokio::time::pause();
    check(&router, "one.test", "450 4.4.3").await;
    Ok(())
}
