//! SPF, RFC 7208.

use filter::{Action, Outcome};

use crate::kit::{Door, letter, mail, outcome};

async fn check(door: &Door, client: &str, domain: &str, wanted: Outcome) {
    let sender = format!("alice@{domain}");
    let verdict = door.filter.check(&mail(client, Some(&sender), letter("x@nowhere.test"))).await;
    assert_eq!(outcome(&verdict, "spf"), wanted, "{client} for {domain}");
    assert_eq!(verdict.action, Action::Accept, "SPF alone refuses nothing");
}

#[tokio::test]
async fn a_client_is_allowed_or_not() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("a.test", "v=spf1 ip4:192.0.2.0/28 ip6:2001:db8::/32 -all").unwrap();
    zone.txt("soft.test", "v=spf1 ~all").unwrap();
    zone.txt("neutral.test", "v=spf1 ?all").unwrap();
    zone.txt("other.test", "something else").unwrap();
    zone.txt("include.test", "v=spf1 include:a.test -all").unwrap();
    zone.txt("redirect.test", "v=spf1 redirect=a.test").unwrap();
    zone.txt("mx.test", "v=spf1 mx -all").unwrap().mx("mx.test", 10, "host.test").unwrap();
    zone.host("host.test", "192.0.2.1".parse().unwrap()).unwrap();
    zone.txt("exists.test", "v=spf1 exists:%{ir}.%{l}.list.test -all").unwrap();
    zone.host("1.2.0.192.alice.list.test", "127.0.0.2".parse().unwrap()).unwrap();
    check(&door, "192.0.2.1", "a.test", Outcome::Pass).await;
    check(&door, "::ffff:192.0.2.1", "a.test", Outcome::Pass).await;
    check(&door, "2001:db8::1", "a.test", Outcome::Pass).await;
    check(&door, "192.0.2.77", "a.test", Outcome::Fail).await;
    check(&door, "192.0.2.1", "soft.test", Outcome::SoftFail).await;
    check(&door, "192.0.2.1", "neutral.test", Outcome::Neutral).await;
    check(&door, "192.0.2.1", "other.test", Outcome::None).await;
    check(&door, "192.0.2.1", "unknown.test", Outcome::None).await;
    check(&door, "192.0.2.1", "include.test", Outcome::Pass).await;
    check(&door, "192.0.2.77", "include.test", Outcome::Fail).await;
    check(&door, "192.0.2.1", "redirect.test", Outcome::Pass).await;
    check(&door, "192.0.2.1", "mx.test", Outcome::Pass).await;
    check(&door, "192.0.2.1", "exists.test", Outcome::Pass).await;
    check(&door, "192.0.2.2", "exists.test", Outcome::Fail).await;
}

#[tokio::test]
async fn records_that_lie_are_permanent_errors() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("two.test", "v=spf1 +all").unwrap().txt("two.test", "v=spf1 -all").unwrap();
    zone.txt("syntax.test", "v=spf1 ip4:not-an-address -all").unwrap();
    zone.txt("loop.test", "v=spf1 include:loop.test -all").unwrap();
    zone.txt("dangling.test", "v=spf1 include:unknown.test -all").unwrap();
    let eleven: String = (0..11).map(|n| format!("include:i{n}.test ")).collect();
    zone.txt("many.test", &format!("v=spf1 {eleven}+all")).unwrap();
    let ten: String = (0..10).map(|n| format!("include:i{n}.test ")).collect();
    zone.txt("ten.test", &format!("v=spf1 {ten}+all")).unwrap();
    for n in 0..11 {
        zone.txt(&format!("i{n}.test"), "v=spf1 ?all").unwrap();
    }
    zone.txt("void.test", "v=spf1 a:v1.test a:v2.test a:v3.test +all").unwrap();
    zone.txt("twovoid.test", "v=spf1 a:v1.test a:v2.test +all").unwrap();
    zone.empty("v3.test").unwrap();
    for domain in ["two.test", "syntax.test", "loop.test", "dangling.test", "many.test", "void.test"] {
        check(&door, "192.0.2.1", domain, Outcome::PermError).await;
    }
    check(&door, "192.0.2.1", "ten.test", Outcome::Pass).await;
    check(&door, "192.0.2.1", "twovoid.test", Outcome::Pass).await;
}

#[tokio::test]
async fn dns_that_fails_is_a_temporary_error() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.servfail("down.test").unwrap();
    zone.txt("include.test", "v=spf1 include:down.test -all").unwrap();
    zone.txt("a.test", "v=spf1 a:down.test -all").unwrap();
    for domain in ["down.test", "include.test", "a.test"] {
        check(&door, "192.0.2.1", domain, Outcome::TempError).await;
    }
}

#[tokio::test]
async fn a_giant_answer_is_only_an_answer() {
    let door = Door::new().await;
    let text = format!("v=spf1 {}-all", "ip4:198.51.100.1 ".repeat(3_000));
    door.zone.txt("giant.test", &text).unwrap();
    for n in 0..100 {
        door.zone.txt("noise.test", &format!("{n}{}", "x".repeat(400))).unwrap();
    }
    door.zone.txt("noise.test", "v=spf1 +all").unwrap();
    check(&door, "192.0.2.1", "giant.test", Outcome::Fail).await;
    check(&door, "192.0.2.1", "noise.test", Outcome::Pass).await;
}

#[tokio::test]
async fn helo_is_checked_as_well() {
    let door = Door::new().await;
    door.zone.txt("client.test", "v=spf1 ip4:192.0.2.1 -all").unwrap();
    let verdict = door.check(None, letter("x@nowhere.test")).await;
    assert_eq!(outcome(&verdict, "spf"), Outcome::Pass);
    assert_eq!(verdict.results[0].property("smtp.helo"), Some("client.test"));
    let verdict = door.check(Some("alice@a.test"), letter("x@nowhere.test")).await;
    let found: Vec<_> = verdict.results.iter().filter(|result| result.method == "spf").collect();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].property("smtp.mailfrom"), Some("alice@a.test"));
}
