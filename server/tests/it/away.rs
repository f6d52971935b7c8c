//! A shard and MeiliSearch are away when a node starts: the people of the other shard notice nothing, those of this one are
//! told to come again, operators' commands say so, and everything comes back without hands.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::Services;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use types::{AccountId, Bucket};

const PASSWORD: &str = "away-test-password";
/// What is answered at once takes less than this, on a machine with much else to do.
const AT_ONCE: Duration = Duration::from_millis(1_500);

struct Town {
    folder: tempfile::TempDir,
    services: Services,
    search: String,
}

impl Town {
    fn command(&self, args: &[&str]) -> Command {
        let folder: &Path = self.folder.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
        command.current_dir(folder).args(args).env("MAGPIE_DATA_DIR", folder.join("data"));
        command.envs(self.services.variables("town")).env("MAGPIE_SEARCH__URL", &self.search);
        for listener in ["HTTP", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
            command.env(format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0");
        }
        command.env("MAGPIE_LOG__LEVEL", "error").kill_on_drop(true).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.command(args).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = timeout(Duration::from_secs(60), child.wait_with_output()).await;
        output.expect("it ends").unwrap()
    }

    /// What a command prints that must succeed.
    async fn told(&self, args: &[&str], input: &str) -> String {
        let output = self.run(args, input).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that must fail, in one line but for what it found.
    async fn refused(&self, args: &[&str], wanted: &str) -> String {
        let output = self.run(args, "").await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(wanted), "{args:?}: {said}");
        assert_eq!(said.lines().filter(|line| line.starts_with("magpie: ")).count(), 1, "{said}");
        said
    }
}

/// A running node.
struct Node {
    web: String,
    smtp: String,
    _process: Child,
}

impl Node {
    async fn start(town: &Town) -> Self {
        let mut process = town.command(&["serve"]).stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut web, mut smtp) = (String::new(), String::new());
        loop {
            let line = timeout(Duration::from_secs(30), lines.next_line()).await.expect("it starts").unwrap();
            match line.expect("it runs").split_once(": ") {
                Some(("web", url)) => url.clone_into(&mut web),
                Some(("smtp", address)) => address.clone_into(&mut smtp),
                Some(_) => {}
                None => break,
            }
        }
        tokio_util::task::TaskTracker::new()
            .spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { web, smtp, _process: process }
    }

    async fn warnings(&self) -> String {
        let answer: Value = reqwest::get(format!("{}/readyz", self.web)).await.unwrap().json().await.unwrap();
        assert_eq!(answer["status"], "ready", "{answer}");
        answer["warnings"].to_string()
    }

    async fn login(&self, email: &str) -> String {
        let body = json!({ "email": email, "password": PASSWORD });
        let login = reqwest::Client::new().post(format!("{}/v1/session", self.web)).json(&body);
        let answer: Value = login.send().await.unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The status of the answer, and its body.
    async fn get(&self, token: &str, path: &str) -> (u16, String) {
        let began = Instant::now();
        let request = reqwest::Client::new().get(format!("{}{path}", self.web)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert!(began.elapsed() < AT_ONCE, "{path}: {status} after {:?}", began.elapsed());
        (status, body)
    }

    /// What is said to a mail for this address.
    async fn send(&self, to: &str) -> String {
        let began = Instant::now();
        let mut smtp = BufReader::new(TcpStream::connect(&self.smtp).await.unwrap());
        let mut line = String::new();
        smtp.read_line(&mut line).await.unwrap();
        let rcpt = format!("RCPT TO:<{to}>");
        for command in
            ["HELO x.test", "MAIL FROM:<x@x.test>", &rcpt, "DATA", "Subject: Hello\r\n\r\nHello\r\n."]
        {
            smtp.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
            line.clear();
            smtp.read_line(&mut line).await.unwrap();
            if !line.starts_with(['2', '3']) {
                break;
            }
        }
        assert!(began.elapsed() < AT_ONCE, "{line} after {:?}", began.elapsed());
        line
    }
}

async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ask().await {
        assert!(Instant::now() < deadline, "it never came: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A town with an account on each shard: `person0@` and `person1@`.
async fn town() -> Town {
    let services = Services::start(3).await.unwrap();
    services.create("town").await.unwrap();
    let nothing = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let search = format!("meilisearch://{nothing}");
    let town = Town { folder: tempfile::tempdir().unwrap(), services, search };
    town.told(&["domain", "add", "town.test"], "").await;
    let (mut there, mut next) = ([false; 2], 1);
    while there != [true; 2] {
        let shard = usize::from(Bucket::of(AccountId(next)).0 >= Bucket::COUNT / 2);
        let name = if there[shard] { format!("other{next}") } else { format!("person{shard}") };
        let add = ["account", "add", &format!("{name}@town.test"), "--password-stdin"];
        town.told(&add, &format!("{PASSWORD}\n")).await;
        there[shard] = true;
        next += 1;
    }
    town
}

#[tokio::test(flavor = "multi_thread")]
async fn one_part_that_is_away_is_nobody_elses_trouble() {
    let mut town = town().await;
    let folder = town.folder.path().join("backup").display().to_string();
    let backup = ["backup", folder.as_str()];
    let node = Node::start(&town).await;
    let tokens = [node.login("person0@town.test").await, node.login("person1@town.test").await];
    drop(node);
    town.told(&["account", "admin", "person0@town.test", "on"], "").await;
    town.services.postgres[2].stop().await.unwrap();
    let node = Node::start(&town).await;
    eventually("the warning of MeiliSearch", async || node.warnings().await.contains("MeiliSearch")).await;
    assert!(node.warnings().await.contains("shard 1 does not answer"));
    node.login("person0@town.test").await;

    assert_eq!(node.get(&tokens[0], "/v1/folders").await.0, 200);
    let (status, queue) = node.get(&tokens[0], "/v1/admin/queue").await;
    assert!(status == 200 && queue.contains("\"away\":[1]"), "{status} {queue}");
    let (status, problem) = node.get(&tokens[1], "/v1/folders").await;
    assert_eq!(status, 503, "{problem}");
    let (status, problem) = node.get(&tokens[0], "/v1/search?q=hello").await;
    assert!(status == 503 && problem.contains("unavailable"), "{status} {problem}");
    assert!(node.send("person0@town.test").await.starts_with("250"));
    assert!(node.send("person1@town.test").await.starts_with("451"));

    let listed = town.told(&["shard", "list"], "").await;
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("0\t") && lines[0].contains(" accounts"), "{listed}");
    assert!(lines[1].starts_with("1\t") && lines[1].contains("away: "), "{listed}");
    town.refused(&["migrate"], "shard 1").await;
    for (list, found) in [(&["queue", "list"][..], ""), (&["index", "status"], "shard 0: ")] {
        let output = town.run(list, "").await;
        let (listed, said) = (output.stdout, String::from_utf8(output.stderr).unwrap());
        assert!(!output.status.success() && said.contains("shard 1 (postgres://"), "{list:?}: {said}");
        assert!(said.contains("is away: "), "{list:?}: {said}");
        assert!(String::from_utf8(listed).unwrap().starts_with(found), "{list:?}: the others are listed");
    }
    let said = town.refused(&["index", "status"], "no MeiliSearch answers at").await;
    assert!(!said.contains("WARN") && said.lines().count() == 2, "{said}");
    town.refused(&["queue", "retry", "01890000000070008000000000000000"], "is away").await;
    let said = town.refused(&backup, "fault: shard 1 (postgres://").await;
    assert!(said.contains("is away"), "{said}");
    let said = town.refused(&["backup", "--verify", &folder], "shard 1 was away").await;
    assert!(said.contains("of an earlier run, or have no mail"), "{said}");

    town.services.postgres[2].resume().await.unwrap();
    eventually("the shard", async || node.get(&tokens[1], "/v1/folders").await.0 == 200).await;
    assert!(node.get(&tokens[0], "/v1/admin/queue").await.1.contains("\"away\":[]"));
    assert!(!node.warnings().await.contains("shard"));
    assert!(node.send("person1@town.test").await.starts_with("250"));
    let caught_up = town.told(&backup, "").await;
    assert!(!caught_up.contains(" 0 of"), "{caught_up}");
    let verified = town.told(&["backup", "--verify", &folder], "").await;
    assert!(verified.contains("with 2 messages"), "{verified}");

    // It is away again, now while the node runs.
    town.services.postgres[2].stop().await.unwrap();
    let refused = async || node.send("person1@town.test").await.starts_with("451");
    eventually("the node's notice", async || {
        // The first ones wait for a moment.
        let request = reqwest::Client::new().get(format!("{}/v1/folders", node.web)).bearer_auth(&tokens[1]);
        request.send().await.unwrap().status() == 503
    })
    .await;
    assert!(refused().await);
    assert_eq!(node.get(&tokens[1], "/v1/folders").await.0, 503);
    assert_eq!(node.get(&tokens[0], "/v1/folders").await.0, 200);
    town.services.postgres[2].resume().await.unwrap();
    eventually("the shard", async || node.get(&tokens[1], "/v1/folders").await.0 == 200).await;
}
