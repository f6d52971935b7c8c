//! `magpie ban`.

use std::net::IpAddr;

use clap::Subcommand;

use super::out::say;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Ban {
    /// List who is kept out, and until when
    List,
    /// Let an address in again
    Lift { address: IpAddr },
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
            Self::Lift { address } => {
                admin.lift_ban(address).await?;
                say!("{address} may come in again.")?;
            }
        }
        Ok(())
    }
}
