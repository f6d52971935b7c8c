//! `magpie ban`.

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
            Self::Add { network, lasting, reason } => {
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
