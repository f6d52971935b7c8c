//! The same load on Postfix and Dovecot, by the scripts that start and drive them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::Value;

use crate::Options;

/// Where the scripts' servers listen.
pub(crate) const SMTP: &str = "127.0.0.1:3525";
pub(crate) const IMAP: &str = "127.0.0.1:3143";

pub(crate) fn measure(
    options: &Options,
    count: impl Fn(&Options, usize, usize) -> usize,
) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let peer = Peer::up(options, folder.path())?;
    let mut rows = Vec::new();
    for &size in &options.sizes {
        for &connections in &options.connections {
            // It is some times slower; fewer mails tell as much.
            let count = count(options, connections, size).div_ceil(4);
            rows.push(peer.ingest(connections, count, size)?);
            eprintln!("{}", rows.last().unwrap_or(&Value::Null));
        }
    }
    Ok(rows)
}

pub(crate) struct Peer {
    tools: PathBuf,
    folder: PathBuf,
    pids: String,
}

impl Peer {
    /// Starts both in this folder.
    pub(crate) fn up(options: &Options, folder: &Path) -> anyhow::Result<Self> {
        Self::start(copy(&options.tools, folder)?, folder.join("peer"))
    }

    fn start(tools: PathBuf, folder: PathBuf) -> anyhow::Result<Self> {
        // Into a file: the servers that it starts keep its output open, so that a pipe would never end.
        let said = tools.join("said");
        let mut up = Command::new("bash");
        up.arg(tools.join("peer_up.sh")).arg(&folder).stdout(fs::File::create(&said)?);
        anyhow::ensure!(
            up.stderr(fs::File::options().append(true).open(&said)?).status()?.success(),
            "{}",
            fs::read_to_string(&said)?
        );
        let said = fs::read_to_string(&said)?;
        let pids = said.split("pids=").nth(1).context("peer_up.sh prints pids=")?.trim().to_owned();
        Ok(Self { tools, folder, pids })
    }

    pub(crate) fn tools(&self) -> &Path {
        &self.tools
    }

    /// The servers' first processes, with commas.
    pub(crate) fn pids(&self) -> &str {
        &self.pids
    }

    fn ingest(&self, connections: usize, count: usize, size: usize) -> anyhow::Result<Value> {
        let mut ingest = Command::new("python3");
        ingest.arg(self.tools.join("ingest.py")).args(["--smtp", SMTP, "--imap", IMAP]);
        ingest.args(["--pids", &self.pids, "--reps", "1", "--conc", &connections.to_string()]);
        ingest.args(["--n", &count.to_string(), "--size", &size.to_string()]);
        Ok(serde_json::from_str(&output(&mut ingest)?)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ =
            Command::new("bash").arg(self.tools.join("peer_up.sh")).arg(&self.folder).arg("stop").status();
    }
}

/// The scripts want their load generator compiled beside them.
pub(crate) fn copy(tools: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let copy = folder.join("tools");
    fs::create_dir(&copy)?;
    for entry in fs::read_dir(tools).with_context(|| tools.display().to_string())? {
        let path = entry?.path();
        fs::copy(&path, copy.join(path.file_name().unwrap_or_default()))?;
    }
    let mut rustc = Command::new("rustc");
    output(rustc.current_dir(&copy).args(["-O", "smtpload.rs", "-o", "smtpload"]))?;
    Ok(copy)
}

pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "{command:?}: {said}{complained}");
    Ok(said.into_owned())
}
