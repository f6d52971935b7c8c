//! Mail programs of others against the real server: those that keep Maildirs the same (mbsync, OfflineIMAP), those that
//! fetch (fetchmail, getmail), those that people sit in front of (NeoMutt), and what others build theirs of (Python's
//! imaplib and poplib, imapflow).

mod app_passwords;
mod certificates;
mod fetching;
mod maildir;
mod reading;

use std::process::{Output, Stdio};

use crate::support::{self, Plane, Server};
use app_passwords::app_passwords_let_one_program_in_each;
use certificates::certificates_let_people_in;
use fetching::{fetchmail_fetches, getmail_fetches};
use maildir::{mbsync_keeps_two_folders_the_same, offlineimap_keeps_two_folders_the_same};
use reading::{imapflow_reads_and_writes, neomutt_reads_files_and_sends};
use tokio::process::Command;

support::on_both_planes!(
    python_reads_and_writes_by_imap,
    python_fetches_by_pop3,
    python_proves_its_password_and_compresses,
    mbsync_keeps_two_folders_the_same,
    offlineimap_keeps_two_folders_the_same,
    fetchmail_fetches,
    getmail_fetches,
    neomutt_reads_files_and_sends,
    imapflow_reads_and_writes,
    certificates_let_people_in,
    app_passwords_let_one_program_in_each,
    programs_that_are_too_busy_wait,
);

/// Runs a program to its end; `None`, and a word to the tester, where it is not installed. The CI has all of them.
async fn run(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    use tokio::io::AsyncWriteExt as _;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Programs that draw a screen want to know on what.
    command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
    let mut child = match command.kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => {
            missing(program, &error);
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    Some(child.wait_with_output().await.unwrap())
}

fn missing(program: &str, why: &dyn std::fmt::Display) {
    assert!(std::env::var_os("CI").is_none(), "{program}: {why}");
    eprintln!("SKIPPED: {program}: {why} (cargo xtask test installs it)");
}

fn succeeded(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

async fn server(plane: &Plane<'_>) -> Server {
    let keys = [("MAGPIE_AUTH__ALLOW_CLEARTEXT", "true"), ("MAGPIE_LIMITS__LOGINS_PER_MINUTE", "1000")];
    Server::start_with(plane, &keys).await
}

async fn python_reads_and_writes_by_imap(plane: &Plane<'_>) {
    let server = server(plane).await;
    let script = format!(
        "PORT, TLS, PASSWORD = {}, {}, '{}'\n{}",
        server.node.addresses.imap.unwrap().port(),
        server.node.addresses.imaps.unwrap().port(),
        support::PASSWORD,
        include_str!("imap.py")
    );
    if let Some(output) = run("python3", &["-"], &script).await {
        succeeded(&output);
    }
    server.stop().await;
}

async fn python_proves_its_password_and_compresses(plane: &Plane<'_>) {
    let server = server(plane).await;
    let script = format!(
        "TLS, TLS_POP3, PASSWORD = {}, {}, '{}'\n{}",
        server.node.addresses.imaps.unwrap().port(),
        server.node.addresses.pop3s.unwrap().port(),
        support::PASSWORD,
        include_str!("logins.py")
    );
    if let Some(output) = run("python3", &["-"], &script).await {
        succeeded(&output);
    }
    server.stop().await;
}

async fn programs_that_are_too_busy_wait(plane: &Plane<'_>) {
    let keys = [("MAGPIE_LIMITS__COMMANDS_PER_MINUTE_PER_ACCOUNT", "300")];
    let server = Server::start_with(plane, &keys).await;
    let script = format!(
        "IMAPS, POP3S, PASSWORD = {}, {}, '{}'\n{}",
        server.node.addresses.imaps.unwrap().port(),
        server.node.addresses.pop3s.unwrap().port(),
        support::PASSWORD,
        include_str!("busy.py")
    );
    if let Some(output) = run("python3", &["-"], &script).await {
        succeeded(&output);
    }
    server.stop().await;
}

async fn python_fetches_by_pop3(plane: &Plane<'_>) {
    let server = server(plane).await;
    for number in 0..3 {
        let raw =
            format!("From: x@elsewhere.test\nTo: alice@demo.test\nSubject: n{number}\n\n.\n..dots\n.\n");
        server.deliver("alice", &raw).await;
    }
    let script = format!(
        "PORT, TLS, PASSWORD = {}, {}, '{}'\n{}",
        server.node.addresses.pop3.unwrap().port(),
        server.node.addresses.pop3s.unwrap().port(),
        support::PASSWORD,
        include_str!("pop3.py")
    );
    if let Some(output) = run("python3", &["-"], &script).await {
        succeeded(&output);
    }
    server.stop().await;
}
