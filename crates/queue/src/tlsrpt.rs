//! How sessions with other servers began, for the domains that want to know (TLS-RPT, RFC 8460).
//!
//! A session is a connection: what goes over it after the first mail is not counted again. Mail whose sender wants it
//! to go whatever the domain demands (RFC 8689) says nothing of the domain, and neither does what goes another way
//! than by DNS.

mod report;

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Security, Target, sts};

pub use report::{FILE_TYPE, file, report};

/// Counts sessions.
pub trait Ledger: Send + Sync {
    /// One more that began so, with a host of this domain.
    fn note(&self, domain: &str, session: &Session);
}

/// Under which policy a session began, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    pub policy: Applied,
    /// `None`: as the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// RFC 8460 §4.4 `policy`, but for its domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Applied {
    pub policy_type: PolicyType,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_string: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mx_host: Vec<String>,
}

/// RFC 8460 §4.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyType {
    Tlsa,
    Sts,
    NoPolicyFound,
}

/// RFC 8460 §4.4 `failure-details`, but for their count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    pub result_type: ResultType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<IpAddr>,
}

/// RFC 8460 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultType {
    StarttlsNotSupported,
    CertificateHostMismatch,
    CertificateExpired,
    CertificateNotTrusted,
    ValidationFailure,
    StsPolicyFetchError,
    StsPolicyInvalid,
    StsWebpkiInvalid,
}

/// Whose hosts a way leads to, and the policy that the domain has for them (RFC 8461).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    pub domain: String,
    pub sts: Option<Arc<sts::Policy>>,
}

impl Whose {
    /// Whether the domain tries out a policy for this host, which gets its mail in any case.
    #[must_use]
    pub fn tests(&self, target: &Target) -> bool {
        let tested = self.sts.as_ref().is_some_and(|policy| policy.mode == sts::Mode::Testing);
        tested && target.security == Security::Opportunistic
    }

    /// A session with this host.
    #[must_use]
    pub fn session(&self, target: &Target, result: Option<ResultType>) -> Session {
        let policy = match (&target.security, &self.sts) {
            (Security::Dane(pin), _) => Applied {
                policy_type: PolicyType::Tlsa,
                policy_string: told(pin.records.iter().map(ToString::to_string)),
                mx_host: Vec::new(),
            },
            // Its records are of no use, which says that TLS is wanted (RFC 7672 §2.2).
            (Security::Encrypted, _) => Applied::of(PolicyType::Tlsa),
            (_, Some(policy)) => Applied::sts(policy),
            (_, None) => Applied::of(PolicyType::NoPolicyFound),
        };
        let failure = result.map(|result_type| Failure {
            result_type,
            receiving_mx_hostname: Some(target.host.clone()),
            receiving_ip: Some(target.address.ip()),
        });
        Session { policy, failure }
    }
}

impl Session {
    /// The domain's policy stood before any host was asked.
    #[must_use]
    pub fn barred(policy: Option<&sts::Policy>, result_type: ResultType, host: Option<&str>) -> Self {
        let policy = policy.map_or_else(|| Applied::of(PolicyType::Sts), Applied::sts);
        let receiving_mx_hostname = host.map(str::to_owned);
        Self { policy, failure: Some(Failure { result_type, receiving_mx_hostname, receiving_ip: None }) }
    }
}

impl Applied {
    fn of(policy_type: PolicyType) -> Self {
        Self { policy_type, policy_string: Vec::new(), mx_host: Vec::new() }
    }

    fn sts(policy: &sts::Policy) -> Self {
        let (lines, hosts) = (policy.lines.iter().cloned(), policy.mx.iter().cloned());
        Self { policy_type: PolicyType::Sts, policy_string: told(lines), mx_host: told(hosts) }
    }
}

/// A policy is in every row about its domain, and may be as long as its owner likes: of its lines and of its hosts so
/// many bytes are told. Policies of people who mean it have less than a tenth.
const MAX_TOLD_BYTES: usize = 4 << 10;

/// The first ones, as many as there is room for.
fn told(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut left = MAX_TOLD_BYTES;
    let fits = |text: &String| {
        let rest = left.checked_sub(text.len());
        left = rest.unwrap_or_default();
        rest.is_some()
    };
    texts.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_policies_are_not_told_to_their_end() {
        let hosts: String = (0..2_000).map(|n| format!("mx: host{n}.of.a.long.name.demo.test\n")).collect();
        let text = format!("version: STSv1\nmode: enforce\nmax_age: 86400\n{hosts}");
        let policy = sts::Policy::parse(&text).unwrap();
        assert_eq!(policy.mx.len(), 2_000, "all of them count");
        let session = Session::barred(Some(&policy), ResultType::ValidationFailure, Some("mx.demo.test"));
        assert!(session.policy.mx_host.starts_with(&["host0.of.a.long.name.demo.test".to_owned()]));
        assert!(session.policy.mx_host.len() > 100);
        let row = serde_json::to_string(&session).unwrap();
        assert!(row.len() < 3 * MAX_TOLD_BYTES, "{}", row.len());
    }
}
