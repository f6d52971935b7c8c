//! `magpie account`.

use clap::Subcommand;
use types::{AppPasswordId, EmailAddress};

use super::{
    limit::{AccountQuota, MessageLimit},
    out::say,
    password,
};
use crate::{config::Config, data, parts};

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Add an account; its domain must be there
    Add {
        address: EmailAddress,
        /// The person's name, as recipients see it
        #[arg(long, default_value = "")]
        name: String,
        /// Read the password from standard input instead of making one up
        #[arg(long)]
        password_stdin: bool,
    },
    /// List the accounts
    List,
    /// Set a new password, take all app passwords away, and end all sessions
    Passwd {
        address: EmailAddress,
        /// Read the password from standard input instead of making one up
        #[arg(long)]
        password_stdin: bool,
    },
    /// Passwords that let one mail program in each
    #[command(subcommand)]
    AppPassword(AppPassword),
    /// Let nobody log in any more; mail is still received
    Disable { address: EmailAddress },
    /// Let the account log in again
    Enable { address: EmailAddress },
    /// Let the account look after the queue over REST (/v1/admin), or no more
    Admin { address: EmailAddress, state: Switch },
    /// Say how large a mail of the account's may be, in and out; "none" for as large as everybody's
    Limit { address: EmailAddress, size: MessageLimit },
    /// Say what the account's mail may take together, like "2GB"; "none" for no limit, "default" for what limits.quota says
    Quota { address: EmailAddress, size: AccountQuota },
    /// Remove an account and all its mail, for good
    Delete { address: EmailAddress },
}

#[derive(Debug, Subcommand)]
pub(super) enum AppPassword {
    /// Make one and show it, this once
    Add {
        address: EmailAddress,
        /// What the program or device is called
        name: String,
    },
    /// List them: id, when it was made, when it was used, and its name
    List { address: EmailAddress },
    /// Take one away; programs that came by it have to log in again
    Remove { address: EmailAddress, id: AppPasswordId },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

impl Account {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        if let Self::Delete { address } = self {
            return delete(config, &address).await;
        }
        let admin = super::admin(config).await?;
        match self {
            Self::Add { address, name, password_stdin } => {
                let chosen = password::read_or_make(password_stdin)?;
                let account = admin.add_account(&address, &name, chosen.password.clone(), None).await?;
                say!("Added {} (account {}).", account.email, account.id)?;
                chosen.show()?;
            }
            Self::List => list(&admin).await?,
            Self::Passwd { address, password_stdin } => {
                admin.account(&address).await?;
                let chosen = password::read_or_make(password_stdin)?;
                admin.set_password(&address, chosen.password.clone()).await?;
                say!("{address} has a new password; all sessions end in a moment.")?;
                chosen.show()?;
            }
            Self::AppPassword(app_password) => app_password.run(&admin).await?,
            Self::Disable { address } => {
                admin.set_enabled(&address, false).await?;
                say!("{address} cannot log in any more.")?;
            }
            Self::Enable { address } => {
                admin.set_enabled(&address, true).await?;
                say!("{address} can log in.")?;
            }
            Self::Admin { address, state } => {
                admin.set_admin(&address, state == Switch::On).await?;
                let now = if state == Switch::On { "an administrator" } else { "no administrator any more" };
                say!("{address} is {now}.")?;
            }
            Self::Limit { address, size } => {
                admin.limit_account(&address, size.0).await?;
                say!("A mail of {address} may have {size}.")?;
            }
            Self::Quota { address, size } => {
                admin.set_quota(&address, size.own_bytes()).await?;
                say!("The mail of {address} may take {size}.")?;
            }
            Self::Delete { .. } => {}
        }
        Ok(())
    }
}

impl AppPassword {
    async fn run(self, admin: &mail::Admin) -> anyhow::Result<()> {
        match self {
            Self::Add { address, name } => {
                let (made, password) = admin.add_app_password(&address, &name).await?;
                say!("Made app password {} of {address}; it is shown this once.", made.id)?;
                say!("password: {}", password.expose())?;
            }
            Self::List { address } => {
                for one in admin.app_passwords(&address).await? {
                    let used =
                        one.used_at.map_or_else(|| "never used".to_owned(), |used_at| used_at.to_string());
                    say!("{}\t{}\t{used}\t{}", one.id, one.created_at, one.name)?;
                }
            }
            Self::Remove { address, id } => {
                admin.remove_app_password(&address, id).await?;
                say!("Nobody gets in by app password {id} any more.")?;
            }
        }
        Ok(())
    }
}

const AT_ONCE: u32 = 500;

async fn list(admin: &mail::Admin) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let accounts = admin.accounts(after, AT_ONCE).await?;
        let Some(last) = accounts.last() else { return Ok(()) };
        after = Some(last.id);
        for account in accounts {
            let admin = if account.admin { "  (administrator)" } else { "" };
            let disabled = if account.enabled { "" } else { "  (disabled)" };
            let quota = match AccountQuota::from(account.own_quota_bytes) {
                AccountQuota::Default => String::new(),
                own => format!("  ({own})"),
            };
            say!("{}\t{}\t{}{quota}{admin}{disabled}", account.id, account.email, account.name)?;
        }
    }
}

/// Also from the search index, if no server has it open; a running one never shows what is left there, since ids of
/// accounts are not given again.
async fn delete(config: &Config, address: &EmailAddress) -> anyhow::Result<()> {
    crate::telemetry::log(&super::quiet(config))?;
    data::find(config)?;
    let held = data::hold(config);
    let indexing = if held.is_ok() { parts::Indexing::Here } else { parts::Indexing::Elsewhere };
    parts::open(config, indexing).await?.mail.admin().remove_account(address).await?;
    say!("{address} and all its mail are gone.")?;
    Ok(())
}
