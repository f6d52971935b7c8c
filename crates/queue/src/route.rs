//! Which hosts take a domain's mail: MX by preference, then the domain itself (RFC 5321 §5.1), unless a rule of the
//! operator's says otherwise; and how safe the connection must be.
//!
//! What DNS says for certain is permanent, whatever it fails to say is temporary.

mod dnssec;
mod mx;
mod names;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
};
use mail::Service;
use types::address::domain_key;

use crate::{
    Caller, Reply, Route, Security, Target, Way,
    https::Https,
    sts::{Domains, Sts},
    tlsrpt::{Ledger, Whose},
    way::group,
};
use dnssec::Dnssec;
use names::literal;
pub(crate) use names::to_a_labels;

/// How mail finds its way.
#[derive(Debug, Clone)]
pub struct Routing {
    /// The resolver to ask; `None`: the system's.
    pub resolver: Option<SocketAddr>,
    /// `queue.port`: where other hosts listen; 25 except in tests.
    pub port: u16,
    /// `smtp.relay` and `smtp.routes`: what goes another way than by MX; the first that fits.
    pub rules: Vec<Rule>,
    /// `queue.allow_private_targets`: whether mail may go to loopback and private addresses.
    pub allow_private_targets: bool,
    /// Our names, as MX records would call us.
    pub own_names: Vec<String>,
    /// Where we ourselves take mail.
    pub own_addresses: Vec<SocketAddr>,
    /// `queue.dane`: whether hosts are known by TLSA records, where DNS can be trusted.
    pub dane: bool,
    /// A file of DNSKEY records that DNS is trusted by; `None`: those of the root.
    pub trust_anchor: Option<PathBuf>,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            resolver: None,
            port: 25,
            rules: Vec::new(),
            allow_private_targets: false,
            own_names: Vec::new(),
            own_addresses: Vec::new(),
            dane: false,
            trust_anchor: None,
        }
    }
}

/// How mail for some domains goes.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// `example.com`, `*.example.com` (below it), or `*` (all).
    pub domains: Vec<String>,
    /// A host that takes the mail, as `HOST:PORT`; MX is not asked then.
    pub relay: Option<String>,
    /// What is the least; `None`: as DNS and the domain's policy say.
    pub security: Option<Security>,
    pub caller: Arc<Caller>,
}

/// Finds the way to a domain.
#[async_trait]
pub trait Router: Send + Sync {
    /// The hosts that take mail for the domain (or address literal). Hosts of the same preference come in an order that
    /// `random` decides.
    async fn route(&self, domain: &str, random: u64) -> Route;

    /// The same for a mail that goes whatever the domain demands of connections (RFC 8689 §4.2.2 and its `TLS-Required: No`).
    /// What the operator demands is heeded.
    async fn lenient_route(&self, domain: &str, random: u64) -> Route {
        self.route(domain, random).await
    }

    /// Domains of the same destination can share a transaction; [`Router::route`] takes destinations as well.
    fn destination(&self, domain: &str) -> String {
        domain.to_owned()
    }

    /// The destination that is a host which takes all mail, as `HOST:PORT`.
    fn by_way_of(&self, host: &str) -> String {
        format!("{BY_WAY_OF}{host}")
    }
}

/// Whether it counts what a domain demands of connections to its hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demands {
    Heeded,
    Ignored,
}

/// What begins destinations that are no domains: the number of a rule, a host that an operator has named.
const BY_RULE: char = '=';
const BY_WAY_OF: char = '>';

/// Where DNS sends a domain's mail.
struct Hosts {
    targets: Vec<Target>,
    whose: Option<Arc<Whose>>,
}

/// The way by DNS.
pub struct DnsRouter {
    routing: Routing,
    resolver: TokioResolver,
    dnssec: Option<Dnssec>,
    sts: Option<Sts>,
    ledger: Option<Arc<dyn Ledger>>,
}

/// Where domains publish what they say of their mail servers.
#[derive(Debug, Clone)]
pub struct StsConfig {
    /// 443, except in tests.
    pub port: u16,
    /// Further authorities whose certificates are good, in DER.
    pub authorities: Vec<Vec<u8>>,
}

impl Default for StsConfig {
    fn default() -> Self {
        Self { port: 443, authorities: Vec::new() }
    }
}

impl DnsRouter {
    /// Fails if the system's resolver is wanted and its configuration cannot be read, or the trust anchor cannot.
    pub fn new(routing: Routing) -> Result<Self, NetError> {
        let resolver = resolver(&routing)?.build()?;
        let dnssec = match routing.dane {
            true => Some(Dnssec::new(resolver_that_asks_all(&routing)?, routing.trust_anchor.as_deref())?),
            false => None,
        };
        Ok(Self { routing, resolver, dnssec, sts: None, ledger: None })
    }

    /// Heeds what domains say of their mail servers (RFC 8461).
    pub fn with_sts(mut self, service: Service, config: &StsConfig) -> Result<Self, rustls::Error> {
        let allow_private_targets = self.routing.allow_private_targets;
        let https = Https::to_the_proven(&self.resolver, &config.authorities, allow_private_targets)?;
        let source = Domains { resolver: self.resolver.clone(), https, port: config.port };
        self.sts = Some(Sts::new(Box::new(source), service));
        Ok(self)
    }

    /// Tells what stands in the way of sessions before they begin.
    #[must_use]
    pub fn told_to(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = Some(ledger);
        self
    }

    async fn by_relay(&self, relay: &str) -> Result<Vec<Target>, Reply> {
        let missing = |text: &str| Reply::ours("4.4.4", &format!("The relay {relay} {text}"));
        if let Ok(address) = relay.parse::<SocketAddr>() {
            return Ok(vec![Target::new(&address.ip().to_string(), address)]);
        }
        let (host, port) = relay.rsplit_once(':').ok_or_else(|| missing("is not HOST:PORT"))?;
        let port = port.parse().map_err(|_| missing("is not HOST:PORT"))?;
        let found = self.resolver.lookup_ip(host).await.map_err(|_| missing("could not be looked up"))?;
        let targets = found.iter().map(|ip| Target::new(host, SocketAddr::new(ip, port))).collect::<Vec<_>>();
        if targets.is_empty() { Err(missing("has no address")) } else { Ok(targets) }
    }

    async fn find(&self, domain: &str, random: u64, demands: Demands) -> Route {
        if let Some(host) = domain.strip_prefix(BY_WAY_OF) {
            let targets = self.by_relay(host).await?;
            return Ok(Way { group: host.to_owned(), targets, ..Way::default() });
        }
        let numbered = domain.strip_prefix(BY_RULE).and_then(|number| number.parse::<usize>().ok());
        let rule = match numbered {
            Some(number) => self.routing.rules.get(number),
            None => self.rule(domain).map(|(_, rule)| rule),
        };
        match rule {
            Some(rule) => self.by_rule(rule, domain, random, demands).await,
            None => {
                let Hosts { targets, whose } = self.by_dns(domain, random, demands).await?;
                Ok(Way { group: group_of(&targets), targets, whose, ..Way::default() })
            }
        }
    }

    async fn by_rule(&self, rule: &Rule, domain: &str, random: u64, demands: Demands) -> Route {
        let Hosts { mut targets, mut whose } = match &rule.relay {
            Some(relay) => Hosts { targets: self.by_relay(relay).await?, whose: None },
            None => self.by_dns(domain, random, demands).await?,
        };
        if let Some(security) = &rule.security {
            // What fails then is not what the domain demands.
            whose = None;
            for target in targets.iter_mut().filter(|target| !target.security.is_authenticated()) {
                target.security = security.clone();
            }
        }
        let caller = Arc::clone(&rule.caller);
        // Nobody else's hosts: what goes there is limited for itself.
        let group = rule.relay.clone().unwrap_or_else(|| group_of(&targets));
        Ok(Way { targets, group, caller, whose })
    }

    async fn by_dns(&self, domain: &str, random: u64, demands: Demands) -> Result<Hosts, Reply> {
        match literal(domain) {
            Some(ip) => {
                let targets = self.allowed(domain, vec![mx::Host::literal(domain, ip)])?;
                Ok(Hosts { targets, whose: None })
            }
            None => self.by_mx(domain, random, demands).await,
        }
    }

    fn rule(&self, domain: &str) -> Option<(usize, &Rule)> {
        let fits = |rule: &Rule| rule.domains.iter().any(|pattern| fits(pattern, domain));
        self.routing.rules.iter().enumerate().find(|(_, rule)| fits(rule))
    }
}

#[async_trait]
impl Router for DnsRouter {
    async fn route(&self, domain: &str, random: u64) -> Route {
        self.find(domain, random, Demands::Heeded).await
    }

    async fn lenient_route(&self, domain: &str, random: u64) -> Route {
        self.find(domain, random, Demands::Ignored).await
    }

    fn destination(&self, domain: &str) -> String {
        match self.rule(domain) {
            Some((number, Rule { relay: Some(_), .. })) => format!("{BY_RULE}{number}"),
            Some(_) | None => domain.to_owned(),
        }
    }
}

fn resolver(routing: &Routing) -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError> {
    let mut builder = match routing.resolver {
        None => TokioResolver::builder_tokio()?,
        Some(address) => {
            let at = |mut config: ConnectionConfig| {
                config.port = address.port();
                config
            };
            let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
            let server = NameServerConfig::new(address.ip(), true, connections);
            let config = ResolverConfig::from_name_servers(vec![server]);
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder
        }
    };
    builder.options_mut().timeout = Duration::from_secs(5);
    Ok(builder)
}

/// What is proven must come from DNS.
fn resolver_that_asks_all(routing: &Routing) -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError> {
    let mut builder = resolver(routing)?;
    builder.options_mut().use_hosts_file = ResolveHosts::Never;
    Ok(builder)
}

/// Whom the domain's mail goes to, by the host that is asked first.
fn group_of(targets: &[Target]) -> String {
    targets.first().map(|target| group(&target.host)).unwrap_or_default()
}

/// Whether the domain is one that the pattern of a rule means.
fn fits(pattern: &str, domain: &str) -> bool {
    let domain = domain_key(domain);
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(below) => match below.strip_prefix('.') {
            Some(above) => domain.strip_suffix(&domain_key(above)).is_some_and(|rest| rest.ends_with('.')),
            None => domain.ends_with(&domain_key(below)),
        },
        None => domain == domain_key(pattern),
    }
}
