//! The service under test: the release binary on free ports, with a data folder that goes away with it.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::Context;

pub(crate) const DOMAIN: &str = "bench.local";
pub(crate) const PASSWORD: &str = "bench-password";
pub(crate) const ACCOUNTS: usize = 50;

/// What a benchmark must not run into, and what it must not depend on.
const SETTINGS: &[(&str, &str)] = &[
    ("MAGPIE_HTTP__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_SMTP__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_SUBMISSION__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_SUBMISSIONS__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_IMAP__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_IMAPS__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_POP3__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_POP3S__LISTEN", "127.0.0.1:0"),
    ("MAGPIE_LIMITS__CONNECTIONS_PER_ADDRESS", "2000"),
    ("MAGPIE_LIMITS__CONNECTIONS", "4000"),
    ("MAGPIE_LIMITS__SOCKETS_PER_ACCOUNT", "2000"),
    ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "100000"),
    ("MAGPIE_LIMITS__REQUESTS_PER_MINUTE", "100000000"),
    ("MAGPIE_LOG__LEVEL", "warn"),
];

pub(crate) struct Server {
    process: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) web: String,
    /// `127.0.0.1:PORT`.
    pub(crate) smtp: String,
    pub(crate) submission: String,
    pub(crate) imap: String,
    _data: tempfile::TempDir,
}

impl Server {
    /// With `accounts` accounts `m00@bench.local`, `m01@…`, and what `prepare` does to the data before it starts.
    pub(crate) fn start(
        binary: &Path,
        accounts: usize,
        prepare: impl FnOnce(&Admin<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        Self::start_with(binary, accounts, Vec::new(), prepare)
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(
        binary: &Path,
        accounts: usize,
        settings: Vec<(&'static str, String)>,
        prepare: impl FnOnce(&Admin<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let admin = Admin { binary, data: data.path(), settings };
        admin.run(&["domain", "add", DOMAIN], "")?;
        for index in 0..accounts {
            admin.run(&["account", "add", &address(index), "--password-stdin"], PASSWORD)?;
        }
        prepare(&admin)?;
        let mut process = admin.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (process.stdout.take().context("stdout")?, process.stderr.take().context("stderr")?);
        let [web, smtp, submission, imap] = [const { String::new() }; 4];
        let mut server = Self { process, web, smtp, submission, imap, _data: data };
        server.wait(out, err)?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Reads the addresses that it prints when it is ready.
    fn wait(&mut self, out: ChildStdout, err: ChildStderr) -> anyhow::Result<()> {
        let (send, lines) = mpsc::channel();
        pass_on(out, send.clone());
        pass_on(err, send);
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut seen = String::new();
        loop {
            let mut wanted = [
                ("web:", &mut self.web),
                ("smtp:", &mut self.smtp),
                ("submission:", &mut self.submission),
                ("imap:", &mut self.imap),
            ];
            if wanted.iter().all(|(_, address)| !address.is_empty()) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines
                .recv_timeout(left)
                .map_err(|_| anyhow::anyhow!("the server did not come up:\n{seen}"))?;
            for (name, address) in &mut wanted {
                if let Some(said) = value(&line, name) {
                    said.clone_into(address);
                }
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Politely first: what it is measured for includes no broken files, and the data folder is removed after it.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// The command line on the data folder of a server.
pub(crate) struct Admin<'a> {
    binary: &'a Path,
    data: &'a Path,
    settings: Vec<(&'static str, String)>,
}

impl Admin<'_> {
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> anyhow::Result<()> {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("stdin")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "magpie {}: {said}", arguments.join(" "));
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command.current_dir(self.data).args(arguments).env("MAGPIE_DATA_DIR", self.data);
        command.envs(SETTINGS.iter().copied()).envs(self.settings.iter().cloned());
        command
    }
}

/// The address of an account.
pub(crate) fn address(index: usize) -> String {
    format!("m{index:02}@{DOMAIN}")
}

/// What follows `name` in a line such as `  web: http://127.0.0.1:8080`.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.trim().strip_prefix(name)?.split_whitespace().next()
}

/// Reads to the end, so that the server never waits for a reader.
fn pass_on(from: impl std::io::Read + Send + 'static, to: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // After the start nobody listens any more.
            let _ = to.send(line);
        }
    });
}
