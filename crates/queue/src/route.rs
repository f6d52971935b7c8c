//! Which hosts take a domain's mail: MX by preference, then the domain itself. RFC 5321 §5.1.
//!
//! What DNS says for certain is permanent, whatever it fails to say is temporary.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
};
use types::address::fold;

use crate::{Reply, private::is_private};

/// How mail finds its way.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The resolver to ask; `None`: the system's.
    pub resolver: Option<SocketAddr>,
    /// `queue.port`: where other hosts listen; 25 except in tests.
    pub port: u16,
    /// `smtp.relay`: a host that takes all mail, as `HOST:PORT`; MX is not asked then.
    pub relay: Option<String>,
    /// `queue.allow_private_targets`: whether mail may go to loopback and private addresses.
    pub allow_private_targets: bool,
    /// Our names, as MX records would call us.
    pub own_names: Vec<String>,
    /// Where we ourselves take mail.
    pub own_addresses: Vec<SocketAddr>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            resolver: None,
            port: 25,
            relay: None,
            allow_private_targets: false,
            own_names: Vec::new(),
            own_addresses: Vec::new(),
        }
    }
}

/// A host's address to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name, or the address literal.
    pub host: String,
    pub address: SocketAddr,
}

/// Where to go, in the order in which to try; or the refusal, temporary or permanent, that all recipients get.
pub type Route = Result<Vec<Target>, Reply>;

/// Finds the way to a domain.
#[async_trait]
pub trait Router: Send + Sync {
    /// The hosts that take mail for the domain (or address literal). Hosts of the same preference come in an order that
    /// `random` decides.
    async fn route(&self, domain: &str, random: u64) -> Route;

    /// Domains of the same destination can share a transaction; [`Router::route`] takes destinations as well.
    fn destination(&self, domain: &str) -> String {
        domain.to_owned()
    }
}

/// The way by DNS.
pub struct DnsRouter {
    routing: Routing,
    resolver: TokioResolver,
}

/// More hosts, and more addresses in all, than this are not tried.
const MAX_HOSTS: usize = 10;
const MAX_TARGETS: usize = 20;

impl DnsRouter {
    /// Fails if the system's resolver is wanted and its configuration cannot be read.
    pub fn new(routing: Routing) -> Result<Self, NetError> {
        let builder = match routing.resolver {
            None => TokioResolver::builder_tokio()?,
            Some(address) => {
                let at = |mut config: ConnectionConfig| {
                    config.port = address.port();
                    config
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                let server = NameServerConfig::new(address.ip(), true, connections);
                let config = ResolverConfig::from_name_servers(vec![server]);
                let provider = TokioRuntimeProvider::default();
                let mut builder = TokioResolver::builder_with_config(config, provider);
                builder.options_mut().use_hosts_file = ResolveHosts::Never;
                builder
            }
        };
        let mut builder = builder;
        builder.options_mut().timeout = Duration::from_secs(5);
        Ok(Self { routing, resolver: builder.build()? })
    }

    async fn by_mx(&self, domain: &str, random: u64) -> Route {
        let name = fqdn(domain)?;
        let hosts = match self.resolver.lookup(name.clone(), RecordType::MX).await {
            Ok(lookup) => lookup.answers().iter().filter_map(|record| exchange(&record.data)).collect(),
            Err(error) if error.is_nx_domain() => {
                return Err(Reply::ours("5.1.2", &format!("The domain {domain} does not exist")));
            }
            Err(error) if error.is_no_records_found() => Vec::new(),
            Err(error) => return Err(unanswered(domain, &error)),
        };
        if hosts.is_empty() {
            let addresses = self.addresses(&name).await.map_err(|error| unanswered(domain, &error))?;
            if addresses.is_empty() {
                let text = format!("The domain {domain} has no mail server");
                return Err(Reply::ours("5.1.2", &text));
            }
            return self.allowed(domain, vec![(shown(&name), addresses)]);
        }
        if hosts.iter().all(|(_, host)| host.is_root()) {
            return Err(Reply::ours("5.1.10", &format!("The domain {domain} accepts no mail")));
        }
        let hosts = self.before_us(ordered(hosts, random));
        if hosts.is_empty() {
            return Err(Reply::ours("5.4.6", &format!("Mail for {domain} would come back to us")));
        }
        let found = join_all(hosts.iter().map(|host| self.addresses(host))).await;
        let unanswered = found.iter().find_map(|found| found.as_ref().err()).map(|e| unanswered(domain, e));
        let hosts = hosts.iter().map(shown).zip(found.into_iter().map(Result::unwrap_or_default));
        let hosts = hosts.filter(|(_, addresses)| !addresses.is_empty()).collect::<Vec<_>>();
        if hosts.is_empty() {
            let text = format!("The mail servers of {domain} have no address");
            return Err(unanswered.unwrap_or_else(|| Reply::ours("5.4.4", &text)));
        }
        self.allowed(domain, hosts)
    }

    /// RFC 5321 §5.1: if we are among the hosts, only those more preferred than us are tried.
    fn before_us(&self, hosts: Vec<(u16, Name)>) -> Vec<Name> {
        let is_us = |host: &Name| {
            let host = fold(&shown(host));
            self.routing.own_names.iter().any(|own| fold(own) == host)
        };
        let ours = hosts.iter().filter(|(_, host)| is_us(host)).map(|(preference, _)| *preference).min();
        let hosts = hosts.into_iter().filter(|(preference, _)| ours.is_none_or(|ours| *preference < ours));
        hosts.map(|(_, host)| host).take(MAX_HOSTS).collect()
    }

    /// No addresses is an answer, none that came is an error.
    async fn addresses(&self, host: &Name) -> Result<Vec<IpAddr>, NetError> {
        match self.resolver.lookup_ip(host.clone()).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn allowed(&self, domain: &str, hosts: Vec<(String, Vec<IpAddr>)>) -> Route {
        let target = |host: &str, ip: IpAddr| Target {
            host: host.to_owned(),
            address: SocketAddr::new(ip.to_canonical(), self.routing.port),
        };
        let targets = hosts.iter().flat_map(|(host, ips)| ips.iter().map(|ip| target(host, *ip)));
        let targets = targets.collect::<Vec<_>>();
        let elsewhere = targets.into_iter().filter(|target| !self.is_us(target.address)).collect::<Vec<_>>();
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

    async fn by_relay(&self, relay: &str) -> Route {
        let missing = |text: &str| Reply::ours("4.4.4", &format!("The relay {relay} {text}"));
        if let Ok(address) = relay.parse::<SocketAddr>() {
            return Ok(vec![Target { host: address.ip().to_string(), address }]);
        }
        let (host, port) = relay.rsplit_once(':').ok_or_else(|| missing("is not HOST:PORT"))?;
        let port = port.parse().map_err(|_| missing("is not HOST:PORT"))?;
        let found = self.resolver.lookup_ip(host).await.map_err(|_| missing("could not be looked up"))?;
        let target = |ip: IpAddr| Target { host: host.to_owned(), address: SocketAddr::new(ip, port) };
        let targets = found.iter().map(target).collect::<Vec<_>>();
        if targets.is_empty() { Err(missing("has no address")) } else { Ok(targets) }
    }
}

#[async_trait]
impl Router for DnsRouter {
    async fn route(&self, domain: &str, random: u64) -> Route {
        if let Some(relay) = &self.routing.relay {
            return self.by_relay(relay).await;
        }
        match literal(domain) {
            Some(ip) => self.allowed(domain, vec![(domain.to_owned(), vec![ip])]),
            None => self.by_mx(domain, random).await,
        }
    }

    fn destination(&self, domain: &str) -> String {
        self.routing.relay.clone().unwrap_or_else(|| domain.to_owned())
    }
}

/// RFC 5321 §4.1.3.
fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("IPv6:").unwrap_or(inner).parse().ok()
}

/// The name to ask for, in A-labels (RFC 5891).
fn fqdn(domain: &str) -> Result<Name, Reply> {
    let mut name = Name::from_utf8(domain)
        .map_err(|_| Reply::ours("5.1.2", &format!("{domain} cannot be a domain name")))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The domain in A-labels, or as it is if it cannot be.
#[must_use]
pub(crate) fn to_a_labels(domain: &str) -> String {
    if domain.is_ascii() {
        return domain.to_owned();
    }
    fqdn(domain).map_or_else(|_| domain.to_owned(), |name| shown(&name))
}

fn shown(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn exchange(data: &RData) -> Option<(u16, Name)> {
    match data {
        RData::MX(mx) => Some((mx.preference, mx.exchange.clone())),
        _ => None,
    }
}

/// By preference; hosts of the same one in random order. A null MX beside others means nothing (RFC 7505 §3).
fn ordered(mut hosts: Vec<(u16, Name)>, random: u64) -> Vec<(u16, Name)> {
    hosts.retain(|(_, host)| !host.is_root());
    hosts.sort();
    let mut state = random;
    let mut keyed = hosts.into_iter().map(|host| (host.0, next_random(&mut state), host)).collect::<Vec<_>>();
    keyed.sort_by_key(|(preference, key, _)| (*preference, *key));
    keyed.into_iter().map(|(_, _, host)| host).collect()
}

/// A SplitMix64 step.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

fn unanswered(domain: &str, error: &NetError) -> Reply {
    tracing::debug!(domain, %error, "no answer from DNS");
    Reply::ours("4.4.3", &format!("The mail servers of {domain} could not be looked up"))
}
