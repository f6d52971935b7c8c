//! `magpie restore`.

use std::path::PathBuf;

use clap::Args;
use types::EmailAddress;

use super::{
    backup::{complain, watch},
    out::say,
    password,
};
use crate::{
    backup::{self, At, One, Ports, Target, Watch},
    config::Config,
    parts::Parts,
};

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The folder with the backups
    folder: PathBuf,

    /// Only the account that had this address, which must have no mail now
    #[arg(long, value_name = "ADDRESS")]
    account: Option<EmailAddress>,

    /// Put the account's mail into a new account with this address
    #[arg(long, value_name = "ADDRESS", requires = "account")]
    into: Option<EmailAddress>,

    /// Read the new account's password from standard input instead of making one up
    #[arg(long, requires = "into")]
    password_stdin: bool,

    /// As of this run, or the last one that had begun by this time (2026-11-22T16:30:00Z); the newest if not given
    #[arg(long, value_name = "RUN|TIME")]
    at: Option<String>,

    /// Also mail that was on its way then: it is sent, perhaps again
    #[arg(long)]
    with_queue: bool,

    /// Say nothing if all goes well
    #[arg(long, short)]
    quiet: bool,
}

impl Restore {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let at = backup::find(&self.folder, self.at.as_deref())?;
        let Parts { ports, mail, .. } = super::begin(config).await?;
        let watch = watch(self.quiet);
        let restored = match (&self.account, &self.into) {
            (None, _) => backup::everything(&ports, &at, self.with_queue, &watch).await,
            (Some(address), None) => {
                let one = at.one(&ports, address).await?;
                one.restore(&ports, Target::Itself, self.with_queue, &watch).await
            }
            (Some(address), Some(into)) => {
                let one = at.one(&ports, address).await?;
                self.beside(&ports, &mail.admin(), one, into, &watch).await
            }
        };
        watch.done();
        let restored = restored?;
        let said = self.tell(&restored, &at);
        // Faults are told also where nobody reads the rest.
        complain(&restored.faults, "everything else is restored")?;
        said
    }

    fn tell(&self, restored: &backup::Restored, at: &At) -> anyhow::Result<()> {
        if self.quiet {
            return Ok(());
        }
        let before = match restored.before {
            0 => String::new(),
            before => format!(" ({before} were back already)"),
        };
        say!(
            "Restored {} accounts{before} with {} messages as of run {}.",
            restored.accounts,
            restored.messages,
            at.run()?
        )?;
        if !self.with_queue {
            say!("Mail that was on its way then is not sent; --with-queue would.")?;
        }
        Ok(())
    }

    /// The account is made once nothing speaks against it.
    async fn beside(
        &self,
        ports: &Ports,
        admin: &mail::Admin,
        one: One<'_>,
        into: &EmailAddress,
        watch: &Watch,
    ) -> anyhow::Result<backup::Restored> {
        // One that is there already and has no mail is what a restore that broke off has left.
        let (id, chosen) = match ports.directory.resolve(into).await? {
            Some(id) => (id, None),
            None => {
                let chosen = password::read_or_make(self.password_stdin)?;
                let quota = one.own_quota_bytes();
                let made = admin.add_account(into, "", chosen.password.clone(), quota).await?;
                (made.id, Some(chosen))
            }
        };
        if let Some(chosen) = chosen {
            // What has begun is done, also where nobody reads any more.
            let _ = say!("Added {into} (account {id}).").and_then(|()| chosen.show());
        }
        one.restore(ports, Target::Into(id), self.with_queue, watch).await
    }
}
