//! A real PostgreSQL server for tests, in a folder of its own, on a free port of 127.0.0.1, with a password.
//!
//! It is the child of a thread that does nothing but wait for it: the kernel ends the server when that thread is gone,
//! so also when the test is killed.

use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::{net::TcpStream, task, time::Instant};

/// A running server; it stops when dropped, and its data go with it.
pub struct PostgresCluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    /// The user it runs as, where we are root: PostgreSQL refuses root.
    user: Option<u32>,
    server: Option<thread::JoinHandle<()>>,
}

const USER: &str = "magpie";
const PASSWORD: &str = "a-password-of-tests";
const START: Duration = Duration::from_secs(30);
/// Another program may take the free port first.
const TRIES: usize = 5;

impl PostgresCluster {
    /// As a server is by default; a commit is on disk when it returns.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// With these settings (`fsync=off`).
    pub async fn start_with(settings: &[&str]) -> Result<Self> {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut cluster = blocking(move || Self::new(settings)).await?;
        for _ in 0..TRIES {
            if cluster.run().await? {
                return Ok(cluster);
            }
            cluster.port = free_port()?;
        }
        bail!("PostgreSQL did not start: {}", cluster.log());
    }

    fn new(settings: Vec<String>) -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir()?;
        let user = user(folder.path())?;
        let mut cluster = Self { programs, folder, port: free_port()?, settings, user, server: None };
        let password = cluster.folder.path().join("password");
        std::fs::write(&password, PASSWORD)?;
        if user.is_some() {
            chown(&password, user, user)?;
            chown(cluster.folder.path(), user, user)?;
        }
        let mut initdb = cluster.command("initdb");
        initdb.arg("-D").arg(cluster.data()).arg("--pwfile").arg(&password);
        initdb.args(["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        succeed(&mut initdb)?;
        cluster.settings.insert(0, "max_connections=200".to_owned());
        Ok(cluster)
    }

    /// The URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    pub async fn create_database(&self, name: &str) -> Result<()> {
        let mut create = Command::new(self.programs.join("createdb"));
        create.args(["-h", "127.0.0.1", "-U", USER, "-p", &self.port.to_string(), name]);
        create.env("PGPASSWORD", PASSWORD);
        blocking(move || succeed(&mut create)).await
    }

    /// What a statement answers, as text; one line a row.
    pub async fn query(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)]);
        blocking(move || {
            let output = psql.output()?;
            ensure!(output.status.success(), "{}", said(&output));
            Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
        })
        .await
    }

    /// Stops the server as an administrator would: connections are ended.
    pub async fn stop(&mut self) -> Result<()> {
        self.end("fast").await
    }

    /// Stops the server as a crash would: nothing is written any more.
    pub async fn crash(&mut self) -> Result<()> {
        self.end("immediate").await
    }

    /// Starts it again after it was stopped, on the same port.
    pub async fn resume(&mut self) -> Result<()> {
        ensure!(self.run().await?, "PostgreSQL did not start again: {}", self.log());
        Ok(())
    }

    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.resume().await
    }

    async fn end(&mut self, mode: &'static str) -> Result<()> {
        let mut stop = self.stopping(mode);
        let server = self.server.take();
        blocking(move || {
            succeed(&mut stop)?;
            server.map_or(Ok(()), |server| {
                server.join().map_err(|_| anyhow::anyhow!("the waiting thread failed"))
            })
        })
        .await
    }

    /// Starts the server and waits until it takes connections; false if it ended instead.
    async fn run(&mut self) -> Result<bool> {
        let log = std::fs::File::create(self.folder.path().join("log"))?;
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        for setting in &self.settings {
            server.args(["-c", setting]);
        }
        server.stdout(Stdio::null()).stderr(log).stdin(Stdio::null());
        self.server = Some(thread::spawn(move || {
            if let Err(error) = server.status() {
                eprintln!("PostgreSQL could not be run: {error}");
            }
        }));
        let deadline = Instant::now() + START;
        while self.server.as_ref().is_some_and(|server| !server.is_finished()) {
            ensure!(Instant::now() < deadline, "PostgreSQL does not answer: {}", self.log());
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_ok() && self.is_ready().await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_ready(&self) -> Result<bool> {
        let mut ready = Command::new(self.programs.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        blocking(move || Ok(ready.status()?.success())).await
    }

    fn stopping(&self, mode: &str) -> Command {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "-s", "-w", "-m", mode, "-D"]).arg(self.data());
        stop
    }

    /// A program of PostgreSQL, as a user that it accepts, and gone when we are.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "QUIT"]).current_dir(self.folder.path());
        if let Some(user) = self.user {
            let user = user.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        command.arg(self.programs.join(program));
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let _stopped = self.stopping("immediate").output();
            let _ended = server.join();
        }
    }
}

/// The folder of the newest PostgreSQL's programs, where Debian puts them.
fn programs() -> Result<PathBuf> {
    let missing = "PostgreSQL is not there; install the package `postgresql` (cargo xtask test does)";
    let versions = std::fs::read_dir("/usr/lib/postgresql").context(missing)?;
    let versions = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let number = |path: &PathBuf| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    versions.filter(|path| path.join("initdb").exists()).max_by_key(number).context(missing)
}

/// The user that PostgreSQL runs as: `postgres` where we are root.
fn user(ours: &Path) -> Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata(ours)?.uid() != 0 {
        return Ok(None);
    }
    let output = Command::new("id").args(["-u", "postgres"]).output()?;
    ensure!(output.status.success(), "there is no user `postgres`; install the package `postgresql`");
    Ok(Some(String::from_utf8(output.stdout)?.trim().parse()?))
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", said(&output));
    Ok(())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    task::spawn_blocking(work).await.context("a helper thread")?
}
