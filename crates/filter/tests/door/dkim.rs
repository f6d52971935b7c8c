//! DKIM, RFC 6376; what we sign is verified by another implementation.

use bytes::Bytes;
use filter::{Action, Outcome, keys, sign};
use types::DkimAlgorithm;

use crate::kit::{Door, NOW, PAIRS, is_rejected, letter, of, outcome, shown};

#[tokio::test]
async fn both_our_signatures_hold() {
    let door = Door::new().await;
    // Without lines of nothing but blanks at its end: the library that verifies takes those for text.
    let odd = "From: Alice\r\n\t<alice@a.test>\r\nSubject:  a \t b  \r\nTo:\r\nReceived: x\r\nReceived: y\r\n\r\n \r\nText \t  x \r\n\r\nmore \r\n\r\n\r\n";
    for text in [letter("alice@a.test"), odd.to_owned(), "From: alice@a.test\r\n\r\n".to_owned()] {
        let verdict = door.check(Some("alice@a.test"), door.signed("a.test", &text)).await;
        let dkim: Vec<_> = verdict.results.iter().filter(|result| result.method == "dkim").collect();
        assert_eq!(
            dkim.iter().map(|result| result.outcome).collect::<Vec<_>>(),
            [Outcome::Pass; 2],
            "{dkim:?}"
        );
        assert_eq!(dkim[0].property("header.d"), Some("a.test"));
        assert_eq!(
            [dkim[0].property("header.s"), dkim[1].property("header.s")],
            [Some("rsa"), Some("ed25519")]
        );
    }
}

#[tokio::test]
async fn a_changed_mail_does_not_hold() {
    let door = Door::new().await;
    let signed = door.signed("a.test", &letter("alice@a.test"));
    let check = async |from: &str, to: &str, wanted: Outcome| {
        let changed = signed.replacen(from, to, 1);
        assert_ne!(changed, signed);
        let verdict = door.check(None, changed).await;
        assert_eq!(outcome(&verdict, "dkim"), wanted, "{to}");
    };
    check("Hello", "Hullo", Outcome::Neutral).await;
    check("Subject: Hi", "Subject: Ho", Outcome::Fail).await;
    check("To: bob", "To: eve", Outcome::Fail).await;
    check("Subject: Hi\r\n", "Subject: Hi\r\nSubject: Ho\r\n", Outcome::Fail).await;
    check("To: bob@here.test", "To:  bob@here.test ", Outcome::Pass).await;
    check("Hello\r\n", "Hello \r\n\r\n\r\n", Outcome::Pass).await;
    check("From: alice", "X-New: y\r\nFrom: alice", Outcome::Pass).await;
}

#[tokio::test]
async fn broken_keys_are_no_keys() {
    let door = Door::new().await;
    let text = letter("alice@a.test");
    let check = async |selector: &str, record: Option<&str>, wanted: &[Outcome]| {
        let rsa = &PAIRS[0];
        let key = sign::SigningKey::load(rsa.algorithm, "a.test", selector, &rsa.private).unwrap();
        let name = format!("{selector}._domainkey.a.test");
        match record {
            Some(record) => door.zone.txt(&name, record).unwrap(),
            None => door.zone.servfail(&name).unwrap(),
        };
        let signed = format!("{}{text}", sign::sign(text.as_bytes(), &[key], NOW).unwrap());
        let verdict = door.check(None, signed).await;
        assert!(wanted.contains(&outcome(&verdict, "dkim")), "{selector}: {:?}", of(&verdict, "dkim"));
        assert_eq!(verdict.action, Action::Accept);
    };
    let good = keys::record(DkimAlgorithm::Rsa, &PAIRS[0].public);
    check("good", Some(&good), &[Outcome::Pass]).await;
    check("revoked", Some("v=DKIM1; p="), &[Outcome::PermError]).await;
    check("nokey", Some("v=DKIM1; k=rsa"), &[Outcome::PermError]).await;
    check("base64", Some("v=DKIM1; p=%%%"), &[Outcome::Fail, Outcome::PermError]).await;
    check("garbage", Some("v=DKIM1; p=AAAAAAAA"), &[Outcome::Fail, Outcome::PermError]).await;
    check("halfkey", Some(&good[..good.len() / 2]), &[Outcome::Fail, Outcome::PermError]).await;
    check("version", Some(&good.replace("DKIM1", "DKIM2")), &[Outcome::PermError]).await;
    check("othertype", Some(&good.replace("k=rsa", "k=ed25519")), &[Outcome::Fail, Outcome::PermError]).await;
    check("unknowntype", Some(&good.replace("k=rsa", "k=dsa")), &[Outcome::PermError]).await;
    check("down", None, &[Outcome::TempError]).await;
}

#[tokio::test]
async fn weak_signatures_are_worth_nothing() {
    let door = Door::new().await;
    for (selector, key, signature, wanted) in BY_OPENSSL {
        door.zone.txt(&format!("{selector}._domainkey.a.test"), &format!("v=DKIM1; k=rsa; p={key}")).unwrap();
        let raw = format!("DKIM-Signature: {signature}\r\nFrom: alice@a.test\r\nSubject: x\r\n\r\nHi\r\n");
        let verdict = door.check(None, raw).await;
        assert_eq!(outcome(&verdict, "dkim"), wanted, "{selector}: {:?}", of(&verdict, "dkim"));
    }
}

/// Selector, public key, the signature of a mail, and what it is worth.
const BY_OPENSSL: [(&str, &str, &str, Outcome); 4] = [
    (
        "weak",
        "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAL/z95w8E94PGHexFgp5joONbxnpTdZw+eN0k793RVwGDIbEz4Nj9Sf/1M6WmDJTq8osshAA8Fh0SoJJRw8JrKsCAwEAAQ==",
        "v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=weak; h=from; bh=j+uJ1+KwQjMpdNiCngwvlv2FTzZnzkokoCYASnN36NE=; b=PrBiNY6yL2NIzEEuGor72/s6aHdLu/Ypm+vYrkaIIaVmIMSiUh30JQmLcCamNm7xtBTDxjekQ6lJRRdmTOc3MQ==",
        Outcome::Fail,
    ),
    (
        "short",
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDUDR2SsHR+SxoyfUksSgyDuXzGhNDJo5i2YWiMKuxu/1WUvL2iupjY2dZvSdjrJKgzqFR4FWhPj+LEO51w8tBXLAgn3QcVY30MgyAhtzDZ9GCiJKEOG277SXaBS75xKlpH5MkYuZ0r6TzZIL4oT6GlVo7xkmuxzqQs7PnuxVd1VQIDAQAB",
        "v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=short; h=from; bh=j+uJ1+KwQjMpdNiCngwvlv2FTzZnzkokoCYASnN36NE=; b=xUdFP0mpjc8ur6mR3Djr1L8l+aGdEMZPo+MrHYcC7jvGzWuJJ3KRNh6B4fhD22N4qIzjNkzaYjwLK1MQ9ixfncDVZeV4tfVF/E0IA9h9TvOtyZGX5USEZXckHn/5oqjGnClVTPEn1S55ahaqK8MNjqHXudQazF0NrM9f9/J01bw=",
        Outcome::Pass,
    ),
    (
        "old",
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDInrR5p8IyWlvu7VCtP8yNAAKLwKwCyGtmnAgbxeFzGdbe2c/gRNt7SFUXzTgIy2PBHOcfHYVfVu5Y2v1/18f+E2AG6/af2y8f/3079a0apQkF0aCoNKQd6swO3l+fpwJK6QGWYKMSad4EERTzdV7VnhOPnDd5ReECyv2ZsIaPnQIDAQAB",
        "v=1; a=rsa-sha1; c=relaxed/relaxed; d=a.test; s=old; h=from; bh=dw714dybx1HxBrNbX1WMir7ElCQ=; b=UDSgRMccZveUXKAtFQ3bFxZOs2GkZ2ou6wypIYT49QrVl6BmG+kXwDY+ee92Qap8Vs6+QI9U1VdK08YGZefw6qmD3a4vC85OJXayoCV1jG1Z3C+nFnHrGthxx7vAEqO+THKM+Ij/aqzohv5PmXaFEfCJIY020JDppVedUmpkfBY=",
        Outcome::Policy,
    ),
    (
        "nofrom",
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDK0fWfjrs1ro8K4Lch/LkaRzccDrIkV4HkuQlBP8ZrVLEYQRbCR2rIGepgjMN3FbIdMLX8/UJDPP4aOTuJzxDsUOaQIs7x8LCrs3aPBnQBYmhOs6Zp79SudZfHJTuzgWbFja8ezNjz1wqZ48G+wCZhWCUeJd3go5ePeprKk4+5yQIDAQAB",
        "v=1; a=rsa-sha256; c=relaxed/relaxed; d=a.test; s=nofrom; h=subject; bh=j+uJ1+KwQjMpdNiCngwvlv2FTzZnzkokoCYASnN36NE=; b=LIneR2ZLb/AlYqBFljvjEwb7/6qLw2G+0CE7cSDtLCHMC4h+lIabeG7DlijndTfJV0Bb+1JPxAO03o3Qj0GTuhSMwIM0oX77Ish4DdlX2lVUXyEMJq3o04lRdFVPi7djevWhvDxumpOICNt+41n+HVVRFvBqkNGvSvOKiu2aP1I=",
        Outcome::PermError,
    ),
];

#[tokio::test]
async fn only_a_whole_body_counts() {
    let door = Door::new().await;
    let signed = with_length(&door, 7);
    let verdict = door.check(Some("x@b.test"), signed.clone()).await;
    assert_eq!(outcome(&verdict, "dkim"), Outcome::Pass, "{:?}", of(&verdict, "dkim"));
    let longer = format!("{signed}And more\r\n");
    let verdict = door.check(Some("x@b.test"), longer).await;
    assert_eq!(outcome(&verdict, "dkim"), Outcome::Policy, "{:?}", of(&verdict, "dkim"));
}

/// The letter with a signature over so many bytes of its body, made by the library that verifies.
fn with_length(door: &Door, length: u64) -> String {
    use mail_auth::common::crypto::{RsaKey, Sha256};
    use mail_auth::common::headers::HeaderWriter as _;
    let _ = door.keys("a.test");
    let der = mail_auth_key(&PAIRS[0].private);
    let key = RsaKey::<Sha256>::from_key_der(der).unwrap();
    let text = letter("alice@a.test");
    let signer = mail_auth::dkim::DkimSigner::from_key(key)
        .domain("a.test")
        .selector("rsa")
        .headers(["From", "Subject"])
        .body_length(true);
    let signature = signer.sign(text.as_bytes()).unwrap();
    assert_eq!(signature.l, length);
    format!("{}{text}", signature.to_header())
}

fn mail_auth_key(pkcs8: &[u8]) -> rustls::pki_types::PrivateKeyDer<'static> {
    rustls::pki_types::PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into()
}

#[tokio::test]
async fn many_signatures_cost_little() {
    let door = Door::new().await;
    let one = door.signed("a.test", &letter("alice@a.test"));
    let header = &one[..one.find("\r\nFrom: ").unwrap() + 2];
    let verdict = door.check(None, format!("{}{}", header.repeat(500), letter("alice@a.test"))).await;
    assert!(shown(&verdict).iter().filter(|result| result.starts_with("dkim=")).count() <= 8);
    assert_eq!(outcome(&verdict, "dkim"), Outcome::Pass);
}

#[tokio::test]
async fn a_signature_over_very_many_fields_says_nothing() {
    let door = Door::new().await;
    let good = door.signed("a.test", &letter("alice@a.test"));
    let many = format!(
        "DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=rsa; h=From{}; bh=x; b=x\r\n",
        ":x".repeat(400)
    );
    let verdict = door.check(None, format!("{many}{}", letter("alice@a.test"))).await;
    assert_eq!(outcome(&verdict, "dkim"), Outcome::None);
    let verdict = door.check(None, format!("{many}{good}")).await;
    assert_eq!(outcome(&verdict, "dkim"), Outcome::Pass, "the others count");
}

#[tokio::test]
async fn large_mails_are_checked_as_well() {
    let door = Door::new().await;
    let text = format!("{}{}", letter("alice@a.test"), "0123456789abcdef \r\n".repeat(100_000));
    let verdict = door.check(None, door.signed("a.test", &text)).await;
    assert_eq!(outcome(&verdict, "dkim"), Outcome::Pass);
}

#[tokio::test]
async fn bytes_that_are_no_mail_are_refused() {
    let door = Door::new().await;
    for raw in [
        &b""[..],
        b"\r\n",
        b"\xff\xfe\x00",
        b"DKIM-Signature:\r\n\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; b=\r\nFrom: \xff\xfe\r\n\r\n",
        b"From:\r\n\r\n",
    ] {
        let verdict = door.check(Some("alice@a.test"), Bytes::from_static(raw)).await;
        assert!(is_rejected(&verdict), "nobody wrote {raw:?}");
    }
}
