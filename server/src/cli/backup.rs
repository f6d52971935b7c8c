//! `magpie backup`.

use std::{io::IsTerminal as _, path::PathBuf};

use anyhow::bail;
use clap::Args;

use super::out::{self, say};
use crate::{
    backup::{self, Verified, Watch},
    config::Config,
};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The folder with the backups; made if it is not there
    folder: PathBuf,

    /// Begin anew instead of adding what has changed since the last run; older chains may be deleted then
    #[arg(long)]
    full: bool,

    /// Read the folder back instead: every checksum, every mail, every attachment
    #[arg(long, conflicts_with_all = ["full", "prune"])]
    verify: bool,

    /// Remove attachments that no run needs any more instead, after chains were deleted
    #[arg(long, conflicts_with = "full")]
    prune: bool,

    /// Say nothing if all goes well
    #[arg(long, short)]
    quiet: bool,
}

impl Backup {
    /// Needs no service for looking after the folder.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        if self.verify {
            return self.verify();
        }
        if self.prune {
            let (blobs, bytes) = backup::prune(&self.folder)?;
            return self.say(&format!("Removed {blobs} files of attachments, {bytes} bytes."));
        }
        let ports = super::open(config).await?.ports;
        let watch = watch(self.quiet);
        let ran = backup::run(&ports, &self.folder, self.full, &watch).await;
        watch.done();
        let ran = ran?;
        let kind = if ran.full { ", which begins a chain" } else { "" };
        let said = self.say(&format!(
            "Run {}{kind}: {} of {} accounts have changed, with {} messages; {} attachments and {} bytes added.",
            ran.run, ran.changed, ran.accounts, ran.messages, ran.blobs, ran.size_bytes
        ));
        // Faults are told also where nobody reads the rest.
        complain(&ran.faults, "the run is complete but for what is named above")?;
        said
    }

    fn verify(&self) -> anyhow::Result<()> {
        let watch = watch(self.quiet);
        let verified = backup::verify(&self.folder, &watch);
        watch.done();
        let Verified { chains, runs, accounts, messages, blobs, size_bytes, mut faults, losses } = verified?;
        faults.extend(losses.iter().map(|loss| format!("lost: {loss}")));
        complain(&faults, "restore brings back everything but what is called lost")?;
        if runs == 0 {
            bail!("{}: there is no run in it", self.folder.display());
        }
        self.say(&format!(
            "All is well: {runs} runs in {chains} chains, {blobs} attachments, {size_bytes} bytes; \
             the newest run has {accounts} accounts with {messages} messages."
        ))
    }

    fn say(&self, line: &str) -> anyhow::Result<()> {
        if !self.quiet {
            say!("{line}")?;
        }
        Ok(())
    }
}

/// A bar, if somebody is there to see it.
pub(super) fn watch(quiet: bool) -> Watch {
    if quiet || !std::io::stderr().is_terminal() { Watch::nobody() } else { Watch::bar() }
}

/// One line for each fault, and the command fails.
pub(super) fn complain(faults: &[String], but: &str) -> anyhow::Result<()> {
    for fault in faults {
        out::aside(format_args!("fault: {fault}"));
    }
    match faults.len() {
        0 => Ok(()),
        1 => bail!("there is 1 fault; {but}"),
        count => bail!("there are {count} faults; {but}"),
    }
}
