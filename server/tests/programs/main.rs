//! Mail programs of others against the real server: Python's imaplib and poplib, and mbsync.

#![cfg(test)]

mod support;

use std::{
    path::Path,
    process::{Output, Stdio},
};

use support::{Plane, Server};
use tokio::process::Command;

support::on_both_planes!(
    python_reads_and_writes_by_imap,
    python_fetches_by_pop3,
    python_proves_its_password_and_compresses,
    mbsync_keeps_two_folders_the_same,
);

/// Runs a program to its end; `None`, and a word to the tester, where it is not installed.
async fn run(program: &str, arguments: &[&str], input: &str) -> Option<Output> {
    use tokio::io::AsyncWriteExt as _;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.kill_on_drop(true).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: {program}: {error} (cargo xtask test installs it)");
            return None;
        }
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    Some(child.wait_with_output().await.unwrap())
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
        include_str!("programs/imap.py")
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
        include_str!("programs/logins.py")
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
        include_str!("programs/pop3.py")
    );
    if let Some(output) = run("python3", &["-"], &script).await {
        succeeded(&output);
    }
    server.stop().await;
}

/// Every message of a Maildir by its content, without the field that mbsync adds.
fn contents(maildir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for folder in ["cur", "new"] {
        for entry in std::fs::read_dir(maildir.join(folder)).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            all.push(
                text.lines().filter(|line| !line.starts_with("X-TUID: ")).collect::<Vec<_>>().join("\n"),
            );
        }
    }
    all.sort();
    all
}

async fn mbsync_keeps_two_folders_the_same(plane: &Plane<'_>) {
    let server = server(plane).await;
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for maildir in [&one, &other] {
        for inner in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(maildir.join("work").join(inner)).unwrap();
        }
    }
    for number in 0..COUNT {
        let flags = if number % 3 == 0 { "S" } else { "" };
        let mail =
            testkit::fixtures::mail("x@y.test", "alice@demo.test", &format!("m{number}"), "Text\n안녕");
        let mail = String::from_utf8(mail).unwrap().replace("\r\n", "\n");
        std::fs::write(one.join(format!("work/cur/{number}.test:2,{flags}")), mail).unwrap();
    }
    let config = folder.path().join("mbsyncrc");
    let store = |name: &str, path: &Path| {
        format!(
            "MaildirStore {name}\nPath {path}/\nInbox {path}/inbox\nSubFolders Verbatim\n\n\
             Channel {name}\nFar :far:\nNear :{name}:\nPatterns work\nCreate Far\nSync All\nExpunge Both\n\
             SyncState {path}/state-\n\n",
            path = path.display()
        )
    };
    let port = server.node.addresses.imap.unwrap().port();
    let text = format!(
        "IMAPAccount far\nHost 127.0.0.1\nPort {port}\nUser alice@demo.test\nPass \"{}\"\nSSLType None\n\
         AuthMechs LOGIN\n\nIMAPStore far\nAccount far\n\n{}{}",
        support::PASSWORD,
        store("one", &one),
        store("other", &other)
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    for channels in [["one", "other"], ["other", "one"]] {
        for channel in channels {
            let Some(output) = run("mbsync", &["-c", &config, channel], "").await else {
                return server.stop().await;
            };
            succeeded(&output);
        }
    }
    let all = contents(&one.join("work"));
    assert_eq!(all.len(), COUNT);
    assert_eq!(all, contents(&other.join("work")));
    server.stop().await;
}

const COUNT: usize = 2_000;
