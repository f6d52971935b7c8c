//! `magpie group`.

use clap::Subcommand;
use types::EmailAddress;

use super::out::say;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Send the mail for an address on to several others, here or elsewhere; again to change whom
    Set {
        address: EmailAddress,
        #[arg(required = true)]
        members: Vec<EmailAddress>,
        /// The account that answers for the group and may send under its address; the first member that is one
        #[arg(long)]
        owner: Option<EmailAddress>,
    },
    /// List the groups with their members
    List,
    /// Take a group away
    Remove { address: EmailAddress },
}

impl Group {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let admin = super::admin(config).await?;
        match self {
            Self::Set { address, members, owner } => {
                let owner = match owner {
                    Some(owner) => owner,
                    None => first_account(&admin, &members).await?,
                };
                admin.set_group(&address, &owner, &members).await?;
                say!("Mail for {address} goes to {} others; {owner} answers for it.", members.len())?;
            }
            Self::List => {
                for group in admin.groups().await? {
                    let members: Vec<_> = group.targets.iter().map(ToString::to_string).collect();
                    say!("{}: {}", group.address, members.join(" "))?;
                }
            }
            Self::Remove { address } => {
                admin.remove_group(&address).await?;
                say!("{address} is no group any more.")?;
            }
        }
        Ok(())
    }
}

async fn first_account(admin: &mail::Admin, members: &[EmailAddress]) -> anyhow::Result<EmailAddress> {
    for member in members {
        if let Ok(account) = admin.account(member).await {
            return Ok(account.email);
        }
    }
    anyhow::bail!(
        "none of the members is an account here: say with --owner which account answers for the group"
    )
}
