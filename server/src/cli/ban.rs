//! `magpie ban`.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
};

use anyhow::bail;
use clap::Subcommand;
use types::Network;

use super::out::say;
use crate::config::{Config, Span};

#[derive(Debug, Subcommand)]
pub(super) enum Ban {
    /// List who is kept out, and until when
    List,
    /// Keep an address or a network out for a while
    Add {
        /// Like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/48; of IPv6 at least a /64
        network: Network,
        /// How long, like 30m, 12h or 7d; bans.for if absent
        #[arg(long = "for", value_name = "TIME")]
        lasting: Option<Span>,
        /// For whoever lists the bans
        #[arg(long, default_value = "the operator's wish")]
        reason: String,
        /// Also if it is this machine's, a trusted one, or where you are logged in from
        #[arg(long)]
        force: bool,
    },
    /// Let an address or a network in again
    Lift {
        /// As it is listed
        network: Network,
    },
}

impl Ban {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let admin = super::admin(config).await?;
        match self {
            Self::List => {
                for ban in admin.bans().await? {
                    say!("{} until {} for {}", ban.network, ban.expires_at, ban.reason)?;
                }
            }
            Self::Add { network, lasting, reason, force } => {
                mail::Admin::check_ban(network)?;
                if let Some(whose) = own(config, network)
                    && !force
                {
                    bail!(
                        "{network} has {whose}: mail, mail programs or proxies there would be kept out as well; \
                         --force does it all the same"
                    );
                }
                let lasting = lasting.unwrap_or(config.bans.lasting);
                let ban = admin.add_ban(network, &reason, lasting.0).await?;
                say!("{} is kept out until {}.", ban.network, ban.expires_at)?;
            }
            Self::Lift { network } => {
                admin.lift_ban(network).await?;
                say!("{network} may come in again.")?;
            }
        }
        Ok(())
    }
}

/// Whoever in the network an operator does not mean to keep out.
fn own(config: &Config, network: Network) -> Option<String> {
    let has = |other: &Network| network.overlaps(other);
    let is_loopback = has(&Network::of_client(Ipv6Addr::LOCALHOST.into()))
        || LOOPBACK.parse::<Network>().is_ok_and(|loopback| has(&loopback));
    if is_loopback || own_addresses().into_iter().any(|address| is_in(network, address)) {
        return Some("addresses of this machine".to_owned());
    }
    let listening = [&config.smtp.listen, &config.http.listen].into_iter().filter_map(|listen| listen.0);
    if listening.map(|address| address.ip()).any(|ip| !ip.is_unspecified() && network.contains(ip)) {
        return Some("an address that the server listens on".to_owned());
    }
    let lists = [
        ("smtp.trusted", &config.smtp.trusted),
        ("http.trusted_proxies", &config.http.trusted_proxies),
        ("proxy_protocol.from", &config.proxy_protocol.from),
    ];
    for (name, networks) in lists {
        if networks.iter().any(has) {
            return Some(format!("addresses of {name}"));
        }
    }
    // "CLIENT PORT PORT", see sshd(8).
    let client = std::env::var("SSH_CLIENT").ok()?;
    let client: IpAddr = client.split_whitespace().next()?.parse().ok()?;
    is_in(network, client).then(|| "the address that you are logged in from".to_owned())
}

const LOOPBACK: &str = "127.0.0.0/8";

/// Whether the ban would hold for the address.
fn is_in(network: Network, address: IpAddr) -> bool {
    network.of_clients().contains(address)
}

/// What the interfaces of this machine have, as Linux lists it.
fn own_addresses() -> Vec<IpAddr> {
    let mut own = Vec::new();
    let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut before = "";
    for line in routes.lines() {
        if line.contains("/32 host LOCAL") {
            own.extend(before.trim().trim_start_matches("|-- ").parse::<IpAddr>());
        }
        before = line;
    }
    let interfaces = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    for line in interfaces.lines() {
        let bits = line.split_whitespace().next().and_then(|hex| u128::from_str_radix(hex, 16).ok());
        own.extend(bits.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))));
    }
    own
}
