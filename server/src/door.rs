//! What the door is told by the configuration, and the DNS that it asks.

use std::{net::IpAddr, sync::Arc};

use anyhow::Context as _;
use async_trait::async_trait;
use endpoints::smtp::{Dns, HelloCheck, NoAnswer, Policy, ReverseDns};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};
use mail::DoorConfig;

use crate::config::{self, Config};

/// How often things may be done there.
pub(crate) fn limits(config: &Config) -> DoorConfig {
    let greylist = config.smtp.greylist.0;
    DoorConfig {
        connections_per_minute: config.limits.connections_per_minute,
        mails_per_hour_per_address: config.limits.mails_per_hour_per_address,
        mails_per_hour_per_network: config.limits.mails_per_hour_per_network,
        mails_per_hour_per_domain: config.limits.mails_per_hour_per_domain,
        commands_per_minute_per_account: config.limits.commands_per_minute_per_account,
        commands_per_minute_per_address: config.limits.commands_per_minute_per_address,
        greylist: (!greylist.is_zero()).then_some(greylist),
        ban_after: config.bans.after,
        ban_within: config.bans.within.0,
        ban_for: config.bans.lasting.0,
    }
}

/// What other servers must be like.
pub(crate) fn policy(config: &Config) -> anyhow::Result<Policy> {
    let smtp = &config.smtp;
    let asks = !smtp.dnsbl.is_empty() || smtp.reverse_dns != config::ReverseDns::Off;
    let dns: Option<Arc<dyn Dns>> = if asks { Some(Arc::new(Resolver::new(config)?)) } else { None };
    Ok(Policy {
        trusted: smtp.trusted.clone(),
        patience: Some(smtp.greet_delay.0),
        hello: match smtp.hello {
            config::Hello::Off => HelloCheck::Off,
            config::Hello::Ours => HelloCheck::NotOurs,
            config::Hello::Full => HelloCheck::FullName,
        },
        reverse_dns: match smtp.reverse_dns {
            config::ReverseDns::Off => ReverseDns::Off,
            config::ReverseDns::Named => ReverseDns::Named,
            config::ReverseDns::Confirmed => ReverseDns::Confirmed,
        },
        block_lists: smtp.dnsbl.clone(),
        allow_lists: smtp.dnswl.clone(),
        dns_within: smtp.dns_timeout.0,
        dns,
        tarpit_after: smtp.tarpit_after,
        tarpit: smtp.tarpit.0,
    })
}

/// It keeps answers for as long as they say.
struct Resolver(TokioResolver);

impl Resolver {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let provider = TokioRuntimeProvider::default();
        let builder = match config.dns.resolver.0 {
            Some(address) => {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                connections.iter_mut().for_each(|connection| connection.port = address.port());
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_parts(None, vec![], vec![server]);
                TokioResolver::builder_with_config(config, provider)
            }
            None => TokioResolver::builder(provider).context("dns.resolver: the system's")?,
        };
        Ok(Self(builder.build().context("dns.resolver")?))
    }
}

#[async_trait]
impl Dns for Resolver {
    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAnswer> {
        match self.0.lookup_ip(format!("{}.", name.trim_end_matches('.'))).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(_) => Err(NoAnswer),
        }
    }

    async fn names(&self, address: IpAddr) -> Result<Vec<String>, NoAnswer> {
        match self.0.reverse_lookup(address.to_canonical()).await {
            Ok(found) => {
                let name = |data: &RData| match data {
                    RData::PTR(name) => Some(name.to_string()),
                    _ => None,
                };
                Ok(found.answers().iter().filter_map(|record| name(&record.data)).collect())
            }
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(_) => Err(NoAnswer),
        }
    }
}
