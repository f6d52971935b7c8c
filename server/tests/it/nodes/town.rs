//! The service under test: its engines, its nodes as processes, its people.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, RwLock},
};

use tempfile::TempDir;
use testkit::Services;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};
use types::{AccountId, Bucket};

use super::client::Rest;

pub(crate) const PASSWORD: &str = "nodes-test-password";
const PEOPLE_ON_A_SHARD: usize = 3;

/// A node by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// SMTP.
    Gate,
    /// REST and WebSocket.
    Front,
    /// Deliveries and indexing.
    Worker,
}

pub(crate) const NODES: [Which; 3] = [Which::Gate, Which::Front, Which::Worker];

/// Somebody with an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    pub(crate) email: String,
    /// The shard that the account is on as long as no bucket is moved.
    pub(crate) shard: usize,
    pub(crate) bucket: u16,
}

/// Where nodes listen at the moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    pub(crate) smtp: String,
    pub(crate) web: String,
}

pub(crate) struct Town {
    pub(crate) services: Services,
    pub(crate) addresses: Arc<RwLock<Addresses>>,
    pub(crate) people: Vec<Person>,
    nodes: Vec<(Which, Child)>,
    folder: TempDir,
}

impl Which {
    fn roles(self) -> &'static str {
        match self {
            Self::Gate => "smtp",
            Self::Front => "web,realtime",
            Self::Worker => "worker",
        }
    }
}

impl Town {
    /// Everything running, with people on both shards.
    pub(crate) async fn build() -> Self {
        let services = Services::start(3).await.unwrap();
        services.create("town").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let addresses = Arc::default();
        let mut town = Self { services, addresses, people: Vec::new(), nodes: Vec::new(), folder };
        town.tell(&["domain", "add", "town.test"], "").await;
        for node in NODES {
            town.start(node).await;
        }
        let mut number = 0;
        while (0..2).any(|shard| town.people_of(shard).count() < PEOPLE_ON_A_SHARD) {
            number += 1;
            let email = format!("person{number}@town.test");
            town.tell(&["account", "add", &email, "--password-stdin"], &format!("{PASSWORD}\n")).await;
            let rest = Rest::login(&town.addresses, &email).await.expect("everything runs");
            let bucket = Bucket::of(rest.account.parse::<AccountId>().unwrap()).0;
            let shard = usize::from(bucket >= Bucket::COUNT / 2);
            if town.people_of(shard).count() < PEOPLE_ON_A_SHARD {
                town.people.push(Person { email, shard, bucket });
            }
        }
        town
    }

    pub(crate) fn people_of(&self, shard: usize) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(move |person| person.shard == shard)
    }

    /// Starts the node and waits until it is ready.
    pub(crate) async fn start(&mut self, which: Which) {
        let mut command = self.command(&["serve", "--roles", which.roles()]);
        command.env("MAGPIE_NODE__NAME", format!("{which:?}").to_lowercase());
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{which:?} does not start"));
            let mut addresses = self.addresses.write().unwrap();
            match line.split_once(": ") {
                Some(("web", url)) => url.clone_into(&mut addresses.web),
                Some(("smtp", address)) => address.clone_into(&mut addresses.smtp),
                Some(_) | None if line == "ready" => break,
                Some(_) | None => {}
            }
        }
        // Whoever prints without a reader dies of it.
        tokio_util::task::TaskTracker::new()
            .spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.nodes.push((which, child));
    }

    /// Kill -9.
    pub(crate) async fn kill(&mut self, which: Which) {
        let place = self.nodes.iter().position(|(node, _)| *node == which).unwrap();
        let (_, mut child) = self.nodes.remove(place);
        child.kill().await.unwrap();
    }

    /// Runs a command of the operator that must succeed.
    pub(crate) async fn tell(&self, args: &[&str], input: &str) -> String {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let folder: &Path = self.folder.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_magpie"));
        command.current_dir(folder).args(args).env("MAGPIE_DATA_DIR", folder.join("data"));
        command.envs(self.services.variables("town"));
        for listener in ["HTTP", "SMTP", "SUBMISSION", "SUBMISSIONS", "IMAP", "IMAPS", "POP3", "POP3S"] {
            command.env(format!("MAGPIE_{listener}__LISTEN"), "127.0.0.1:0");
        }
        for limit in ["SENDS_PER_HOUR", "REQUESTS_PER_MINUTE", "LOGINS_PER_MINUTE"] {
            command.env(format!("MAGPIE_LIMITS__{limit}"), "1000000");
        }
        // A killed worker's mail is not to be waited for by the test.
        command.env("MAGPIE_QUEUE__LEASE", "5s").env("MAGPIE_QUEUE__RETRY", "[\"1s\"]");
        command.env("MAGPIE_LOG__LEVEL", "error");
        command
    }
}
