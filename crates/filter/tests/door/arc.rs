//! ARC, RFC 8617: what we seal is verified by another implementation.

use filter::{Action, Outcome, Rules, results, seal};

use crate::kit::{Door, HOST, NOW, is_rejected, letter, of, outcome, rules};

/// What a forwarder does: it checks the mail, writes what it found on top, and seals it.
async fn forwarded(door: &Door, forwarder: &str, sender: &str, raw: String) -> String {
    let verdict = door.check(Some(sender), raw.clone()).await;
    let received = format!("{}Received: by {HOST}\r\n{raw}", results::field(HOST, &verdict.results));
    let key = &door.keys(forwarder)[0];
    let sealed = seal::seal(received.as_bytes(), key, HOST, NOW).unwrap().unwrap();
    format!("{sealed}{received}")
}

async fn door(trusted: &[&str]) -> Door {
    let trusted_sealers = trusted.iter().map(|&domain| domain.to_owned()).collect();
    let door = Door::with(Rules { trusted_sealers, ..rules() }).await;
    door.zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
    door.zone.txt("a.test", "v=spf1 ip4:192.0.2.1 -all").unwrap();
    door
}

#[tokio::test]
async fn a_chain_of_ours_holds() {
    let door = door(&[]).await;
    let once = forwarded(&door, "list.test", "x@a.test", letter("ceo@a.test")).await;
    let verdict = door.check(Some("x@list.test"), once.clone()).await;
    assert_eq!(outcome(&verdict, "arc"), Outcome::Pass, "{:?}", verdict.results);
    assert_eq!(of(&verdict, "arc").property("header.d"), Some("list.test"));
    let twice = forwarded(&door, "other.test", "x@list.test", once).await;
    let verdict = door.check(Some("x@other.test"), twice.clone()).await;
    assert_eq!(outcome(&verdict, "arc"), Outcome::Pass, "{:?}", verdict.results);
    assert!(is_rejected(&verdict), "nobody trusts them");
    for (from, to) in
        [("Hello", "Hullo"), ("Subject: Hi", "Subject: Ho"), ("i=1;", "i=3;"), ("dmarc=pass", "dmarc=fail")]
    {
        let changed = twice.replacen(from, to, 1);
        assert_ne!(changed, twice);
        assert_eq!(outcome(&door.check(None, changed).await, "arc"), Outcome::Fail, "{to}");
    }
}

#[tokio::test]
async fn trusted_sealers_are_believed() {
    let all = door(&["list.test", "other.test"]).await;
    let once = forwarded(&all, "list.test", "x@a.test", letter("ceo@a.test")).await;
    let verdict = all.check(Some("x@list.test"), once.clone()).await;
    assert_eq!(
        (verdict.action.clone(), outcome(&verdict, "dmarc")),
        (Action::Accept, Outcome::Fail),
        "{verdict:?}"
    );
    let twice = forwarded(&all, "other.test", "x@list.test", once.clone()).await;
    assert_eq!(all.check(Some("x@other.test"), twice).await.action, Action::Accept);

    let one = door(&["other.test"]).await;
    let once = forwarded(&one, "list.test", "x@a.test", letter("ceo@a.test")).await;
    assert!(is_rejected(&one.check(Some("x@list.test"), once.clone()).await));
    let twice = forwarded(&one, "other.test", "x@list.test", once).await;
    assert!(is_rejected(&one.check(Some("x@other.test"), twice).await), "all of them have to be trusted");

    let changed = door(&["list.test"]).await;
    let once = forwarded(&changed, "list.test", "x@a.test", letter("ceo@a.test")).await;
    let changed = changed.check(Some("x@list.test"), once.replace("Hello", "Hullo")).await;
    assert!(is_rejected(&changed));
}

#[tokio::test]
async fn what_did_not_pass_before_is_not_vouched_for() {
    let door = door(&["list.test"]).await;
    let forged = forwarded(&door, "list.test", "x@evil.test", letter("ceo@a.test")).await;
    assert!(is_rejected(&door.check(Some("x@list.test"), forged).await));
}

#[tokio::test]
async fn a_chain_that_did_not_hold_is_not_sealed_on() {
    let door = door(&[]).await;
    let once =
        forwarded(&door, "list.test", "x@a.test", letter("ceo@a.test")).await.replace("Hello", "Hullo");
    let verdict = door.check(None, once.clone()).await;
    let received = format!("{}Received: by {HOST}\r\n{once}", results::field(HOST, &verdict.results));
    let key = &door.keys("other.test")[0];
    assert_eq!(seal::seal(received.as_bytes(), key, HOST, NOW).unwrap(), None);
    assert_eq!(seal::seal(letter("ceo@a.test").as_bytes(), key, HOST, NOW).unwrap(), None, "never checked");
}
