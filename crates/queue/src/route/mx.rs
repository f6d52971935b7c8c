//! A domain's hosts by MX, their addresses, and how each has to be met: by its TLSA records (RFC 7672), by the domain's
//! policy (RFC 8461), or as it comes.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures::future::join_all;
use hickory_resolver::{
    net::NetError,
    proto::rr::{Name, RecordType},
};
use types::address::{domain_key, fold};

use super::{
    Demands, DnsRouter, Hosts,
    dnssec::Unproven,
    names::{exchange, fqdn, ordered, shown},
};
use crate::{
    Reply, Security, Target,
    dane::Pin,
    private::is_private,
    sts::{Known, Mode},
    tlsrpt::{ResultType, Session, Whose},
};

/// More hosts, and more addresses in all, than this are not tried.
const MAX_HOSTS: usize = 10;
const MAX_TARGETS: usize = 20;

/// A host that takes a domain's mail.
pub(super) struct Host {
    preference: u16,
    name: String,
    addresses: Vec<IpAddr>,
    security: Security,
}

/// The domain's MX records.
struct Exchanges {
    hosts: Vec<(u16, Name)>,
    /// DNSSEC proves them.
    proven: bool,
}

impl Host {
    pub(super) fn literal(domain: &str, ip: IpAddr) -> Self {
        Self { preference: 0, name: domain.to_owned(), addresses: vec![ip], security: Security::default() }
    }
}

impl DnsRouter {
    pub(super) async fn by_mx(&self, domain: &str, random: u64, demands: Demands) -> Result<Hosts, Reply> {
        let name = fqdn(domain)?;
        let Exchanges { hosts, proven } = self.exchanges(domain, &name, demands).await?;
        let hosts = if hosts.is_empty() {
            vec![(0, name.clone())]
        } else {
            if hosts.iter().all(|(_, host)| host.is_root()) {
                return Err(Reply::ours("5.1.10", &format!("The domain {domain} accepts no mail")));
            }
            let hosts = self.before_us(ordered(hosts, random));
            if hosts.is_empty() {
                return Err(Reply::ours("5.4.6", &format!("Mail for {domain} would come back to us")));
            }
            hosts
        };
        let itself = hosts.iter().all(|(_, host)| *host == name);
        let found =
            join_all(hosts.iter().map(|(preference, host)| self.host(*preference, host, &name, proven)));
        let (mut known, mut failure) = (Vec::new(), None);
        for found in found.await {
            match found {
                Ok(host) if host.addresses.is_empty() => {}
                Ok(host) => known.push(host),
                Err(reply) => failure = failure.or(Some(reply)),
            }
        }
        if known.is_empty() {
            let none = match itself {
                true => Reply::ours("5.1.2", &format!("The domain {domain} has no mail server")),
                false => Reply::ours("5.4.4", &format!("The mail servers of {domain} have no address")),
            };
            return Err(failure.unwrap_or(none));
        }
        let (known, whose) = match demands {
            Demands::Heeded => self.by_policy(domain, known).await?,
            Demands::Ignored => (known, None),
        };
        Ok(Hosts { targets: self.allowed(domain, known)?, whose: whose.map(Arc::new) })
    }

    async fn exchanges(&self, domain: &str, name: &Name, demands: Demands) -> Result<Exchanges, Reply> {
        let provable = match &self.dnssec {
            // Without proof there are no TLSA records.
            Some(dnssec) if demands == Demands::Heeded && dnssec.works().await => Some(dnssec),
            Some(_) | None => None,
        };
        let resolver = provable.map_or(&self.resolver, |dnssec| dnssec.resolver());
        match resolver.lookup(name.clone(), RecordType::MX).await {
            Ok(lookup) => {
                let answers = lookup.answers();
                let hosts = answers.iter().filter_map(|record| exchange(&record.data)).collect::<Vec<_>>();
                let proven =
                    provable.is_some() && !hosts.is_empty() && answers.iter().all(|r| r.proof.is_secure());
                Ok(Exchanges { hosts, proven })
            }
            Err(error) if error.is_nx_domain() => {
                Err(Reply::ours("5.1.2", &format!("The domain {domain} does not exist")))
            }
            // That there is none may be proven as well: then the domain itself is the host (RFC 7672 §2.2.1).
            Err(error) if error.is_no_records_found() => {
                Ok(Exchanges { hosts: Vec::new(), proven: provable.is_some() })
            }
            Err(error) => Err(unanswered(domain, &error)),
        }
    }

    /// RFC 5321 §5.1: if we are among the hosts, only those more preferred than us are tried.
    fn before_us(&self, hosts: Vec<(u16, Name)>) -> Vec<(u16, Name)> {
        let is_us = |host: &Name| {
            let host = fold(&shown(host));
            self.routing.own_names.iter().any(|own| domain_key(own) == host)
        };
        let ours = hosts.iter().filter(|(_, host)| is_us(host)).map(|(preference, _)| *preference).min();
        let hosts = hosts.into_iter().filter(|(preference, _)| ours.is_none_or(|ours| *preference < ours));
        hosts.take(MAX_HOSTS).collect()
    }

    async fn host(&self, preference: u16, host: &Name, domain: &Name, proven: bool) -> Result<Host, Reply> {
        let (addresses, security) = match &self.dnssec {
            Some(dnssec) if proven => {
                let found = dnssec.host(host, self.routing.port).await;
                let found = found.map_err(|Unproven(error)| unanswered(&shown(domain), &error))?;
                let names = [shown(host), shown(domain)];
                let security = match found.pins {
                    None => Security::Opportunistic,
                    Some(pins) => Pin::new(pins, &names.each_ref().map(String::as_str))
                        .map_or(Security::Encrypted, |pin| Security::Dane(pin.into())),
                };
                (found.addresses, security)
            }
            Some(_) | None => {
                let found = self.addresses(host).await;
                (found.map_err(|error| unanswered(&shown(domain), &error))?, Security::Opportunistic)
            }
        };
        Ok(Host { preference, name: shown(host), addresses, security })
    }

    /// No addresses is an answer, none that came is an error.
    async fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, NetError> {
        match self.resolver.lookup_ip(host.clone()).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// RFC 8461 §5: hosts that the policy does not name are not tried. What TLSA records say goes before (§2).
    async fn by_policy(
        &self,
        domain: &str,
        mut hosts: Vec<Host>,
    ) -> Result<(Vec<Host>, Option<Whose>), Reply> {
        let Known { policy, failure } = match &self.sts {
            Some(sts) => sts.policy(domain).await,
            None => Known::default(),
        };
        if let Some(failure) = failure {
            self.tell(domain, || Session::barred(None, failure, None));
        }
        let whose = |sts| Some(Whose { domain: domain.to_owned(), sts });
        let Some(policy) = policy.filter(|policy| policy.mode != Mode::None) else {
            return Ok((hosts, whose(None)));
        };
        let is_named = |host: &Host| policy.covers(&host.name) || matches!(host.security, Security::Dane(_));
        match policy.mode {
            Mode::None => {}
            Mode::Testing => {
                for host in hosts.iter().filter(|host| !is_named(host)) {
                    tracing::info!(
                        domain,
                        host = host.name,
                        "the domain's policy, which it tests, names no such host"
                    );
                    metrics::counter!("magpie_queue_sts_failures_total", "mode" => "testing").increment(1);
                }
            }
            Mode::Enforce => {
                for host in hosts.iter().filter(|host| !is_named(host)) {
                    let result = ResultType::ValidationFailure;
                    self.tell(domain, || Session::barred(Some(&*policy), result, Some(&host.name)));
                }
                hosts.retain(is_named);
                for host in hosts.iter_mut().filter(|host| !matches!(host.security, Security::Dane(_))) {
                    host.security = Security::Verified;
                }
                if hosts.is_empty() {
                    metrics::counter!("magpie_queue_sts_failures_total", "mode" => "enforce").increment(1);
                    let text = format!("The mail servers of {domain} are not those that its policy names");
                    return Err(Reply::ours("4.7.5", &text));
                }
            }
        }
        Ok((hosts, whose(Some(policy))))
    }

    fn tell(&self, domain: &str, session: impl FnOnce() -> Session) {
        if let Some(ledger) = &self.ledger {
            ledger.note(domain, &session());
        }
    }

    pub(super) fn allowed(&self, domain: &str, hosts: Vec<Host>) -> Result<Vec<Target>, Reply> {
        let port = self.routing.port;
        let targets = hosts.into_iter().flat_map(|Host { preference, name, addresses, security }| {
            let target = move |ip: IpAddr| Target {
                host: name.clone(),
                address: SocketAddr::new(ip.to_canonical(), port),
                preference,
                security: security.clone(),
            };
            addresses.into_iter().map(target)
        });
        let elsewhere = targets.filter(|target| !self.is_us(target.address)).collect::<Vec<_>>();
        if elsewhere.is_empty() {
            return Err(Reply::ours("5.4.6", &format!("Mail for {domain} would come back to us")));
        }
        let mut allowed = elsewhere;
        allowed.retain(|target| self.routing.allow_private_targets || !is_private(target.address.ip()));
        if allowed.is_empty() {
            let text = format!("The mail servers of {domain} have private addresses only");
            return Err(Reply::ours("5.4.4", &text));
        }
        allowed.truncate(MAX_TARGETS);
        Ok(allowed)
    }

    fn is_us(&self, address: SocketAddr) -> bool {
        self.routing.own_addresses.iter().any(|own| {
            own.port() == address.port()
                && (own.ip() == address.ip() || own.ip().is_unspecified() && address.ip().is_loopback())
        })
    }
}

fn unanswered(domain: &str, error: &NetError) -> Reply {
    tracing::debug!(domain, %error, "no answer from DNS");
    Reply::ours("4.4.3", &format!("The mail servers of {domain} could not be looked up"))
}
