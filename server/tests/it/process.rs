//! The binary itself: what it says when something is wrong, how it starts and stops, and its commands.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

fn magpie(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(folder).args(args).env("MAGPIE_DATA_DIR", folder.join("data"));
    for listener in ["HTTP", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
        command.env(format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0");
    }
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    magpie(folder, args).output().unwrap()
}

/// What a command that succeeds prints.
fn told(folder: &Path, args: &[&str], input: &str) -> String {
    let mut child = magpie(folder, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a command that fails says, in one line.
fn refused(mut command: Command, wanted: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(wanted), "{said}\nis not about: {wanted}");
    assert_eq!(said.lines().filter(|line| line.starts_with("magpie: ")).count(), 1, "{said}");
}

/// A started server and what it printed until it was ready.
struct Running {
    child: Child,
    lines: Vec<String>,
}

impl Running {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let child = magpie(folder, args).stdout(Stdio::piped()).spawn().unwrap();
        let mut running = Self { child, lines: Vec::new() };
        let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
        while running.lines.last().is_none_or(|line| line != "ready") {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {:?}", running.lines));
            running.lines.push(line.unwrap());
        }
        // Whoever prints without a reader dies of it.
        std::thread::spawn(move || lines.for_each(drop));
        running
    }

    /// The address after this name.
    fn address(&self, name: &str) -> String {
        let line = self.lines.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.lines)).to_owned()
    }

    /// Asks it to stop, and waits until it has.
    fn stop(mut self) {
        let killed = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(killed.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    /// Nothing stays behind after a test that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    fs::write(folder.join("bad.toml"), "[http]\nlisen = \"x\"\n").unwrap();
    refused(
        magpie(folder, &["check-config", "--config", "bad.toml"]),
        "bad.toml:2: there is no key `http.lisen`",
    );
    refused(magpie(folder, &["serve", "--config", "none.toml"]), "none.toml");
    let mut unknown = magpie(folder, &["check-config"]);
    unknown.env("MAGPIE_HTP__LISTEN", "x");
    refused(unknown, "MAGPIE_HTP__LISTEN: there is no key `htp.listen`; did you mean `http.listen`?");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut port = magpie(folder, &["serve"]);
    port.env("MAGPIE_HTTP__LISTEN", taken.local_addr().unwrap().to_string());
    refused(port, "http.listen: 127.0.0.1:");

    fs::write(folder.join("file"), "").unwrap();
    let mut nowhere = magpie(folder, &["serve"]);
    nowhere.env("MAGPIE_DATA_DIR", folder.join("file/data"));
    refused(nowhere, "data_dir");
    told(folder, &["migrate"], "");
    refused(magpie(folder, &["account", "passwd", "x@demo.test"]), "there is no such account");
    refused(
        magpie(folder, &["queue", "show", "00000000000070008000000000000000"]),
        "there is no such queue entry",
    );

    let role = run(folder, &["serve", "--roles", "web,smpt"]);
    assert_eq!(role.status.code(), Some(2));
    assert!(String::from_utf8(role.stderr).unwrap().contains("there is no role `smpt`"));
    let config = told(folder, &["check-config"], "");
    assert!(
        config.contains("[http]\n") && config.contains("listen = \"127.0.0.1:0\"  # MAGPIE_HTTP__LISTEN"),
        "{config}"
    );
}

#[test]
fn accounts_are_kept_beside_a_running_server_and_without() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "Demo.Test"], "");
    assert_eq!(told(folder, &["domain", "list"], ""), "demo.test\n");
    told(
        folder,
        &["account", "add", "carol@demo.test", "--name", "Carol", "--password-stdin"],
        "long enough\n",
    );
    let made = told(folder, &["account", "add", "dave@demo.test"], "");
    assert!(made.contains("\npassword: "), "{made}");
    refused(magpie(folder, &["account", "add", "carol@demo.test"]), "taken already");
    refused(
        magpie(folder, &["account", "add", "carol@other.test"]),
        "other.test is not a domain of this service",
    );

    let server = Running::start(folder, &["serve"]);
    refused(magpie(folder, &["serve"]), "another server uses it already");
    told(folder, &["alias", "add", "post@demo.test", "carol@demo.test"], "");
    assert_eq!(told(folder, &["alias", "list", "carol@demo.test"], ""), "carol@demo.test\npost@demo.test\n");
    told(folder, &["account", "disable", "carol@demo.test"], "");
    assert!(told(folder, &["account", "list"], "").contains("(disabled)"));
    told(folder, &["account", "enable", "carol@demo.test"], "");
    let team = ["team@demo.test", "x@far.test", "dave@demo.test"];
    told(folder, &["group", "set", team[0], team[1], team[2]], "");
    assert_eq!(told(folder, &["group", "list"], ""), "team@demo.test: x@far.test dave@demo.test\n");
    refused(magpie(folder, &["alias", "add", "team@demo.test", "carol@demo.test"]), "taken already");
    refused(magpie(folder, &["group", "set", "all@demo.test", "x@far.test"]), "--owner");
    told(folder, &["group", "remove", "team@demo.test"], "");
    told(folder, &["account", "limit", "carol@demo.test", "5MB"], "");
    told(folder, &["domain", "limit", "demo.test", "none"], "");
    assert_eq!(told(folder, &["ban", "list"], ""), "");
    refused(magpie(folder, &["ban", "lift", "192.0.2.1"]), "there is no such ban");
    told(folder, &["ban", "add", "198.51.100.0/24", "--for", "2h", "--reason", "spam"], "");
    assert!(told(folder, &["ban", "list"], "").starts_with("198.51.100.0/24 until "));
    refused(magpie(folder, &["ban", "lift", "198.51.100.7"]), "198.51.100.0/24");
    refused(magpie(folder, &["ban", "add", "0.0.0.0/0"]), "too wide");
    told(folder, &["ban", "lift", "198.51.100.0/24"], "");
    assert_eq!(told(folder, &["ban", "list"], ""), "");
    assert_eq!(told(folder, &["queue", "list"], ""), "");
    assert!(server.address("web").starts_with("http://127.0.0.1:"));
    assert!(server.address("submissions").starts_with("127.0.0.1:"));
    server.stop();
    // The name is shown as it was written, and found however it is.
    told(folder, &["account", "add", "Erin@Demo.TEST"], "");
    assert!(told(folder, &["account", "list"], "").contains("\tErin@demo.test\t"));
    told(folder, &["alias", "add", "Post2@DEMO.test", "erin@demo.test"], "");
    assert_eq!(told(folder, &["alias", "list", "ERIN@demo.test"], ""), "Erin@demo.test\nPost2@demo.test\n");
    told(folder, &["account", "delete", "carol@demo.test"], "");
    assert!(!told(folder, &["account", "list"], "").contains("carol"));
}

/// A service with carol, and a file with two old mails, `old.mbox`, that is not imported yet.
fn with_old_mail() -> TempDir {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "demo.test"], "");
    told(folder, &["account", "add", "carol@demo.test", "--password-stdin"], "long enough\n");
    let mbox = "From a@b Sat Jan  3 01:05:34 2026\nSubject: One\n\nfirst\n\n\
                From a@b Sat Jan  3 01:05:35 2026\nSubject: Two\nStatus: RO\n\nsecond\n";
    fs::write(folder.join("old.mbox"), mbox).unwrap();
    temp
}

#[test]
fn what_is_imported_twice_is_there_once() {
    let temp = with_old_mail();
    let folder = temp.path();
    let import = ["import", "carol@demo.test", "--format", "mbox", "old.mbox", "--folder", "Old/2026"];
    assert_eq!(told(folder, &import, ""), "2 imported, 0 were there already, 0 skipped.\n");
    assert_eq!(told(folder, &import, ""), "0 imported, 2 were there already, 0 skipped.\n");
}

#[test]
fn the_index_is_shown_and_built_anew() {
    let temp = with_old_mail();
    let folder = temp.path();
    told(folder, &["import", "carol@demo.test", "--format", "mbox", "old.mbox"], "");
    let shown = told(folder, &["index", "status"], "");
    assert!(shown.contains(": 1 of 1 accounts behind, 2 messages\n"), "{shown}");
    assert!(shown.ends_with("index: 0 documents, 0.0 MB\n"), "{shown}");
    for _ in 0..2 {
        let built = told(folder, &["index", "rebuild"], "");
        assert!(built.starts_with("The index is built: 2 documents, "), "{built}");
    }
    let server = Running::start(folder, &["serve"]);
    let shown = told(folder, &["index", "status"], "");
    assert!(shown.contains("\nindex: 2 documents, "), "{shown}");
    refused(magpie(folder, &["index", "rebuild"]), "open; stop it first");
    server.stop();

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // `serve` goes on without it, and waits for it to come.
    for command in [["index", "status"], ["index", "rebuild"]] {
        let mut unreachable = magpie(folder, &command);
        unreachable.env("MAGPIE_SEARCH__URL", format!("meilisearch://{nobody}?key=geheim"));
        refused(unreachable, "MeiliSearch");
    }
}

#[test]
fn the_demo_is_filled_once_and_kept() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    let server = Running::start(folder, &["serve", "--demo"]);
    assert!(server.lines.iter().any(|line| line.contains("alice@demo.test") && line.contains("magpie-demo")));
    server.stop();
    let again = Running::start(folder, &["serve", "--demo"]);
    assert!(again.address("smtp").starts_with("127.0.0.1:"));
    again.stop();
}
