//! `magpie alias`.

use clap::Subcommand;
use types::EmailAddress;

use super::out::say;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Alias {
    /// Give an account another address
    Add { alias: EmailAddress, account: EmailAddress },
    /// List an account's addresses, the main one first
    List { account: EmailAddress },
    /// Take an address away from its account
    Remove { alias: EmailAddress },
}

impl Alias {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let admin = super::admin(config).await?;
        match self {
            Self::Add { alias, account } => {
                admin.add_alias(&alias, &account).await?;
                say!("Mail for {alias} goes to {account}.")?;
            }
            Self::List { account } => {
                for address in admin.addresses(&account).await? {
                    say!("{address}")?;
                }
            }
            Self::Remove { alias } => {
                admin.remove_alias(&alias).await?;
                say!("{alias} is nobody's address any more.")?;
            }
        }
        Ok(())
    }
}
