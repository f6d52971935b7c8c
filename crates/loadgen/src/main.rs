//! Measures the service from outside, as its users meet it: starts the release binary on free ports with a data
//! folder of its own, and prints one JSON object.
//!
//! **Invariant:** knows the service only by its command line and protocols (`types` has the shapes of the latter).

mod client;
mod cluster;
mod http;
mod imap;
mod load;
mod mail;
mod memory;
mod peer;
mod process;
mod relay;
mod search;
mod server;
mod smtp;
mod stats;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};

/// Measures the release binary and prints JSON.
#[derive(Parser)]
#[command(name = "loadgen")]
struct Options {
    what: What,
    /// The binary `magpie`.
    #[arg(long, env = "SERVER_BINARY")]
    binary: PathBuf,
    /// smtp, relay: connections at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    connections: Vec<usize>,
    /// smtp, relay: sizes of the mails in bytes.
    #[arg(long, value_delimiter = ',', default_value = "2048,51200,512000")]
    sizes: Vec<usize>,
    /// smtp, relay: mails of 2 KB per run; larger ones are fewer. 0: what takes some seconds.
    #[arg(long, default_value_t = 0)]
    count: usize,
    /// http, imap, search: messages in the mailbox (imap: in two of them, 2,000 or more).
    #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
    messages: Vec<usize>,
    /// cluster: shards over which the accounts are spread.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    shards: Vec<usize>,
    /// smtp, relay, imap: measure Postfix and Dovecot beside it, too.
    #[arg(long)]
    peer: bool,
    /// Where the peer's scripts are (`peer_up.sh`, `ingest.py`, `imapbench.py`, `smtpload.rs`).
    #[arg(long, env = "BENCH_TOOLS", default_value = "../shared/bench")]
    tools: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Smtp,
    Relay,
    Imap,
    Http,
    Memory,
    Search,
    Cluster,
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(&Options::parse()).await {
        Ok(figures) => {
            println!("{figures:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> anyhow::Result<Value> {
    let wanted = |what| options.what == what || options.what == What::All;
    let mut figures = Map::new();
    figures.insert("cores".to_owned(), json!(std::thread::available_parallelism()?.get()));
    if wanted(What::Smtp) {
        figures.insert("smtp".to_owned(), smtp::measure(options).await?);
    }
    if wanted(What::Relay) {
        figures.insert("relay".to_owned(), relay::measure(options).await?);
    }
    if wanted(What::Imap) {
        figures.insert("imap".to_owned(), imap::measure(options)?);
    }
    if wanted(What::Http) {
        figures.insert("http".to_owned(), http::measure(options).await?);
    }
    if wanted(What::Search) {
        figures.insert("search".to_owned(), search::measure(options).await?);
    }
    if wanted(What::Memory) {
        figures.insert("memory".to_owned(), memory::measure(options).await?);
    }
    if wanted(What::Cluster) {
        figures.insert("cluster".to_owned(), cluster::measure(options).await?);
    }
    Ok(Value::Object(figures))
}
