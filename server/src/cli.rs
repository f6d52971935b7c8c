//! The command line.

mod account;
mod alias;
mod backup;
mod ban;
mod capacity;
mod check_config;
mod domain;
mod group;
mod import;
mod index;
mod limit;
mod migrate;
mod out;
mod password;
mod queue;
mod restore;
mod serve;
mod shard;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use mail::{Absent, Admin};

use crate::{
    causes::in_words,
    config::{self, Config, Loaded},
    data,
    parts::{self, Parts},
    telemetry,
};

/// A mail service: SMTP, REST, WebSocket and webmail in one program.
#[derive(Debug, Parser)]
#[command(name = "magpie", version, max_term_width = 100)]
struct Cli {
    /// The configuration file; ./magpie.toml if it is there
    #[arg(long, global = true, value_name = "FILE", env = "MAGPIE_CONFIG")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(serve::Serve),
    /// Print the effective configuration, or what is wrong with it
    CheckConfig,
    /// Bring the databases up to this version
    Migrate(migrate::Migrate),
    /// Domains that mail is received for
    #[command(subcommand)]
    Domain(domain::Domain),
    /// People's accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Further addresses of accounts
    #[command(subcommand)]
    Alias(alias::Alias),
    /// Addresses whose mail goes to several others
    #[command(subcommand)]
    Group(group::Group),
    /// Clients that are kept out for a while
    #[command(subcommand)]
    Ban(ban::Ban),
    /// Bring in mail that is somewhere else; doing it again adds nothing twice
    Import(import::Import),
    /// The search index
    #[command(subcommand)]
    Index(index::Index),
    /// Copy everything that has changed into a folder
    Backup(backup::Backup),
    /// Bring back from such a folder: everything, or one account
    Restore(restore::Restore),
    /// Mail on its way out
    #[command(subcommand)]
    Queue(queue::Queue),
    /// The databases that keep the mail
    #[command(subcommand)]
    Shard(shard::Shard),
    /// What a service for so many users takes, and which buckets to move where
    Capacity(capacity::Capacity),
}

/// Reads the arguments, does what they say, and reports what went wrong in one line.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref() {
            Some(out::Error::Closed) => ExitCode::from(out::SIGPIPE),
            _ => {
                out::aside(format_args!("magpie: {}", one_line(&error)));
                ExitCode::FAILURE
            }
        },
    }
}

fn one_line(error: &anyhow::Error) -> String {
    in_words(error).replace('\n', " ")
}

fn run(Cli { config, command }: Cli) -> anyhow::Result<()> {
    let command = match command {
        Command::Capacity(capacity) => return capacity.run(),
        command => command,
    };
    let environment = config::environment()?;
    let loaded = config::load(config.as_deref(), &environment)?;
    if let Command::CheckConfig = command {
        return check_config::run(&loaded);
    }
    let Loaded { config, .. } = loaded;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime")?;
    runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run(config).await,
            Command::CheckConfig | Command::Capacity(_) => Ok(()),
            Command::Migrate(migrate) => migrate.run(&config).await,
            Command::Domain(domain) => domain.run(&config).await,
            Command::Account(account) => account.run(&config).await,
            Command::Alias(alias) => alias.run(&config).await,
            Command::Group(group) => group.run(&config).await,
            Command::Ban(ban) => ban.run(&config).await,
            Command::Import(import) => import.run(&config).await,
            Command::Index(index) => index.run(&config).await,
            Command::Backup(backup) => backup.run(&config).await,
            Command::Restore(restore) => restore.run(&config).await,
            Command::Queue(queue) => queue.run(&config).await,
            Command::Shard(shard) => shard.run(&config).await,
        }
    })
}

/// The operator's use-cases on the configured data, whether or not a server runs on it.
async fn admin(config: &Config) -> anyhow::Result<Admin> {
    Ok(open(config).await?.mail.admin())
}

/// The configured data, which must be there already, whether or not a server runs on it.
async fn open(config: &Config) -> anyhow::Result<Parts> {
    telemetry::log(&quiet(config))?;
    data::find(config)?;
    parts::open(config, parts::Indexing::Elsewhere).await
}

/// The same; made if it is not there, for commands that a service may begin with.
async fn begin(config: &Config) -> anyhow::Result<Parts> {
    telemetry::log(&quiet(config))?;
    data::prepare(config)?;
    parts::open(config, parts::Indexing::Elsewhere).await
}

/// Names the shards that did not answer, and fails if there are any.
fn complete(absent: &[Absent]) -> anyhow::Result<()> {
    for absent in absent {
        out::aside(format_args!("{absent}"));
    }
    match absent {
        [] => Ok(()),
        [one] => anyhow::bail!("shard {} is away, and what it has is missing above", one.shard),
        many => anyhow::bail!("{} shards are away, and what they have is missing above", many.len()),
    }
}

/// Commands speak for themselves; the log is for what goes wrong.
fn quiet(config: &Config) -> config::Log {
    let level = if config.log.level == "info" { "warn".into() } else { config.log.level.clone() };
    config::Log { level, format: config.log.format }
}
