//! How mail leaves: routes, connections and pace as configured.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use endpoints::tls;
use filter::Dns;
use queue::{
    Caller, DnsRouter, Login, Reuse, Routing, Rule, Schedule, Security, SmtpConfig, SmtpCourier, StsConfig,
    Timeouts, WorkerConfig, https::Https, tlsrpt::Ledger, worker::Rate,
};
use types::Secret;

use crate::config::{Config, RouteTls, Shared, SmtpRoute};

/// Finds the way for mail; `own` is where we take mail ourselves.
pub(crate) fn router(
    config: &Config,
    mail: &mail::Service,
    hostname: &str,
    own: Option<SocketAddr>,
    ledger: Option<&Arc<dyn Ledger>>,
) -> anyhow::Result<DnsRouter> {
    let mut rules = config.smtp.routes.iter().map(rule).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(relay) = &config.smtp.relay {
        let domains = vec!["*".to_owned()];
        rules.push(Rule { domains, relay: Some(relay.clone()), ..Rule::default() });
    }
    let routing = Routing {
        resolver: config.dns.resolver.0,
        port: config.queue.port,
        rules,
        allow_private_targets: config.queue.allow_private_targets,
        own_names: vec![hostname.to_owned()],
        own_addresses: own.into_iter().collect(),
        dane: config.queue.dane,
        trust_anchor: None,
    };
    let mut router = DnsRouter::new(routing).context("dns.resolver")?;
    if let Some(ledger) = ledger {
        router = router.told_to(Arc::clone(ledger));
    }
    if !config.queue.mta_sts {
        return Ok(router);
    }
    let sts = StsConfig { authorities: authorities(config)?, ..StsConfig::default() };
    Ok(router.with_sts(mail.clone(), &sts)?)
}

/// Asks servers of HTTPS that lists name.
pub(crate) fn clicks(config: &Config, dns: &Dns) -> anyhow::Result<Arc<Https>> {
    let https =
        Https::to_the_proven(dns.resolver(), &authorities(config)?, config.queue.allow_private_targets)?;
    Ok(Arc::new(https))
}

/// The certificates of `queue.authorities`, in DER.
fn authorities(config: &Config) -> anyhow::Result<Vec<Vec<u8>>> {
    let Some(path) = &config.queue.authorities else { return Ok(Vec::new()) };
    let found = tls::certificates(Path::new(path)).context("queue.authorities")?;
    Ok(found.iter().map(|certificate| certificate.to_vec()).collect())
}

/// Speaks SMTP to other servers.
pub(crate) fn courier(
    config: &Config,
    hostname: &str,
    ledger: Option<Arc<dyn Ledger>>,
) -> anyhow::Result<SmtpCourier> {
    let queue = &config.queue;
    let courier = SmtpCourier::new(SmtpConfig {
        hello: hostname.to_owned(),
        timeouts: Timeouts::default(),
        reuse: Reuse {
            connections: count(queue.idle_connections),
            idle: queue.idle_time.0,
            age: queue.connection_time.0,
            messages: queue.connection_mails,
        },
    })?;
    let courier = courier.trusting(&authorities(config)?)?;
    Ok(match ledger {
        Some(ledger) => courier.told_to(ledger),
        None => courier,
    })
}

/// How the worker works.
pub(crate) fn worker(config: &Config, hostname: &str) -> WorkerConfig {
    let queue = &config.queue;
    let rate = Rate { count: queue.per_destination_per_minute, period: Duration::from_secs(60) };
    WorkerConfig {
        name: format!("{hostname}/{}", std::process::id()),
        lease: queue.lease.0,
        schedule: Schedule { delays: queue.retry.iter().map(|wait| wait.0).collect() },
        warn_after: Some(queue.warn_after.0).filter(|after| !after.is_zero()),
        concurrency: count(queue.workers),
        per_destination: count(queue.per_destination),
        rate: (rate.count > 0).then_some(rate),
        poll: match config.bus.url {
            // What a command beside it does to the queue is seen by looking only: one short read of an index.
            Shared::Memory => Duration::from_secs(2),
            Shared::Redis(_) => WorkerConfig::default().poll,
        },
        ..WorkerConfig::default()
    }
}

fn rule(route: &SmtpRoute) -> anyhow::Result<Rule> {
    let login = match &route.user {
        Some(user) => Some(Login { user: user.clone(), password: password(route)? }),
        None => None,
    };
    let security = match route.tls {
        None if login.is_some() => Some(Security::Verified),
        None => None,
        Some(RouteTls::Opportunistic) => Some(Security::Opportunistic),
        Some(RouteTls::None) => Some(Security::Plain),
        Some(RouteTls::Encrypted) => Some(Security::Encrypted),
        Some(RouteTls::Verified | RouteTls::AtOnce) => Some(Security::Verified),
    };
    let caller = Caller {
        hello: route.hello.clone(),
        sources: route.source.clone(),
        login,
        tls_at_once: route.tls == Some(RouteTls::AtOnce),
    };
    let relay = route.host.clone().filter(|host| !host.is_empty());
    Ok(Rule { domains: route.domains.clone(), relay, security, caller: Arc::new(caller) })
}

fn password(route: &SmtpRoute) -> anyhow::Result<Secret> {
    let text = match (&route.password_file, &route.password_env) {
        (Some(path), _) => read(path)?,
        (None, Some(name)) => std::env::var(name).with_context(|| format!("smtp.routes: {name}"))?,
        (None, None) => anyhow::bail!("smtp.routes: a user needs password_file or password_env"),
    };
    Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("smtp.routes: {}", path.display()))
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
