//! Postfix' own `smtp-sink` as an outside judge of what we send.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Instant, timeout_at},
};

/// A running `smtp-sink`; it stops when dropped.
pub struct SmtpSink {
    address: SocketAddr,
    mails: TempDir,
    _process: Child,
}

const PROGRAM: &str = "/usr/sbin/smtp-sink";
const START: Duration = Duration::from_secs(10);

impl SmtpSink {
    /// Starts one on a free port, with these options. `None`, and a word to the tester, where Postfix is not installed.
    pub async fn start(options: &[&str]) -> Result<Option<Self>> {
        if !Path::new(PROGRAM).exists() {
            eprintln!(
                "SKIPPED: {PROGRAM} is not there; install the package `postfix` (cargo xtask test does)"
            );
            return Ok(None);
        }
        let mails = tempfile::tempdir()?;
        open_to_all(mails.path())?;
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let mut command = Command::new(PROGRAM);
        // It refuses to work as root, and only then knows -u.
        if is_root(mails.path())? {
            command.args(["-u", "postfix"]);
        }
        command.args(options).arg("-d").arg(mails.path().join("%M."));
        command.args([&address.to_string(), "16"]).stdout(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().context("start smtp-sink")?;
        let deadline = Instant::now() + START;
        let answers = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout_at(deadline, answers).await.context("smtp-sink does not answer")?;
        Ok(Some(Self { address, mails, _process: process }))
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The mails it took: lines end with LF, and its own `X-` and Received fields come first.
    pub fn mails(&self) -> Result<Vec<String>> {
        let files = std::fs::read_dir(self.mails.path())?;
        files.map(|file| Ok(String::from_utf8_lossy(&std::fs::read(file?.path())?).into_owned())).collect()
    }
}

fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777))?)
}

fn is_root(ours: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(ours)?.uid() == 0)
}
