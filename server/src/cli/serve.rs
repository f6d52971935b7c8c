//! `magpie serve`.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::out::{self, say};
use crate::{
    config::Config,
    demo,
    node::{Node, Options},
    roles::{Role, Roles},
    telemetry,
};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Run only these parts: web, realtime, smtp, imap, pop3, worker
    #[arg(long, value_name = "ROLES")]
    roles: Option<Roles>,

    /// Have accounts to try, with mail in them, in the domain demo.test
    #[arg(long)]
    demo: bool,
}

/// How long running requests and deliveries may take to finish.
const GRACE: Duration = Duration::from_secs(30);

impl Serve {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        telemetry::log(&config.log)?;
        // Before anything runs, so that no signal finds the default, which kills.
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let roles = self.roles.unwrap_or_default();
        let options = Options { roles: roles.clone(), demo: self.demo };
        let node = tokio::select! {
            node = Node::start(config, options) => node?,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        // A server runs on, whether or not somebody reads what it says.
        let _ = announce(&node, &roles, self.demo);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let _ = say!("Stopping: finishing what runs. Once more, and it stops at once.");
        tokio::select! {
            () = node.stop(GRACE) => Ok(()),
            _ = interrupt.recv() => std::process::exit(130),
            _ = terminate.recv() => std::process::exit(143),
        }
    }
}

/// Where the service is to be found, in lines that people and tools read.
fn announce(node: &Node, roles: &Roles, demo: bool) -> Result<(), out::Error> {
    let addresses = &node.addresses;
    if let Some(web) = addresses.web {
        let name = if roles.has(Role::Web) || roles.has(Role::Realtime) { "web" } else { "health" };
        say!("{name}: http://{web}")?;
    }
    for (name, address) in [
        ("smtp", addresses.smtp),
        ("submission", addresses.submission),
        ("submissions", addresses.submissions),
        ("lmtp", addresses.lmtp),
        ("imap", addresses.imap),
        ("imaps", addresses.imaps),
        ("pop3", addresses.pop3),
        ("pop3s", addresses.pop3s),
    ] {
        if let Some(address) = address {
            say!("{name}: {address}")?;
        }
    }
    if demo {
        for address in demo::ADDRESSES {
            say!("demo account: {address} password: {}", demo::PASSWORD)?;
        }
    }
    say!("ready")
}
