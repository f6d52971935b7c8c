//! What the build and the tests need from the machine: found, installed where that is possible, or named.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;

use crate::command;

/// A program and Debian's package that has it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// For the tests: a browser with Korean letters, its driver, and outside judges of SMTP, IMAP and POP3.
const FOR_TESTS: &[Tool] = &[
    tool("node", "nodejs"),
    tool("npm", "npm"),
    tool("chromium", "chromium"),
    tool("smtp-sink", "postfix"),
    tool("swaks", "swaks"),
    tool("msmtp", "msmtp"),
    tool("mbsync", "isync"),
    tool("offlineimap", "offlineimap3"),
    tool("fetchmail", "fetchmail"),
    tool("getmail", "getmail6"),
    tool("neomutt", "neomutt"),
    // Gives a program a terminal.
    tool("script", "bsdutils"),
    tool("python3", "python3"),
    tool("redis-server", "redis-server"),
];
/// Debian keeps the programs of each version of PostgreSQL below this folder, outside of `PATH`.
const POSTGRES: (&str, &str) = ("/usr/lib/postgresql", "postgresql");
/// What is no program: a folder that the package brings along.
const FOLDERS: &[(&str, &str)] = &[
    ("/usr/share/fonts/opentype/noto", "fonts-noto-cjk"),
    // swaks speaks no TLS without it.
    ("/usr/share/doc/libnet-ssleay-perl", "libnet-ssleay-perl"),
];

/// Adds the compiler's WebAssembly target where it is missing.
pub(crate) fn wasm_target(target: &str) -> anyhow::Result<()> {
    let folder =
        command::output(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    if folder.is_some_and(|folder| Path::new(&folder).is_dir()) {
        return Ok(());
    }
    command::run(Command::new("rustup").args(["target", "add", target]))
        .with_context(|| format!("the compiler has no target {target}, and rustup could not add it"))
}

/// Sees to it that the tests find what they need.
pub(crate) fn for_tests() -> anyhow::Result<()> {
    let mut missing: Vec<_> = FOR_TESTS
        .iter()
        .filter(|tool| command::find(tool.program).is_none())
        .map(|tool| tool.package)
        .collect();
    let absent = FOLDERS.iter().filter(|(folder, _)| !Path::new(folder).is_dir());
    missing.extend(absent.map(|(_, package)| *package));
    if !has_postgres() {
        missing.push(POSTGRES.1);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    let root = command::output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    anyhow::ensure!(
        root && command::find("apt-get").is_some(),
        "the tests need programs that are not here; install them with:\n  {by_hand}"
    );
    apt(&missing).with_context(|| format!("could not run: {by_hand}"))
}

/// The packages of the lock file in this folder, once.
pub(crate) fn npm(folder: &Path) -> anyhow::Result<()> {
    let stamp = folder.join("node_modules/.installed");
    let lock = fs::read_to_string(folder.join("package-lock.json"))?;
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new(command::find("npm").context("npm")?);
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    command::run(npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))?;
    Ok(fs::write(stamp, lock)?)
}

fn has_postgres() -> bool {
    let versions = fs::read_dir(POSTGRES.0).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/initdb")).any(|initdb| initdb.exists())
}

fn apt(packages: &[&str]) -> anyhow::Result<()> {
    command::run(Command::new("apt-get").args(["update", "-qq"]))?;
    if packages.contains(&"postfix") {
        // Its test tools are wanted, not a mail server that starts by itself.
        answer("postfix postfix/main_mailer_type select No configuration")?;
    }
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-qq",
        "-y",
        "--no-install-recommends",
    ]);
    command::run(install.args(packages))
}

/// Tells Debian's installer what it would ask.
fn answer(selection: &str) -> anyhow::Result<()> {
    let mut debconf = Command::new("debconf-set-selections").stdin(Stdio::piped()).spawn()?;
    debconf.stdin.take().context("stdin")?.write_all(selection.as_bytes())?;
    anyhow::ensure!(debconf.wait()?.success(), "debconf-set-selections failed");
    Ok(())
}
