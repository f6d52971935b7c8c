//! `magpie backup` and `magpie restore` as an operator runs them: beside a server, cut off, refused, and back again.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

fn magpie(folder: &Path, data: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(folder).args(args).env("MAGPIE_DATA_DIR", folder.join(data)).stdin(Stdio::null());
    command
}

fn output(folder: &Path, data: &str, args: &[&str]) -> Output {
    magpie(folder, data, args).output().unwrap()
}

/// What a command that succeeds prints.
fn told(folder: &Path, data: &str, args: &[&str]) -> String {
    let output = output(folder, data, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A command that fails says why in one line.
fn refused(folder: &Path, data: &str, args: &[&str], wanted: &str) -> String {
    let output = output(folder, data, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    assert!(said.contains(wanted), "{args:?}: {said}\nis not about: {wanted}");
    assert_eq!(said.lines().filter(|line| line.starts_with("magpie: ")).count(), 1, "{said}");
    said
}

/// A restore that is refused leaves no account behind.
#[test]
fn what_is_not_restored_makes_no_account() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    service(folder, 3);
    told(folder, "data", &["backup", "backups"]);
    let files =
        |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let chain = files(&folder.join("backups"))
        .into_iter()
        .find(|path| path.join("..").is_dir() && path.to_string_lossy().contains("chain-"));
    let accounts =
        files(&chain.unwrap()).into_iter().flat_map(|run| if run.is_dir() { files(&run) } else { vec![run] });
    let accounts =
        accounts.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("accounts"));
    fs::write(accounts.unwrap(), "damaged").unwrap();
    let into = ["restore", "backups", "--account", "carol@demo.test", "--into", "old@demo.test"];
    refused(folder, "data", &into, "accounts");
    let all = told(folder, "data", &["account", "list"]);
    assert!(all.contains("carol@demo.test") && !all.contains("old@demo.test"), "{all}");
}

/// A service with carol, dave and some mail of carol's.
fn service(folder: &Path, mails: u32) {
    told(folder, "data", &["domain", "add", "demo.test"]);
    for name in ["carol", "dave"] {
        told(folder, "data", &["account", "add", &format!("{name}@demo.test")]);
    }
    told(folder, "data", &["alias", "add", "post@demo.test", "carol@demo.test"]);
    told(folder, "data", &["group", "set", "team@demo.test", "dave@demo.test", "eve@elsewhere.test"]);
    import(folder, "first", mails);
}

fn import(folder: &Path, word: &str, mails: u32) {
    let mut mbox = String::new();
    for number in 0..mails {
        write!(mbox, "From a@b Sat Jan  3 01:05:34 2026\nSubject: {word} {number}\n\nHello {number}\n\n")
            .unwrap();
    }
    fs::write(folder.join("new.mbox"), mbox).unwrap();
    told(folder, "data", &["import", "carol@demo.test", "--format", "mbox", "new.mbox"]);
}

#[test]
fn what_was_backed_up_comes_back() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    service(folder, 20);
    let first = told(folder, "data", &["backup", "backups"]);
    assert!(first.contains("begins a chain: 2 of 2 accounts have changed, with 20 messages"), "{first}");
    let run = first.strip_prefix("Run ").unwrap().split(',').next().unwrap().to_owned();
    import(folder, "second", 5);
    let second = told(folder, "data", &["backup", "backups"]);
    assert!(second.contains(": 1 of 2 accounts have changed, with 5 messages"), "{second}");
    assert_eq!(told(folder, "data", &["backup", "backups", "--quiet"]), "");
    let well = told(folder, "data", &["backup", "backups", "--verify"]);
    assert!(
        well.contains("All is well: 3 runs in 1 chains") && well.contains("2 accounts with 25"),
        "{well}"
    );

    refused(folder, "data", &["restore", "backups"], "restoring everything wants an empty service");
    let back = told(folder, "new", &["restore", "backups"]);
    assert!(back.contains("Restored 2 accounts with 25 messages"), "{back}");
    let addresses = told(folder, "new", &["alias", "list", "carol@demo.test"]);
    assert_eq!(addresses, "carol@demo.test\npost@demo.test\n");
    let groups = told(folder, "new", &["group", "list"]);
    assert_eq!(groups, "team@demo.test: dave@demo.test eve@elsewhere.test\n");
    let again = told(folder, "new", &["restore", "backups"]);
    assert!(again.contains("Restored 0 accounts (2 were back already)"), "{again}");
    let old = told(folder, "old", &["restore", "backups", "--at", &run]);
    assert!(old.contains("with 20 messages"), "{old}");
    refused(folder, "x", &["restore", "backups", "--at", "1999-01-01T00:00:00Z"], "no run fits");
    refused(folder, "x", &["restore", "backups", "--at", "yesterday"], "neither a run");

    let carol = ["restore", "backups", "--account", "carol@demo.test"];
    refused(folder, "data", &carol, "carol@demo.test has 25 messages; --into");
    let into = [&carol[..], &["--into", "carol-old@demo.test"]].concat();
    let made = told(folder, "data", &into);
    assert!(made.contains("\npassword: ") && made.contains("1 accounts with 25 messages"), "{made}");
    refused(folder, "data", &into, "was restored from this run already");
    told(folder, "data", &["account", "delete", "carol@demo.test"]);
    let back = told(folder, "data", &carol);
    assert!(back.contains("1 accounts with 25 messages"), "{back}");
    refused(folder, "data", &["restore", "backups", "--account", "eve@demo.test"], "has no account eve");
    let next = told(folder, "data", &["backup", "backups"]);
    assert!(
        next.contains(": 2 of 3 accounts have changed, with 50 messages"),
        "what was restored begins anew: {next}"
    );
    told(folder, "data", &["backup", "backups", "--verify"]);
    assert!(told(folder, "data", &["backup", "backups", "--prune"]).contains("Removed 0 files"));
}

#[test]
fn a_run_that_is_killed_changes_nothing() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    service(folder, 300);
    told(folder, "data", &["backup", "backups"]);
    import(folder, "second", 300);
    for _ in 0..3 {
        let mut child =
            magpie(folder, "data", &["backup", "backups", "--full"]).stdout(Stdio::null()).spawn().unwrap();
        // As soon as it has begun to write: the second chain's folder is there.
        let begun = || {
            fs::read_dir(folder.join("backups"))
                .unwrap()
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("chain-"))
        };
        while begun().count() < 2 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        told(folder, "data", &["backup", "backups", "--verify"]);
    }
    let ran = told(folder, "data", &["backup", "backups"]);
    assert!(ran.starts_with("Run "), "{ran}");
    told(folder, "data", &["backup", "backups", "--verify"]);
    let back = told(folder, "new", &["restore", "backups"]);
    assert!(back.contains("with 600 messages"), "{back}");
}

#[test]
fn what_cannot_be_is_said() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    service(folder, 3);
    refused(folder, "data", &["backup", "data"], "data: it has other things in it; name an empty folder");
    refused(folder, "data", &["backup", "new.mbox/backups"], "new.mbox/backups: the folder cannot be made");
    refused(folder, "data", &["backup", "nowhere", "--verify"], "nowhere: this is no folder of backups");
    refused(folder, "data", &["restore", "data"], "data: this is no folder of backups");
    told(folder, "data", &["backup", "backups"]);
    let lock = fs::File::options().write(true).open(folder.join("backups/lock")).unwrap();
    lock.lock().unwrap();
    refused(folder, "data", &["backup", "backups"], "backups: another backup works in this folder");
    drop(lock);
    let mut inside = fs::read_dir(folder.join("backups")).unwrap().map(|entry| entry.unwrap().path());
    let chain = inside.find(|path| path.to_string_lossy().contains("chain-")).unwrap();
    let manifest =
        fs::read_dir(&chain).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file());
    let manifest = manifest.unwrap();
    let mut text = fs::read(&manifest).unwrap();
    text[9] ^= 1;
    fs::write(&manifest, text).unwrap();
    refused(
        folder,
        "data",
        &["backup", "backups"],
        "its checksum does not fit; begin a new chain with --full",
    );
    refused(folder, "data", &["backup", "backups", "--verify"], "fault: ");
    assert!(told(folder, "data", &["backup", "backups", "--full"]).contains("begins a chain"));
}
