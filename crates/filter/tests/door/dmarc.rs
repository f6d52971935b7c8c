//! DMARC, RFC 9989.

use filter::{Action, Filter, Mode, OnTempError, Outcome, Rules};

use crate::kit::{Door, is_rejected, letter, mail, of, outcome, rules};

#[tokio::test]
async fn what_the_domain_wants_is_done() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("_dmarc.reject.test", "v=DMARC1; p=reject").unwrap();
    zone.txt("_dmarc.junk.test", "v=DMARC1; p=quarantine").unwrap();
    zone.txt("_dmarc.none.test", "v=DMARC1; p=none").unwrap();
    let verdict = door.check(Some("x@other.test"), letter("ceo@reject.test")).await;
    assert!(is_rejected(&verdict), "{verdict:?}");
    assert_eq!(of(&verdict, "dmarc").property("header.from"), Some("reject.test"));
    assert_eq!(door.check(Some("x@other.test"), letter("ceo@junk.test")).await.action, Action::Quarantine);
    let verdict = door.check(Some("x@other.test"), letter("ceo@none.test")).await;
    assert_eq!((verdict.action.clone(), outcome(&verdict, "dmarc")), (Action::Accept, Outcome::Fail));
    let verdict = door.check(Some("x@other.test"), letter("ceo@without.test")).await;
    assert_eq!((verdict.action.clone(), outcome(&verdict, "dmarc")), (Action::Accept, Outcome::None));
}

#[tokio::test]
async fn either_way_of_passing_is_enough() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
    zone.txt("_dmarc.strict.test", "v=DMARC1; p=reject; aspf=s; adkim=s").unwrap();
    for domain in ["a.test", "bounce.a.test", "bounce.strict.test"] {
        zone.txt(domain, "v=spf1 ip4:192.0.2.1 -all").unwrap();
    }
    let pass = async |sender: &str, raw: String, wanted: Outcome| {
        let verdict = door.check(Some(sender), raw).await;
        assert_eq!(outcome(&verdict, "dmarc"), wanted, "{sender} {:?}", verdict.results);
        assert_eq!(is_rejected(&verdict), wanted == Outcome::Fail);
    };
    pass("x@a.test", letter("ceo@a.test"), Outcome::Pass).await;
    pass("x@bounce.a.test", letter("ceo@a.test"), Outcome::Pass).await;
    pass("x@bounce.a.test", letter("ceo@news.a.test"), Outcome::Pass).await;
    pass("x@bounce.strict.test", letter("ceo@strict.test"), Outcome::Fail).await;
    pass("x@other.test", door.signed("a.test", &letter("ceo@a.test")), Outcome::Pass).await;
    pass("x@other.test", door.signed("mail.a.test", &letter("ceo@a.test")), Outcome::Pass).await;
    pass("x@other.test", door.signed("mail.strict.test", &letter("ceo@strict.test")), Outcome::Fail).await;
    pass("x@other.test", door.signed("other.test", &letter("ceo@a.test")), Outcome::Fail).await;
    pass("x@other.test", door.signed("xa.test", &letter("ceo@a.test")), Outcome::Fail).await;
    // RFC 9989 §4.6: of the null path it is the name in HELO that counts.
    zone.txt("_dmarc.client.test", "v=DMARC1; p=reject").unwrap();
    zone.txt("client.test", "v=spf1 ip4:192.0.2.1 -all").unwrap();
    let verdict = door.check(None, letter("mailer-daemon@client.test")).await;
    assert_eq!(outcome(&verdict, "dmarc"), Outcome::Pass);
}

#[tokio::test]
async fn subdomains_have_policies_of_their_own() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("_dmarc.a.test", "v=DMARC1; p=none; sp=quarantine; np=reject").unwrap();
    zone.host("there.a.test", "192.0.2.9".parse().unwrap()).unwrap();
    let action = async |from: &str| door.check(Some("x@other.test"), letter(from)).await.action;
    assert_eq!(action("x@a.test").await, Action::Accept);
    assert_eq!(action("x@there.a.test").await, Action::Quarantine);
    assert!(matches!(action("x@never.a.test").await, Action::Reject(_)));
}

#[tokio::test]
async fn a_policy_for_a_part_is_for_that_part() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("_dmarc.some.test", "v=DMARC1; p=reject; pct=10").unwrap();
    zone.txt("_dmarc.trial.test", "v=DMARC1; p=reject; t=y").unwrap();
    let mut mail = mail("192.0.2.1", Some("x@other.test"), letter("x@some.test"));
    for (sample, wanted) in [(9, false), (10, true), (99, true)] {
        mail.sample = sample;
        let verdict = door.filter.check(&mail).await;
        assert_eq!(verdict.action == Action::Quarantine, wanted, "{sample}");
        assert_eq!(is_rejected(&verdict), !wanted, "{sample}");
    }
    let verdict = door.check(Some("x@other.test"), letter("x@trial.test")).await;
    assert_eq!(verdict.action, Action::Quarantine);
}

#[tokio::test]
async fn records_that_lie_have_no_say() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("_dmarc.two.test", "v=DMARC1; p=reject")
        .unwrap()
        .txt("_dmarc.two.test", "v=DMARC1; p=none")
        .unwrap();
    zone.txt("_dmarc.beside.test", "google-verification=x").unwrap();
    zone.txt("_dmarc.beside.test", "v=DMARC1; p=reject").unwrap();
    zone.txt("_dmarc.syntax.test", "v=DMARC1; p=rejekt").unwrap();
    zone.txt("_dmarc.reports.test", "v=DMARC1; p=rejekt; rua=mailto:x@reports.test").unwrap();
    zone.txt("_dmarc.slip.test", "v=DMARC1; p=reject; adkim=relaxed!; sp=rejekt; fo=9").unwrap();
    zone.txt("_dmarc.nopolicy.test", "v=DMARC1; rua=mailto:x@nopolicy.test").unwrap();
    zone.txt("_dmarc.version.test", "v=DMARC2; p=reject").unwrap();
    zone.txt("_dmarc.giant.test", &format!("v=DMARC1; p=reject; x={}", "y".repeat(40_000))).unwrap();
    let check = async |domain: &str, wanted: Outcome, rejected: bool| {
        let verdict = door.check(Some("x@other.test"), letter(&format!("x@{domain}"))).await;
        assert_eq!((outcome(&verdict, "dmarc"), is_rejected(&verdict)), (wanted, rejected), "{domain}");
    };
    check("two.test", Outcome::None, false).await;
    check("beside.test", Outcome::Fail, true).await;
    check("syntax.test", Outcome::None, false).await;
    check("reports.test", Outcome::Fail, false).await;
    check("slip.test", Outcome::Fail, true).await;
    check("sub.slip.test", Outcome::Fail, false).await;
    check("nopolicy.test", Outcome::Fail, false).await;
    check("version.test", Outcome::None, false).await;
    check("giant.test", Outcome::Fail, true).await;
}

#[tokio::test]
async fn dns_that_fails_refuses_nothing_for_good() {
    let door = Door::new().await;
    let deferring = Door::with(Rules { on_temperror: OnTempError::Defer, ..rules() }).await;
    let protecting = Door::with(Rules { on_temperror: OnTempError::Protect, ..rules() }).await;
    for zone in [&door.zone, &deferring.zone, &protecting.zone] {
        zone.txt("_dmarc.mild.test", "v=DMARC1; p=quarantine").unwrap();
        zone.servfail("mild.test").unwrap();
        zone.servfail("_dmarc.down.test").unwrap();
        zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
        zone.servfail("a.test").unwrap();
        zone.servfail("rsa._domainkey.a.test").unwrap();
    }
    let mails = [
        (Some("x@other.test"), letter("ceo@down.test")),
        // SPF might have passed.
        (Some("x@a.test"), letter("ceo@a.test")),
    ];
    for (sender, raw) in mails {
        let verdict = door.check(sender, raw.clone()).await;
        assert_eq!(
            (verdict.action.clone(), outcome(&verdict, "dmarc")),
            (Action::Accept, Outcome::TempError),
            "{verdict:?}"
        );
        for door in [&deferring, &protecting] {
            let verdict = door.check(sender, raw.clone()).await;
            assert!(matches!(verdict.action, Action::Defer(ref reply) if reply.code == 451), "{verdict:?}");
        }
    }
    // Nobody would have refused it, and nobody answers for it.
    let verdict = protecting.check(Some("x@mild.test"), letter("ceo@mild.test")).await;
    assert_eq!(verdict.action, Action::Quarantine);
    assert_eq!(outcome(&verdict, "dmarc"), Outcome::TempError);
    let verdict = deferring.check(Some("x@mild.test"), letter("ceo@mild.test")).await;
    assert!(matches!(verdict.action, Action::Defer(_)), "{verdict:?}");
}

#[tokio::test]
async fn what_is_proven_needs_no_other_names() {
    let door = Door::with(Rules { on_temperror: OnTempError::Protect, ..rules() }).await;
    let zone = &door.zone;
    // Where the policy is does not answer, and where the domain ends neither.
    zone.servfail("_dmarc.a.test").unwrap();
    zone.txt("a.test", "v=spf1 ip4:192.0.2.1 -all").unwrap();
    zone.servfail("_dmarc.test").unwrap();
    let check = async |sender: &str, raw: String, wanted: &str| {
        let verdict = door.check(Some(sender), raw).await;
        let (found, outcome) = match verdict.action {
            Action::Accept => ("taken", outcome(&verdict, "dmarc")),
            Action::Defer(_) => ("later", outcome(&verdict, "dmarc")),
            Action::Quarantine => ("junk", outcome(&verdict, "dmarc")),
            Action::Reject(_) => ("refused", outcome(&verdict, "dmarc")),
        };
        assert_eq!(format!("{found} {outcome}"), wanted, "{sender} {:?}", verdict.results);
    };
    check("x@a.test", letter("ceo@a.test"), "taken temperror").await;
    check("x@other.test", door.signed("a.test", &letter("ceo@a.test")), "taken temperror").await;
    check("x@other.test", letter("ceo@a.test"), "later temperror").await;
    check("x@a.test", letter("ceo@news.a.test"), "later temperror").await;
    // A policy of its own holds whatever the names above say.
    zone.txt("_dmarc.own.up.test", "v=DMARC1; p=reject").unwrap();
    zone.servfail("_dmarc.up.test").unwrap();
    for domain in ["own.up.test", "bounce.own.up.test", "beside.up.test", "other.test"] {
        zone.txt(domain, "v=spf1 ip4:192.0.2.1 -all").unwrap();
    }
    check("x@own.up.test", letter("ceo@own.up.test"), "taken pass").await;
    check("x@bounce.own.up.test", letter("ceo@own.up.test"), "taken pass").await;
    check("x@other.test", letter("ceo@own.up.test"), "refused fail").await;
    check("x@nobody.test", letter("ceo@own.up.test"), "refused fail").await;
    // Only that name can say whether they belong together.
    check("x@beside.up.test", letter("ceo@own.up.test"), "later temperror").await;
}

#[tokio::test]
async fn a_key_that_dns_does_not_tell_might_have_passed() {
    let door = Door::new().await;
    door.zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
    let signed = door.signed("a.test", &letter("ceo@a.test"));
    for selector in ["rsa", "ed25519"] {
        door.zone.servfail(&format!("{selector}._domainkey.a.test")).unwrap();
    }
    let verdict = door.check(Some("x@other.test"), signed).await;
    assert_eq!((verdict.action.clone(), outcome(&verdict, "dmarc")), (Action::Accept, Outcome::TempError));
}

#[tokio::test]
async fn silence_is_a_temporary_error() {
    let door = Door::new().await;
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = filter::Dns::new(Some(nobody.local_addr().unwrap())).unwrap();
    let short = Rules { budget: std::time::Duration::from_millis(300), ..rules() };
    let spf = filter::Spf::new(dns.clone(), "mx.test".to_owned(), short.budget);
    let silent = Filter::new(
        "mx.test".to_owned(),
        vec![Box::new(spf), Box::new(filter::Authentication::new(dns, short))],
    );
    let signed = door.signed("a.test", &letter("ceo@a.test"));
    let verdict = silent.check(&mail("192.0.2.1", Some("x@a.test"), signed)).await;
    assert_eq!(verdict.action, Action::Accept);
    for method in ["spf", "dkim", "dmarc"] {
        assert_eq!(outcome(&verdict, method), Outcome::TempError, "{method}");
    }
}

/// Whoever forges a mail decides how slow their own DNS is.
#[tokio::test]
async fn a_forger_gains_nothing_by_being_slow() {
    let door = Door::with(Rules { budget: std::time::Duration::from_secs(1), ..rules() }).await;
    let zone = &door.zone;
    zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
    zone.stall("slow.test").unwrap().stall("_dmarc.slow.test").unwrap();
    for selector in ["rsa", "ed25519"] {
        zone.stall(&format!("{selector}._domainkey.slow.test")).unwrap();
    }
    let slow = door.signed("slow.test", &letter("ceo@a.test"));
    let verdict = door.check(Some("x@slow.test"), slow).await;
    assert_eq!(outcome(&verdict, "dkim"), Outcome::TempError);
    assert!(is_rejected(&verdict), "{verdict:?}");
    let both = letter("x@slow.test, ceo@a.test");
    assert!(is_rejected(&door.check(Some("x@slow.test"), both).await));
}

#[tokio::test]
async fn a_mail_is_from_whom_it_says() {
    let door = Door::new().await;
    let zone = &door.zone;
    zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
    zone.txt("_dmarc.b.test", "v=DMARC1; p=none").unwrap();
    zone.txt("b.test", "v=spf1 +all").unwrap();
    let two = format!("From: ceo@a.test\r\n{}", letter("x@b.test"));
    assert!(is_rejected(&door.check(Some("x@b.test"), two).await), "two fields");
    let both = letter("x@b.test, ceo@a.test");
    assert!(is_rejected(&door.check(Some("x@b.test"), both).await), "each author counts");
    let quoted = letter("\"ceo@a.test\" <x@b.test>");
    assert_eq!(door.check(Some("x@b.test"), quoted).await.action, Action::Accept);
    for nobody in ["Subject: x\r\n\r\n", "From: ceo@a.test <>\r\n\r\n", "Sender: ceo@a.test\r\n\r\n"] {
        assert!(is_rejected(&door.check(Some("x@b.test"), nobody).await), "{nobody}");
    }
}

#[tokio::test]
async fn the_operator_decides() {
    for (mode, wanted) in [(Mode::Mark, Some(Outcome::Fail)), (Mode::Off, None)] {
        let door = Door::with(Rules { dmarc: mode, ..rules() }).await;
        door.zone.txt("_dmarc.a.test", "v=DMARC1; p=reject").unwrap();
        let verdict = door.check(Some("x@b.test"), letter("ceo@a.test")).await;
        assert_eq!(verdict.action, Action::Accept);
        let dmarc = verdict.results.iter().find(|result| result.method == "dmarc");
        assert_eq!(dmarc.map(|result| result.outcome), wanted);
    }
}
