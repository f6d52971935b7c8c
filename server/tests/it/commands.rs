//! Commands as operators run them: into a pipe that nobody reads any more, and with secrets in a configuration that is
//! wrong.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

fn magpie(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
    command.current_dir(folder).args(args).env("MAGPIE_DATA_DIR", folder.join("data")).stdin(Stdio::null());
    command
}

fn told(folder: &Path, args: &[&str]) -> String {
    let output = magpie(folder, args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn failed(folder: &Path, args: &[&str]) -> String {
    let output = magpie(folder, args).output().unwrap();
    assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// A service with an account and some mail, and a backup of it.
fn service() -> TempDir {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "demo.test"]);
    told(folder, &["account", "add", "carol@demo.test"]);
    fs::write(folder.join("new.mbox"), "From a@b Sat Jan  3 01:05:34 2026\nSubject: one\n\nHello\n\n")
        .unwrap();
    told(folder, &["import", "carol@demo.test", "--format", "mbox", "new.mbox"]);
    told(folder, &["backup", "backups"]);
    temp
}

/// Every command that prints something and ends by itself.
const COMMANDS: [&[&str]; 26] = [
    &["--help"],
    &["--version"],
    &["check-config"],
    &["migrate"],
    &["migrate", "--plan"],
    &["domain", "add", "second.test"],
    &["domain", "list"],
    &["domain", "check", "demo.test"],
    &["account", "add", "dave@demo.test"],
    &["account", "list"],
    &["account", "passwd", "carol@demo.test"],
    &["account", "disable", "carol@demo.test"],
    &["account", "enable", "carol@demo.test"],
    &["alias", "add", "post@demo.test", "carol@demo.test"],
    &["alias", "list", "carol@demo.test"],
    &["import", "carol@demo.test", "--format", "mbox", "new.mbox"],
    &["index", "status"],
    &["index", "rebuild"],
    &["backup", "backups"],
    &["backup", "backups", "--verify"],
    &["backup", "backups", "--prune"],
    &["restore", "backups", "--account", "carol@demo.test", "--into", "old@demo.test"],
    &["shard", "list"],
    &["shard", "add", "sqlite:added.db"],
    &["capacity", "--users", "10000"],
    &["account", "delete", "carol@demo.test"],
];

/// Standard output whose other end is closed before the program begins.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_closed_pipe_ends_commands_quietly() {
    let temp = service();
    let folder = temp.path();
    for args in COMMANDS {
        let mut command = magpie(folder, args);
        // Nothing answers there: the name server is not what is tried.
        command.env("MAGPIE_DNS__RESOLVER", "127.0.0.1:9").env("MAGPIE_SMTP__HOSTNAME", "mx.demo.test");
        let Output { status, stderr, .. } = command.stdout(unread()).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(said, "", "{args:?}");
        // As a shell says it of `yes | true`; clap ends well.
        let code = status.code();
        assert!(code == Some(141) || (args[0].starts_with("--") && code == Some(0)), "{args:?}: {status}");
    }
    // What was begun was done.
    let accounts = told(folder, &["account", "list"]);
    assert!(accounts.contains("dave@demo.test") && accounts.contains("old@demo.test"), "{accounts}");
    assert!(!accounts.contains("carol@demo.test"), "{accounts}");
    assert!(told(folder, &["shard", "list"]).contains("added.db"));
}

/// Both are closed with `2>&1 | head -1`.
#[test]
fn nobody_may_hear_of_errors() {
    let temp = service();
    for args in [&["account", "enable", "eve@demo.test"][..], &["shard", "list"], &["serve", "--roles", "x"]]
    {
        let status = magpie(temp.path(), args).stdout(unread()).stderr(unread()).status().unwrap();
        assert!(matches!(status.code(), Some(1 | 2 | 141)), "{args:?}: {status}");
    }
}

/// A server runs on, though nobody reads its first and its last lines.
#[test]
fn a_server_minds_no_closed_pipe() {
    let temp = TempDir::new().unwrap();
    let mut command = magpie(temp.path(), &["serve"]);
    for listener in ["SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
        command.env(format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0");
    }
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.env("MAGPIE_HTTP__LISTEN", address.to_string());
    let mut server = command.stdout(unread()).stderr(unread()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(server.try_wait().unwrap().is_none() && Instant::now() < deadline, "it ended");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

const CANARY: &str = "kanarienvogel";

/// Whatever a command is for, it reads the configuration first, and says what is wrong with it without its secrets.
#[test]
fn no_command_shows_a_secret_of_a_wrong_configuration() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    let wrong: [(&str, &str); 8] = [
        ("[shards]\nurls = \"postgres://m:CANARY@h/d", "magpie.toml:2: it is no TOML"),
        ("[shards]\nurls = [\"postgres://m:CANARY@h/d\"\n", "magpie.toml:"),
        ("[shards]\nurls = [5, \"postgres://m:CANARY@h/d\"]\n", "magpie.toml:2: shards.urls: item 1: "),
        (
            "[shards]\nurls = { \"postgres://m:CANARY@h/d\" = 1 }\n",
            "magpie.toml:2: `shards.urls` is a key, not a section",
        ),
        ("[cache]\nurl = \"redis:CANARY@h\"\n", "magpie.toml:2: cache.url: "),
        (
            "[cache]\nurl = [\"redis://:CANARY@h\"]\n",
            "magpie.toml:2: cache.url: it is a list, but should be a text",
        ),
        (
            "[search]\nurl = \"meilisearch://h?key=CANARY\"\nurl = \"meilisearch://h?key=CANARY\"\n",
            "magpie.toml:3: it is no TOML: duplicate key",
        ),
        (
            "[blobs]\nurl = \"s3://bucket?secret=CANARY\"\n",
            "magpie.toml:2: blobs.url: keys do not belong into it",
        ),
    ];
    let commands = COMMANDS.iter().filter(|args| !args[0].starts_with("--") && args[0] != "capacity");
    let more: [&[&str]; 5] = [
        &["serve"],
        &["queue", "list"],
        &["queue", "show", "0199e0a0-0000-7000-8000-000000000000"],
        &["alias", "remove", "a@demo.test"],
        &["shard", "move", "--buckets", "1", "--to", "1"],
    ];
    for args in commands.chain(&more) {
        for (text, place) in wrong {
            fs::write(folder.join("magpie.toml"), text.replace("CANARY", CANARY)).unwrap();
            refused(magpie(folder, args), args, place);
        }
        fs::write(folder.join("magpie.toml"), "").unwrap();
        let mut command = magpie(folder, args);
        command.env("MAGPIE_SHARDS__URLS", format!("[\"postgres://m:{CANARY}@h/d\""));
        refused(command, args, "MAGPIE_SHARDS__URLS: shards.urls: its brackets or quotes do not end");
        let mut command = magpie(folder, args);
        let no_text = std::os::unix::ffi::OsStringExt::from_vec([CANARY.as_bytes(), b"\xff"].concat());
        command.env::<_, std::ffi::OsString>("MAGPIE_CACHE__URL", no_text);
        refused(command, args, "MAGPIE_CACHE__URL: its value is no text");
    }
    assert!(!folder.join("data").exists(), "nothing was begun");
}

fn refused(mut command: Command, args: &[&str], place: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    assert!(said.contains(place), "{args:?}: {said}\nis not about {place}");
    assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains(CANARY) && !shown.contains(CANARY), "{args:?}: {said}{shown}");
}

/// A command in the wrong place says so, and leaves no second, empty service behind.
#[test]
fn what_needs_data_makes_none() {
    let temp = service();
    let folder = temp.path();
    let elsewhere = folder.join("elsewhere");
    let begins: [&[&str]; 5] =
        [&["migrate"], &["migrate", "--plan"], &["domain", "add"], &["check-config"], &["restore"]];
    let needs_no_data = |args: &&[&str]| {
        args[0] == "capacity" || args.iter().any(|arg| arg.starts_with("--")) && args[0] != "import"
    };
    let more: [&[&str]; 8] = [
        &["account", "delete", "carol@demo.test"],
        &["queue", "list"],
        &["group", "list"],
        &["ban", "list"],
        &["ban", "add", "192.0.2.1"],
        &["shard", "remove", "1"],
        &["shard", "set-url", "1", "sqlite:added.db"],
        &["shard", "move", "--buckets", "1", "--to", "1"],
    ];
    let needs = COMMANDS
        .iter()
        .copied()
        .filter(|args| !needs_no_data(args) && !begins.iter().any(|begin| args.starts_with(begin)));
    for args in needs.chain(more) {
        let output = magpie(folder, args).env("MAGPIE_DATA_DIR", &elsewhere).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        let place = format!("there is no Magpie data here: {}/", elsewhere.display());
        assert!(said.contains(&place) && said.contains("MAGPIE_DATA_DIR"), "{args:?}: {said}");
        assert!(!elsewhere.exists(), "{args:?}");
    }
    let plan = magpie(folder, &["migrate", "--plan"]).env("MAGPIE_DATA_DIR", &elsewhere).output().unwrap();
    assert!(plan.status.success() && !elsewhere.exists());
    let add = magpie(folder, &["domain", "add", "new.test"]).env("MAGPIE_DATA_DIR", &elsewhere).output();
    assert!(add.unwrap().status.success() && elsewhere.exists());
}

/// A folder that is not there is misspelt, or a disk that is not mounted: it is not made.
#[test]
fn a_shard_is_added_where_there_is_a_folder() {
    let temp = service();
    let folder = temp.path();
    let nowhere = folder.join("nowhere/deep");
    for url in [format!("sqlite:{}/x.db", nowhere.display()), "sqlite:deep/x.db".to_owned()] {
        let said = failed(folder, &["shard", "add", &url]);
        assert!(said.contains("there is no folder ") && said.contains("deep"), "{said}");
    }
    assert!(!folder.join("nowhere").exists());
    assert!(told(folder, &["shard", "add", "sqlite:x.db"]).contains("is shard "));
    assert!(!told(folder, &["shard", "list"]).contains("deep"));
}

/// A domain has two names, and everybody may use either.
#[test]
fn a_domain_is_known_by_both_of_its_names() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    let failed = |args: &[&str]| failed(folder, args);
    let said = told(folder, &["domain", "add", "xn--3e0b707e.test"]);
    assert!(said.starts_with("Mail for 한국.test is received"), "{said}");
    for form in ["한국.test", "XN--3e0b707e.Test", "한국。ｔｅｓｔ"] {
        assert!(failed(&["domain", "add", form]).contains("is there already"), "{form}");
    }
    assert_eq!(told(folder, &["domain", "list"]), "한국.test\n");
    told(folder, &["account", "add", "김@한국.test"]);
    assert!(failed(&["account", "add", "김@xn--3e0b707e.test"]).contains("is taken already"));
    told(folder, &["alias", "add", "kim@xn--3e0b707e.test", "김@xn--3e0b707e.test"]);
    assert!(told(folder, &["alias", "list", "kim@한국.test"]).contains("kim@"));
    told(folder, &["domain", "limit", "한국.test", "1M"]);
    let mut rotate = magpie(folder, &["domain", "rotate-keys", "한국.test"]);
    let rotated = rotate.env("MAGPIE_DNS__RESOLVER", "127.0.0.1:9").output().unwrap();
    assert!(
        String::from_utf8_lossy(&rotated.stdout).contains("._domainkey.xn--3e0b707e.test"),
        "{rotated:?}"
    );
}

#[test]
fn domains_that_no_mail_can_come_to_are_refused() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    for (name, why) in [
        ("localhost", "a single name"),
        ("intranet.", "a single name"),
        ("mail.localhost", "under localhost"),
        ("mail.invalid", "never exist"),
        ("mail.123", "ends in a number"),
        ("[127.0.0.1]", "not a domain name"),
        ("127.0.0.1", "not a domain name"),
    ] {
        let said = failed(folder, &["domain", "add", name]);
        assert!(said.contains(why), "{name}: {said}");
    }
    let output = magpie(folder, &["domain", "add", "house.internal"]).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nobody on the Internet"), "{output:?}");
    told(folder, &["domain", "add", "demo.test"]);
    assert_eq!(told(folder, &["domain", "list"]), "demo.test\nhouse.internal\n");
}

/// The zone is what should be there: DNS is for the other ways to ask.
#[test]
fn the_zone_is_printed_whatever_dns_says() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "demo.test"]);
    let check = |args: &[&str]| {
        let mut command = magpie(folder, &[&["domain", "check", "demo.test"], args].concat());
        command.env("MAGPIE_DNS__RESOLVER", "127.0.0.1:9").env("MAGPIE_SMTP__HOSTNAME", "mx.demo.test");
        command.output().unwrap()
    };
    let Output { status, stdout, .. } = check(&["--zone"]);
    let zone = String::from_utf8(stdout).unwrap();
    assert!(status.success() && zone.contains("MX 10 mx.demo.test."), "{status}: {zone}");
    assert!(!check(&[]).status.success());
    assert!(!check(&["--json"]).status.success());
}

/// The records have reports sent to the postmaster, whom somebody has to be.
#[test]
fn the_check_says_when_nobody_is_the_postmaster() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "demo.test"]);
    told(folder, &["account", "add", "carol@demo.test"]);
    let check = || {
        let mut command = magpie(folder, &["domain", "check", "demo.test", "--zone"]);
        let output = command.env("MAGPIE_SMTP__HOSTNAME", "mx.demo.test").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = check();
    let advice = ["magpie alias add postmaster@demo.test ADDRESS", "magpie account admin ADDRESS on"];
    assert!(advice.iter().all(|command| said.contains(command)), "{said}");
    told(folder, &["account", "admin", "carol@demo.test", "on"]);
    assert_eq!(check(), "");
}

#[test]
fn nobody_keeps_themselves_out_by_mistake() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["migrate"]);
    for network in ["127.0.0.1", "127.0.0.53", "127.0.0.0/8", "::1", "198.51.100.7", "203.0.113.9"] {
        let mut command = magpie(folder, &["ban", "add", network]);
        command.env("MAGPIE_SMTP__TRUSTED", "198.51.100.0/24").env("SSH_CLIENT", "203.0.113.9 51000 22");
        let Output { status, stderr, .. } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && said.contains("--force"), "{network}: {said}");
    }
    assert_eq!(told(folder, &["ban", "list"]), "");
    told(folder, &["ban", "add", "127.0.0.1", "--force"]);
    told(folder, &["ban", "add", "198.51.100.7"]);
    let listed = told(folder, &["ban", "list"]);
    assert!(listed.contains("127.0.0.1") && listed.contains("198.51.100.7"), "{listed}");
}

#[test]
fn keys_that_wait_are_not_made_again() {
    let temp = TempDir::new().unwrap();
    let folder = temp.path();
    told(folder, &["domain", "add", "demo.test"]);
    let rotate = |more: &[&str]| {
        let mut command = magpie(folder, &[&["domain", "rotate-keys", "demo.test"], more].concat());
        let output = command.env("MAGPIE_DNS__RESOLVER", "127.0.0.1:9").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let said = rotate(&[]);
    assert!(said.contains("keys that wait for their records already; no others are made"), "{said}");
    assert_eq!(said.matches("waits for its record").count(), 2, "{said}");
    let said = rotate(&["--now"]);
    assert!(said.contains("They sign at once") && said.matches(" signs").count() == 2, "{said}");
    let said = rotate(&[]);
    assert!(said.starts_with("New keys are made.") && said.contains("go on signing until"), "{said}");
}

#[test]
fn commands_may_find_a_new_folder_at_once() {
    for _ in 0..3 {
        let temp = TempDir::new().unwrap();
        let spawn = |_| {
            let mut command = magpie(temp.path(), &["migrate"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let running: Vec<_> = (0..4).map(spawn).collect();
        for process in running {
            let Output { status, stderr, .. } = process.wait_with_output().unwrap();
            assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        }
    }
}
