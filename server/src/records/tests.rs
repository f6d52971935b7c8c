//! Records against a zone that has them, or lies.

use testkit::Zone;
use types::{DkimAlgorithm, DomainId, Secret, Timestamp};

use super::*;

fn key(selector: &str, phase: KeyPhase) -> DkimKey {
    DkimKey {
        domain: DomainId(1),
        selector: selector.to_owned(),
        algorithm: DkimAlgorithm::Ed25519,
        private_key: Secret::default(),
        public_key: vec![7; 32],
        phase,
        created_at: Timestamp::from_seconds(0),
        since: Timestamp::from_seconds(0),
    }
}

// Of the Internet: what is set aside for examples needs no name.
const ADDRESS: &str = "9.9.9.7";
const SERVICES: [(&str, u16); 1] = [("submissions", 465)];

/// Everything as it should be.
fn fill(zone: &Zone) -> anyhow::Result<()> {
    zone.mx("a.test", 10, "mx.a.test")?.host("mx.a.test", ADDRESS.parse()?)?;
    zone.txt("a.test", "v=spf1 mx -all")?.txt("a.test", "some other text")?;
    zone.txt("k1._domainkey.a.test", &keys::record(DkimAlgorithm::Ed25519, &[7; 32]))?;
    zone.txt("_dmarc.a.test", "v=DMARC1; p=none")?;
    zone.ptr(ADDRESS.parse()?, "mx.a.test")?;
    zone.txt("_mta-sts.a.test", "v=STSv1; id=abc;")?.host("mta-sts.a.test", ADDRESS.parse()?)?;
    zone.txt("_smtp._tls.a.test", "v=TLSRPTv1; rua=mailto:x@a.test")?;
    zone.srv("_submissions._tcp.a.test", 465, "mx.a.test")?;
    Ok(())
}

async fn found(zone: &Zone, keys: &[DkimKey]) -> Vec<(Wanted, State)> {
    let dns = Dns::new(Some(zone.address())).unwrap();
    let addresses = addresses(&dns, "mx.a.test").await.unwrap_or_default();
    let facts = Facts {
        domain: "a.test",
        hostname: "mx.a.test",
        keys,
        addresses: &addresses,
        spki: None,
        policy_id: Some("abc".to_owned()),
        services: &SERVICES,
    };
    let wanted = wanted(&facts);
    let states = compare(&dns, &facts, &wanted).await;
    wanted.into_iter().zip(states).collect()
}

fn wrong(records: &[(Wanted, State)]) -> Vec<String> {
    let wrong = records.iter().filter(|(_, state)| *state != State::Right);
    wrong.map(|(wanted, state)| format!("{} {state:?}", wanted.name)).collect()
}

#[tokio::test]
async fn a_zone_that_has_everything_is_right() -> anyhow::Result<()> {
    let zone = Zone::start().await?;
    fill(&zone)?;
    let records = found(&zone, &[key("k1", KeyPhase::Signing)]).await;
    assert_eq!(wrong(&records), [""; 0]);
    assert_eq!(records.len(), 10);
    assert!(as_lines(&records).lines().all(|line| line.starts_with("ok  ")));
    Ok(())
}

#[tokio::test]
async fn an_empty_zone_lacks_everything() -> anyhow::Result<()> {
    let zone = Zone::start().await?;
    let records = found(&zone, &[key("k1", KeyPhase::Waiting), key("k0", KeyPhase::Retired)]).await;
    assert_eq!(wrong(&records).len(), records.len());
    assert!(records.iter().all(|(_, state)| *state == State::Missing));
    let needed: Vec<_> = records.iter().filter(|(wanted, _)| wanted.need == Need::Needed).collect();
    assert_eq!(needed.len(), 5, "MX, address, SPF, the waiting key, DMARC");
    let text = as_lines(&records);
    assert!(
        text.contains(
            "MISS a.test MX: others' mail is brought here\n       a.test. 3600 IN MX 10 mx.a.test.\n"
        ),
        "{text}"
    );
    assert!(text.contains("hint k0._domainkey.a.test TXT"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_says_something_else_is_told() {
    let check = async |spoil: fn(&Zone) -> anyhow::Result<&Zone>, forget: &str, name: &str| {
        let zone = Zone::start().await.unwrap();
        fill(&zone).unwrap();
        zone.forget(forget).unwrap();
        spoil(&zone).unwrap();
        let records = found(&zone, &[key("k1", KeyPhase::Signing)]).await;
        let wrong = wrong(&records);
        assert!(wrong.len() == 1 && wrong[0].starts_with(&format!("{name} Different")), "{name}: {wrong:?}");
    };
    check(
        |zone| zone.txt("a.test", "v=spf1 ip4:203.0.113.1 -all")?.mx("a.test", 10, "mx.a.test"),
        "a.test",
        "a.test",
    )
    .await;
    check(|zone| zone.txt("a.test", "v=spf1 -all"), "nothing.test", "a.test").await;
    let selector = "k1._domainkey.a.test";
    check(|zone| zone.txt("k1._domainkey.a.test", "v=DKIM1; p=AAAA"), selector, selector).await;
    check(
        |zone| zone.txt("k1._domainkey.a.test", &keys::record(DkimAlgorithm::Rsa, &[7; 32])),
        selector,
        selector,
    )
    .await;
    let dmarc = "_dmarc.a.test";
    check(|zone| zone.txt("_dmarc.a.test", "v=DMARC1; p=nonsense"), dmarc, dmarc).await;
    check(|zone| zone.txt("_dmarc.a.test", "v=DMARC1; p=reject"), "nothing.test", dmarc).await;
    let sts = "_mta-sts.a.test";
    check(|zone| zone.txt("_mta-sts.a.test", "v=STSv1; id=old"), sts, sts).await;
    let service = "_submissions._tcp.a.test";
    check(|zone| zone.srv("_submissions._tcp.a.test", 587, "mx.a.test"), service, service).await;
    let arpa = "7.9.9.9.in-addr.arpa";
    check(|zone| zone.ptr(ADDRESS.parse()?, "host.provider.test"), arpa, arpa).await;
}

#[tokio::test]
async fn silence_is_told_apart_from_absence() -> anyhow::Result<()> {
    let zone = Zone::start().await?;
    fill(&zone)?;
    zone.servfail("_dmarc.a.test")?;
    let records = found(&zone, &[key("k1", KeyPhase::Signing)]).await;
    let (_, state) = records.iter().find(|(wanted, _)| wanted.name == "_dmarc.a.test").unwrap();
    assert!(matches!(state, State::Unanswered(_)), "{state:?}");
    zone.servfail("mx.a.test")?;
    let records = found(&zone, &[key("k1", KeyPhase::Signing)]).await;
    for name in ["mx.a.test", "a.test"] {
        let of = |wanted: &Wanted| wanted.name == name && matches!(wanted.data, Data::Address | Data::Spf(_));
        let (_, state) = records.iter().find(|(wanted, _)| of(wanted)).unwrap();
        assert!(matches!(state, State::Unanswered(_)), "{name}: {state:?}");
    }
    Ok(())
}

#[tokio::test]
async fn zone_files_and_programs_get_them_all() -> anyhow::Result<()> {
    let zone = Zone::start().await?;
    let long =
        DkimKey { algorithm: DkimAlgorithm::Rsa, public_key: vec![1; 294], ..key("k1", KeyPhase::Signing) };
    let records = found(&zone, &[long]).await;
    let wanted: Vec<_> = records.iter().map(|(wanted, _)| wanted.clone()).collect();
    let text = as_zone(&wanted);
    let line = text
        .lines()
        .find(|line| line.starts_with("k1._domainkey.a.test. 3600 IN TXT \"v=DKIM1; k=rsa; p="))
        .unwrap();
    assert!(line.split('"').all(|string| string.len() <= 255), "{line}");
    assert!(text.contains("_submissions._tcp.a.test. 3600 IN SRV 0 1 465 mx.a.test.\n"), "{text}");
    assert!(text.contains("_mta-sts.a.test. 3600 IN TXT \"v=STSv1; id=abc\"\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&as_json(&records))?;
    assert_eq!(json[0]["type"], "MX");
    assert_eq!((json[0]["state"].as_str(), json[0]["needed"].as_bool()), (Some("missing"), Some(true)));
    Ok(())
}
