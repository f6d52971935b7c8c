//! SPF (RFC 7208): may this client send for this domain?

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{Parameters, SpfResult};

use crate::dns::{Dns, Seen, to_a_labels};
use crate::{AuthResult, Check, Finding, Mail, Outcome, Stage};

/// Checks both identities, MAIL FROM and HELO. Refuses nothing itself: DMARC knows what the domain wants.
pub struct Spf {
    dns: Dns,
    /// Our own name, for the macro `r`.
    hostname: String,
    budget: Duration,
}

/// RFC 7208 §4.6.4.
const MAX_VOID_LOOKUPS: usize = 2;

impl Spf {
    #[must_use]
    pub fn new(dns: Dns, hostname: String, budget: Duration) -> Self {
        Self { dns, hostname, budget }
    }

    /// RFC 7208 §4: `check_host`, with what §4.5 and §4.6.4 want besides.
    pub async fn check_host(&self, client: IpAddr, domain: &str, hello: &str, sender: &str) -> Outcome {
        match self.dns.txt(domain).await {
            Ok(records) if records.iter().filter(|record| is_spf(record)).count() > 1 => {
                return Outcome::PermError;
            }
            Ok(_) => {}
            Err(_) => return Outcome::TempError,
        }
        let seen = Seen::default();
        let asked = SpfParameters::new(client, domain, hello, &self.hostname, sender);
        let asked = Parameters::new(asked)
            .with_mx_cache(&seen.mx)
            .with_ipv4_cache(&seen.v4)
            .with_ipv6_cache(&seen.v6);
        let found = self.dns.authenticator().check_host(asked).await;
        match outcome(found.result()) {
            Outcome::TempError => Outcome::TempError,
            _ if seen.void_lookups(client) > MAX_VOID_LOOKUPS => Outcome::PermError,
            outcome => outcome,
        }
    }

    async fn of_sender(&self, mail: &Mail, hello: &str) -> Option<AuthResult> {
        let sender = mail.sender.as_ref()?;
        let result = |outcome| AuthResult::new("spf", outcome).with("smtp.mailfrom", sender.to_string());
        let Some(domain) = to_a_labels(sender.domain()).filter(|domain| !domain.starts_with('[')) else {
            return Some(result(Outcome::None));
        };
        let address = format!("{}@{domain}", sender.local());
        Some(result(self.check_host(mail.client, &domain, hello, &address).await))
    }

    async fn of_hello(&self, mail: &Mail) -> Option<AuthResult> {
        let hello = mail.hello.as_deref().filter(|hello| hello.contains('.') && !hello.starts_with('['))?;
        let domain = to_a_labels(hello)?;
        let outcome = self.check_host(mail.client, &domain, &domain, "").await;
        Some(AuthResult::new("spf", outcome).with("smtp.helo", domain))
    }
}

#[async_trait]
impl Check for Spf {
    fn name(&self) -> &'static str {
        "spf"
    }

    fn stage(&self) -> Stage {
        Stage::Sender
    }

    fn budget(&self) -> Duration {
        self.budget
    }

    async fn run(&self, mail: &Mail, _: &[Finding]) -> Finding {
        let hello = mail.hello.as_deref().unwrap_or("unknown");
        let (of_sender, of_hello) = tokio::join!(self.of_sender(mail, hello), self.of_hello(mail));
        Finding::fine(of_sender.into_iter().chain(of_hello).collect())
    }

    /// Of no identity, so that it is taken for both.
    fn unfinished(&self) -> Finding {
        Finding::fine(vec![AuthResult::new("spf", Outcome::TempError)])
    }
}

/// RFC 7208 §4.5.
fn is_spf(record: &[u8]) -> bool {
    record.split_at_checked(6).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest, [] | [b' ', ..])
    })
}

pub(crate) const fn outcome(result: SpfResult) -> Outcome {
    match result {
        SpfResult::Pass => Outcome::Pass,
        SpfResult::Fail => Outcome::Fail,
        SpfResult::SoftFail => Outcome::SoftFail,
        SpfResult::Neutral => Outcome::Neutral,
        SpfResult::TempError => Outcome::TempError,
        SpfResult::PermError => Outcome::PermError,
        SpfResult::None => Outcome::None,
    }
}
