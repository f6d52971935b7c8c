//! The way to a destination: which addresses to try, how to go there, and with whom it is shared.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use types::Secret;

use crate::{Reply, dane::Pin, tlsrpt::Whose};

/// Where a mail goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way {
    /// In the order in which to try; those of one host stand together.
    pub targets: Vec<Target>,
    /// Ways of the same group share limits: whoever runs the hosts, however many domains they take mail for.
    pub group: String,
    pub caller: Arc<Caller>,
    /// Whose hosts they are, if it is DNS that says so and their demands are heeded.
    pub whose: Option<Arc<Whose>>,
}

/// A host's address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Its name, or the address literal.
    pub host: String,
    pub address: SocketAddr,
    /// Hosts of the same one are as good as each other.
    pub preference: u16,
    pub security: Security,
}

/// How the connection has to be protected before mail goes over it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Security {
    /// Not at all: for hosts on the same machine or wire.
    Plain,
    /// Encrypted where it is offered and works (RFC 7435).
    #[default]
    Opportunistic,
    /// Encrypted, whoever answers.
    Encrypted,
    /// Encrypted, with a certificate for the host's name from an authority that is trusted.
    Verified,
    /// Encrypted, with a certificate that the host's DNS names (RFC 7672).
    Dane(Arc<Pin>),
}

/// How we present ourselves on a way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// What we call ourselves; `None`: our usual name.
    pub hello: Option<String>,
    /// Where connections come from; an address of a family is used for targets of that family.
    pub sources: Vec<IpAddr>,
    pub login: Option<Login>,
    /// TLS from the first byte (RFC 8314).
    pub tls_at_once: bool,
}

/// Who we are to a host that asks (RFC 4954).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// The way; or the refusal, temporary or permanent, that all recipients get.
pub type Route = Result<Way, Reply>;

impl Target {
    /// A host that is met as any host is.
    #[must_use]
    pub fn new(host: &str, address: SocketAddr) -> Self {
        Self { host: host.to_owned(), address, preference: 0, security: Security::default() }
    }
}

impl Security {
    /// Whether mail goes over TLS or not at all.
    #[must_use]
    pub fn is_mandatory(&self) -> bool {
        !matches!(self, Self::Plain | Self::Opportunistic)
    }

    /// Whether it is known whom the mail is handed to.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        matches!(self, Self::Verified | Self::Dane(_))
    }
}

impl Way {
    /// To these targets, in a group of their own.
    #[must_use]
    pub fn to(targets: Vec<Target>) -> Self {
        let group = targets.first().map(|target| group(&target.host)).unwrap_or_default();
        Self { targets, group, caller: Arc::default(), whose: None }
    }

    /// What is known of these hosts is known of every way that leads to them.
    #[must_use]
    pub fn hosts(&self) -> String {
        let mut hosts: Vec<_> =
            self.targets.iter().map(|to| format!("{}:{}", to.host, to.address.port())).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.join(" ")
    }
}

/// Who runs a host, as far as its name tells: the domain that was registered, e.g. `google.com` for
/// `alt1.aspmx.l.google.com` and `example.co.kr` for `mx.example.co.kr`. It need not be right to be of use: hosts that
/// share a group share nothing but limits.
#[must_use]
pub fn group(host: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return host;
    }
    let labels: Vec<_> = host.split('.').collect();
    let registered = match labels.as_slice() {
        [.., second, top] if top.len() == 2 && (second.len() <= 2 || SECOND_LEVEL.contains(second)) => 3,
        _ => 2,
    };
    labels.get(labels.len().saturating_sub(registered)..).unwrap_or_default().join(".")
}

/// What countries have between themselves and those who register there, other than in two letters.
const SECOND_LEVEL: &[&str] = &["com", "net", "org", "edu", "gov", "mil", "gob", "gouv", "nom", "ltd", "plc"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_one_provider_are_one_group() {
        for (host, expected) in [
            ("aspmx.l.google.com", "google.com"),
            ("ALT1.ASPMX.L.Google.COM.", "google.com"),
            ("example-com.mail.protection.outlook.com", "outlook.com"),
            ("mx.example.co.kr", "example.co.kr"),
            ("mx1.example.com.au", "example.com.au"),
            ("mx.example.de", "example.de"),
            ("example.kr", "example.kr"),
            ("localhost", "localhost"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("192.0.2.1", "192.0.2.1"),
            ("", ""),
        ] {
            assert_eq!(group(host), expected, "{host}");
        }
    }
}
