//! What is reported to the domains that mail claims to be from.

use std::sync::Mutex;

use filter::aggregate::{Because, Disposition, Ledger, Row, note};
use filter::{Mode, Outcome, Rules};

use crate::kit::{Door, letter, mail, rules};

#[derive(Default)]
struct Noted(Mutex<Vec<(String, Row)>>);

impl Ledger for Noted {
    fn note(&self, domain: &str, row: &Row) {
        self.0.lock().unwrap().push((domain.to_owned(), row.clone()));
    }
}

/// The rows of a mail from another server.
async fn rows(door: &Door, sender: Option<&str>, raw: String) -> Vec<(String, Row)> {
    let mail = mail("192.0.2.1", sender, raw);
    let (verdict, noted) = (door.filter.check(&mail).await, Noted::default());
    note(&noted, &mail, &verdict);
    noted.0.into_inner().unwrap()
}

fn publish(door: &Door) {
    for (name, policy) in [
        ("a.test", "v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@a.test"),
        ("some.test", "v=DMARC1; p=reject; pct=10; rua=mailto:d@some.test"),
        ("silent.test", "v=DMARC1; p=reject"),
        ("web.test", "v=DMARC1; p=reject; rua=https://web.test/"),
    ] {
        door.zone.txt(&format!("_dmarc.{name}"), policy).unwrap();
        door.zone.txt(name, "v=spf1 ip4:192.0.2.1 -all").unwrap();
    }
    door.zone.empty("sub.a.test").unwrap();
    door.zone.servfail("_dmarc.down.test").unwrap();
}

#[tokio::test]
async fn domains_that_ask_are_told_what_was_done() {
    let door = Door::new().await;
    publish(&door);
    let check = async |sender: &str,
                       raw: String,
                       wanted: Option<(&str, Disposition, Option<Because>, bool, bool)>| {
        let found = rows(&door, Some(sender), raw).await;
        let found: Vec<_> = found
            .iter()
            .map(|(domain, row)| (domain.as_str(), row.disposition, row.because, row.spf, row.dkim))
            .collect();
        assert_eq!(found, Vec::from_iter(wanted), "{sender}");
    };
    use Disposition::{None as Nothing, Quarantine, Reject};
    check("x@a.test", letter("ceo@a.test"), Some(("a.test", Nothing, None, true, false))).await;
    let signed = door.signed("a.test", &letter("ceo@a.test"));
    check("x@other.test", signed, Some(("a.test", Nothing, None, false, true))).await;
    check("x@other.test", letter("ceo@a.test"), Some(("a.test", Reject, None, false, false))).await;
    check("x@other.test", letter("ceo@sub.a.test"), Some(("a.test", Quarantine, None, false, false))).await;
    let tested = Some(Because::Tested);
    check("x@other.test", letter("ceo@some.test"), Some(("some.test", Quarantine, tested, false, false)))
        .await;
    for from in ["silent.test", "web.test", "none.test", "down.test"] {
        check("x@other.test", letter(&format!("ceo@{from}")), None).await;
    }
    let both = rows(&door, Some("x@a.test"), letter("ceo@a.test, cto@some.test")).await;
    let both: Vec<_> = both.iter().map(|(domain, row)| (domain.as_str(), row.disposition, row.spf)).collect();
    assert_eq!(both, [("a.test", Nothing, true), ("some.test", Quarantine, false)], "each for itself");
}

#[tokio::test]
async fn a_row_tells_of_servers_and_not_of_people() {
    let door = Door::with(Rules { dmarc: Mode::Mark, ..rules() }).await;
    publish(&door);
    let raw = door.signed("other.test", &letter("ceo@a.test"));
    let found = rows(&door, Some("bounces@Other.test"), raw).await;
    let [(_, row)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(row.because, Some(Because::LocalPolicy), "it is only marked");
    assert_eq!((row.client.to_string().as_str(), row.header_from.as_str()), ("192.0.2.1", "a.test"));
    assert_eq!(row.envelope_from.as_deref(), Some("other.test"));
    assert_eq!(row.path, Some(("other.test".to_owned(), Outcome::None)));
    let signatures: Vec<_> =
        row.signatures.iter().map(|(domain, _, word)| (domain.as_str(), *word)).collect();
    assert_eq!(signatures, [("other.test", Outcome::Pass), ("other.test", Outcome::Pass)]);
    assert!(!format!("{row:?}").contains("ceo") && !format!("{row:?}").contains("bounces"), "{row:?}");

    let found = rows(&door, None, letter("mailer-daemon@a.test")).await;
    let [(_, row)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (row.envelope_from.as_deref(), row.path.as_ref().map(|(name, _)| name.as_str())),
        (None, Some("client.test"))
    );

    let report = letter("ceo@a.test").replace("Subject: Hi", "Subject:  REPORT domain: here.test");
    for (sender, wanted) in [("x@a.test", true), ("x@other.test", false)] {
        let found = rows(&door, Some(sender), report.clone()).await;
        assert_eq!(found[0].1.is_report, wanted, "only whoever is proven may say so");
    }
}
