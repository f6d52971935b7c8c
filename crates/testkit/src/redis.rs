//! A real `redis-server` on a free port, to be stopped and started again.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    time::{Instant, sleep},
};

/// A Redis of its own. It ends when this is dropped, and with the test's process, however that ends.
pub struct Redis {
    address: SocketAddr,
    options: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

const PROGRAM: &str = "/usr/bin/redis-server";
const START: Duration = Duration::from_secs(20);
/// Others may take a port between our look and the server's.
const PORTS: usize = 5;
/// Runs the server for as long as somebody holds the other end of its standard input.
const WATCH: &str = r#""$@" >/dev/null 2>&1 </dev/null & read -r _; kill -9 $!; wait"#;

impl Redis {
    /// Starts one without a password.
    pub async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    /// Starts one with these options of `redis-server`, such as `["--requirepass", "secret"]`.
    pub async fn with(options: &[&str]) -> Result<Self> {
        ensure!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is not there; install the package redis-server (cargo xtask test does)"
        );
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let address = free_port().await?;
        let mut redis = Self { address, options, folder: tempfile::tempdir()?, process: None };
        for _ in 0..PORTS {
            if redis.again().await.is_ok() {
                return Ok(redis);
            }
            redis.stop().await?;
            redis.address = free_port().await?;
        }
        redis.again().await?;
        Ok(redis)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Kills it, as a power cut would.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            process.wait().await?;
        }
        Ok(())
    }

    /// Starts it again on the same port, empty.
    pub async fn again(&mut self) -> Result<()> {
        self.stop().await?;
        let log = self.folder.path().join("log");
        let _ = std::fs::remove_file(&log);
        let port = self.address.port().to_string();
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "sh", PROGRAM, "--port", &port, "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"]);
        command.arg(self.folder.path()).arg("--logfile").arg(&log).args(&self.options);
        self.process = Some(command.stdin(Stdio::piped()).spawn().context("start redis-server")?);
        let deadline = Instant::now() + START;
        loop {
            // Its log is its own; a port may answer for somebody else.
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains("Ready to accept connections") {
                return Ok(());
            }
            if said.contains("Failed listening") || said.contains("FATAL") || Instant::now() > deadline {
                bail!("redis-server does not start on port {port}: {said}");
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?)
}
