//! Who may hand in mail from outside: what the DNS and the client itself say of it. Whatever does not answer in time
//! says nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use smtp::{ClientName, Hello};
use tokio::time::timeout;
use types::{Network, address};

use super::Refusal;

/// What is asked of clients that are other servers. The default: nothing.
#[derive(Clone, Default)]
pub struct Policy {
    /// Whoever is in these is asked nothing.
    pub trusted: Vec<Network>,
    /// How long a client is given to speak too early; `None`: it may.
    pub patience: Option<Duration>,
    pub hello: HelloCheck,
    pub reverse_dns: ReverseDns,
    /// Lists of those to be refused, and of those who are let in all the same; by zone (RFC 5782).
    pub block_lists: Vec<String>,
    pub allow_lists: Vec<String>,
    /// For all questions about a client together.
    pub dns_within: Duration,
    pub dns: Option<Arc<dyn Dns>>,
    /// So many errors are answered at once, and each further one that much later.
    pub tarpit_after: u32,
    pub tarpit: Duration,
}

/// What a client may call itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HelloCheck {
    #[default]
    Off,
    /// Anything but our own name.
    NotOurs,
    /// The same, and it must be a name of several parts or an address literal (RFC 5321 §4.1.1.1).
    FullName,
}

/// What the DNS must have for a client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReverseDns {
    #[default]
    Off,
    /// A name.
    Named,
    /// A name that has this address.
    Confirmed,
}

/// The questions asked of the DNS.
#[async_trait]
pub trait Dns: Send + Sync {
    /// The addresses of a name; none if there is no such name.
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAnswer>;

    /// The names of an address.
    async fn names(&self, address: IpAddr) -> Result<Vec<String>, NoAnswer>;
}

/// Nobody could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the DNS does not answer")]
pub struct NoAnswer;

/// More names of one address than this are not looked at.
const NAMES: usize = 10;

impl Policy {
    pub(super) fn trusts(&self, client: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(client))
    }

    /// Whether what the client calls itself will do.
    pub(super) fn check_hello(
        &self,
        hello: Option<&Hello>,
        ours: &str,
        client: IpAddr,
    ) -> Result<(), Refusal> {
        let Some(Hello { name, .. }) = hello else { return Ok(()) };
        if self.hello == HelloCheck::Off || client.to_canonical().is_loopback() {
            return Ok(());
        }
        if address::domain_key(name.as_str()) == address::domain_key(ours) {
            return Err(Refusal::KeptOut("The name in your HELO is ours"));
        }
        if self.hello == HelloCheck::FullName && !is_full(name) {
            return Err(Refusal::KeptOut("Your HELO needs a full name or an address literal"));
        }
        Ok(())
    }

    /// What the DNS says of the client.
    pub(super) async fn check_address(&self, client: IpAddr) -> Result<(), Refusal> {
        let Some(dns) = &self.dns else { return Ok(()) };
        let asking = async { tokio::join!(self.listed(&**dns, client), self.unnamed(&**dns, client)) };
        match timeout(self.dns_within, asking).await {
            Ok((Some(zone), _)) => Err(Refusal::Listed(zone)),
            Ok((None, true)) => Err(Refusal::NoName),
            Ok((None, false)) | Err(_) => Ok(()),
        }
    }

    /// The first list that has the client, if none of the others does.
    async fn listed(&self, dns: &dyn Dns, client: IpAddr) -> Option<String> {
        if self.block_lists.is_empty() {
            return None;
        }
        let on = |zone: String| async move {
            let found = dns.addresses(&list_name(client, &zone)).await.unwrap_or_default();
            found.into_iter().any(means_listed).then_some(zone)
        };
        let blocked = join_all(self.block_lists.iter().cloned().map(on));
        let allowed = join_all(self.allow_lists.iter().cloned().map(on));
        let (blocked, allowed) = tokio::join!(blocked, allowed);
        let is_allowed = allowed.iter().any(Option::is_some);
        blocked.into_iter().flatten().next().filter(|_| !is_allowed)
    }

    /// Whether the DNS says that the client has not the name that is wanted.
    async fn unnamed(&self, dns: &dyn Dns, client: IpAddr) -> bool {
        if self.reverse_dns == ReverseDns::Off {
            return false;
        }
        let Ok(names) = dns.names(client).await else { return false };
        if names.is_empty() || self.reverse_dns == ReverseDns::Named {
            return names.is_empty();
        }
        for name in names.iter().take(NAMES) {
            match dns.addresses(name).await {
                Ok(addresses) if addresses.contains(&client.to_canonical()) => return false,
                Ok(_) => {}
                Err(NoAnswer) => return false,
            }
        }
        true
    }

    /// How long the answer to so many errors waits.
    pub(super) fn delay(&self, errors: u32) -> Duration {
        if errors > self.tarpit_after { self.tarpit } else { Duration::ZERO }
    }
}

fn is_full(name: &ClientName) -> bool {
    let name = name.as_str();
    address::is_domain(name) && (name.starts_with('[') || name.trim_end_matches('.').contains('.'))
}

/// RFC 5782 §2.1 and §2.4: the address backwards under the zone.
fn list_name(client: IpAddr, zone: &str) -> String {
    match client.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.{zone}")
        }
        IpAddr::V6(v6) => {
            let mut name = String::with_capacity(64 + zone.len());
            for byte in v6.octets().iter().rev() {
                name.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            name + zone
        }
    }
}

/// RFC 5782 §2.1: an address in 127.0.0.0/8. Lists say with 127.255.255.0/24 that they do not answer us.
fn means_listed(answer: IpAddr) -> bool {
    match answer {
        IpAddr::V4(v4) => v4.is_loopback() && !matches!(v4.octets(), [127, 255, 255, _]),
        IpAddr::V6(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and their addresses; `slow` never answers, `broken` fails.
    struct Zone(&'static [(&'static str, &'static str)]);

    #[async_trait]
    impl Dns for Zone {
        async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAnswer> {
            if name.ends_with("slow") {
                std::future::pending::<()>().await;
            }
            if name.ends_with("broken") {
                return Err(NoAnswer);
            }
            Ok(self.0.iter().filter(|(known, _)| *known == name).map(|(_, ip)| ip.parse().unwrap()).collect())
        }

        async fn names(&self, address: IpAddr) -> Result<Vec<String>, NoAnswer> {
            let address = address.to_string();
            Ok(self.0.iter().filter(|(_, ip)| *ip == address).map(|(name, _)| (*name).to_owned()).collect())
        }
    }

    const ZONE: Zone = Zone(&[
        ("2.2.0.192.block.test", "127.0.0.2"),
        ("3.2.0.192.block.test", "127.0.0.2"),
        ("3.2.0.192.allow.test", "127.0.0.1"),
        ("4.2.0.192.block.test", "127.255.255.254"),
        ("5.2.0.192.block.test", "192.0.2.99"),
        ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.block.test", "127.0.0.4"),
        ("mx.named.test", "192.0.2.7"),
    ]);

    fn policy(block: &[&str]) -> Policy {
        Policy {
            block_lists: block.iter().map(|zone| (*zone).to_owned()).collect(),
            allow_lists: vec!["allow.test".into()],
            dns_within: Duration::from_secs(2),
            dns: Some(Arc::new(ZONE)),
            ..Policy::default()
        }
    }

    async fn check(policy: &Policy, client: &str) -> Result<(), Refusal> {
        policy.check_address(client.parse().unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    async fn lists_are_asked_and_never_waited_for() {
        let listed = || Err(Refusal::Listed("block.test".into()));
        let asked = policy(&["block.test"]);
        assert_eq!(check(&asked, "192.0.2.1").await, Ok(()));
        assert_eq!(check(&asked, "192.0.2.2").await, listed());
        assert_eq!(check(&asked, "::ffff:192.0.2.2").await, listed());
        assert_eq!(check(&asked, "2001:db8::1").await, listed());
        assert_eq!(check(&asked, "192.0.2.3").await, Ok(()), "another list vouches for it");
        assert_eq!(check(&asked, "192.0.2.4").await, Ok(()), "the list does not answer us");
        assert_eq!(check(&asked, "192.0.2.5").await, Ok(()), "a domain that somebody parked");
        assert_eq!(check(&policy(&["slow", "block.test"]), "192.0.2.2").await, Ok(()));
        assert_eq!(check(&policy(&["broken", "block.test"]), "192.0.2.2").await, listed());
    }

    #[tokio::test]
    async fn addresses_have_names() {
        let wants = |reverse_dns| Policy { reverse_dns, ..policy(&[]) };
        for (reverse_dns, client, wanted) in [
            (ReverseDns::Off, "192.0.2.1", Ok(())),
            (ReverseDns::Named, "192.0.2.1", Err(Refusal::NoName)),
            (ReverseDns::Named, "192.0.2.7", Ok(())),
            (ReverseDns::Confirmed, "192.0.2.7", Ok(())),
            (ReverseDns::Confirmed, "192.0.2.1", Err(Refusal::NoName)),
        ] {
            assert_eq!(check(&wants(reverse_dns), client).await, wanted, "{reverse_dns:?} {client}");
        }
    }

    #[test]
    fn names_in_hello() {
        let check = |hello, name: &str, client: &str| {
            let policy = Policy { hello, ..Policy::default() };
            let hello = Hello { name: ClientName::new(name).unwrap(), extended: true };
            policy.check_hello(Some(&hello), "mx.test", client.parse().unwrap()).is_ok()
        };
        assert!(check(HelloCheck::Off, "mx.test", "192.0.2.1"));
        assert!(!check(HelloCheck::NotOurs, "MX.test.", "192.0.2.1"));
        assert!(check(HelloCheck::NotOurs, "mx.test", "127.0.0.1"));
        assert!(check(HelloCheck::NotOurs, "laptop", "192.0.2.1"));
        assert!(!check(HelloCheck::FullName, "laptop", "192.0.2.1"));
        assert!(!check(HelloCheck::FullName, "a/b.c", "192.0.2.1"));
        assert!(check(HelloCheck::FullName, "[192.0.2.1]", "192.0.2.1"));
        assert!(check(HelloCheck::FullName, "mail.far.test", "192.0.2.1"));
    }
}
