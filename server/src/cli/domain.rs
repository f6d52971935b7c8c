//! `magpie domain`.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::RData,
};

use super::{limit::MessageLimit, out::say};
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Domain {
    /// Receive mail for a domain
    Add { name: String },
    /// List the domains
    List,
    /// Say how large a mail of the domain's accounts may be, in and out; "none" for as large as everybody's
    Limit { name: String, size: MessageLimit },
    /// Say what is still missing before others' mail for a domain arrives here
    Check { name: String },
}

impl Domain {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let admin = super::admin(config).await?;
        match self {
            Self::Add { name } => {
                let domain = admin.add_domain(&name).await?;
                say!("Mail for {} is received from now on.", domain.name)?;
            }
            Self::List => {
                for domain in admin.domains().await? {
                    say!("{}", domain.name)?;
                }
            }
            Self::Limit { name, size } => {
                admin.limit_domain(&name, size.0).await?;
                say!("A mail of {name} may have {size}.")?;
            }
            Self::Check { name } => {
                let name = types::address::fold(&name);
                let is_ours = admin.domains().await?.iter().any(|domain| domain.name == name);
                check(&name, is_ours, config.dns.resolver.0).await?;
            }
        }
        Ok(())
    }
}

/// Prints what is found, and fails if mail cannot arrive.
async fn check(name: &str, is_ours: bool, resolver: Option<SocketAddr>) -> anyhow::Result<()> {
    let mut wrong = 0_u32;
    let mut line = |good: bool, text: String| {
        wrong += u32::from(!good);
        say!("{} {text}", if good { "ok  " } else { "MISS" })
    };
    line(
        is_ours,
        if is_ours { format!("{name} is a domain here") } else { format!("`magpie domain add {name}`") },
    )?;
    let resolver = resolver_at(resolver)?;
    let fqdn = format!("{}.", name.trim_end_matches('.'));
    let mut hosts: Vec<(u16, String)> = match resolver.mx_lookup(fqdn.as_str()).await {
        Ok(found) => found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => Some((mx.preference, mx.exchange.to_string())),
                _ => None,
            })
            .collect(),
        Err(_) => Vec::new(),
    };
    hosts.sort();
    line(
        !hosts.is_empty(),
        if hosts.is_empty() { format!("no MX record for {name}") } else { format!("MX of {name}") },
    )?;
    for (preference, host) in hosts {
        let addresses: Vec<_> = match resolver.lookup_ip(host.as_str()).await {
            Ok(found) => found.iter().map(|ip| ip.to_string()).collect(),
            Err(_) => Vec::new(),
        };
        let found = if addresses.is_empty() { "no address".into() } else { addresses.join(", ") };
        line(!addresses.is_empty(), format!("  {preference} {host} {found}"))?;
    }
    if wrong > 0 { bail!("mail for {name} does not arrive here yet") } else { Ok(()) }
}

fn resolver_at(address: Option<SocketAddr>) -> anyhow::Result<TokioResolver> {
    let provider = TokioRuntimeProvider::default();
    let builder = match address {
        Some(address) => {
            let mut udp = ConnectionConfig::udp();
            udp.port = address.port();
            let server = NameServerConfig::new(address.ip(), true, vec![udp]);
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, vec![], vec![server]),
                provider,
            )
        }
        None => TokioResolver::builder(provider).context("the system's resolver")?,
    };
    builder.build().context("the resolver")
}
