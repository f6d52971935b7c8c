//! A zone, a filter that asks it, and mails.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use filter::{
    Action, AuthResult, Authentication, Dns, Filter, Mail, Mode, OnTempError, Outcome, Rules, Spf, Verdict,
    keys, sign,
};
use testkit::Zone;
use types::{DkimAlgorithm, Timestamp};

pub(crate) struct Door {
    pub(crate) zone: Zone,
    pub(crate) filter: Filter,
}

pub(crate) const CLIENT: &str = "192.0.2.1";
pub(crate) const HOST: &str = "mx.here.test";

impl Door {
    pub(crate) async fn new() -> Self {
        Self::with(rules()).await
    }

    pub(crate) async fn with(rules: Rules) -> Self {
        let zone = Zone::start().await.unwrap();
        let dns = Dns::new(Some(zone.address())).unwrap();
        let spf = Spf::new(dns.clone(), HOST.to_owned(), rules.budget);
        let filter =
            Filter::new(HOST.to_owned(), vec![Box::new(spf), Box::new(Authentication::new(dns, rules))]);
        Self { zone, filter }
    }

    pub(crate) async fn check(&self, sender: Option<&str>, raw: impl Into<Bytes>) -> Verdict {
        self.filter.check(&mail(CLIENT, sender, raw)).await
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        dmarc: Mode::Enforce,
        on_temperror: OnTempError::Accept,
        trusted_sealers: Vec::new(),
        budget: Duration::from_secs(20),
    }
}

pub(crate) fn mail(client: &str, sender: Option<&str>, raw: impl Into<Bytes>) -> Mail {
    Mail {
        client: client.parse::<IpAddr>().unwrap(),
        hello: Some("client.test".to_owned()),
        sender: sender.map(|sender| sender.parse().unwrap()),
        recipients: vec!["bob@here.test".parse().unwrap()],
        raw: raw.into(),
        sample: 50,
    }
}

pub(crate) fn letter(from: &str) -> String {
    format!(
        "From: {from}\r\nTo: bob@here.test\r\nSubject: Hi\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\nHello\r\n"
    )
}

/// `method=outcome` of every result.
pub(crate) fn shown(verdict: &Verdict) -> Vec<String> {
    verdict.results.iter().map(|result| format!("{}={}", result.method, result.outcome)).collect()
}

pub(crate) fn of<'a>(verdict: &'a Verdict, method: &str) -> &'a AuthResult {
    verdict.results.iter().find(|result| result.method == method).unwrap()
}

pub(crate) fn outcome(verdict: &Verdict, method: &str) -> Outcome {
    of(verdict, method).outcome
}

pub(crate) fn is_rejected(verdict: &Verdict) -> bool {
    matches!(&verdict.action, Action::Reject(reply) if reply.code == 550 && reply.enhanced == (7, 1))
}

/// Two keys, made once for all tests.
pub(crate) static PAIRS: LazyLock<[keys::KeyPair; 2]> = LazyLock::new(|| {
    // The same in every run.
    let mut state = 1_u64;
    let mut fill = move |bytes: &mut [u8]| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = state.to_le_bytes()[7];
        }
    };
    DkimAlgorithm::ALL.map(|algorithm| keys::generate(algorithm, &mut fill).unwrap())
});

impl Door {
    /// Publishes both keys for a domain, and returns them.
    pub(crate) fn keys(&self, domain: &str) -> Vec<sign::SigningKey> {
        let one = |pair: &keys::KeyPair| {
            let name = pair.algorithm.name();
            let record = keys::record(pair.algorithm, &pair.public);
            self.zone.txt(&format!("{name}._domainkey.{domain}"), &record).unwrap();
            sign::SigningKey::load(pair.algorithm, domain, name, &pair.private).unwrap()
        };
        PAIRS.iter().map(one).collect()
    }

    /// The letter with both signatures.
    pub(crate) fn signed(&self, domain: &str, letter: &str) -> String {
        format!("{}{letter}", sign::sign(letter.as_bytes(), &self.keys(domain), NOW).unwrap())
    }
}

pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_700_000);
