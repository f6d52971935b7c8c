//! `magpie index`.

use clap::Subcommand;

use super::out::say;
use crate::{config::Config, data, parts, telemetry};

#[derive(Debug, Subcommand)]
pub(super) enum Index {
    /// Show how far the index is behind, and how large it is
    Status,
    /// Build the index anew from the stored mail; it is searched until the new one takes its place
    Rebuild,
}

impl Index {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Status => status(config).await,
            Self::Rebuild => rebuild(config).await,
        }
    }
}

async fn status(config: &Config) -> anyhow::Result<()> {
    let (indexed, absent) = super::admin(config).await?.indexed().await?;
    for shard in indexed {
        say!(
            "shard {}: {} of {} accounts behind, {} messages",
            shard.shard,
            shard.behind,
            shard.accounts,
            shard.messages
        )?;
    }
    let size = parts::index_size(config).await;
    if let Ok(size) = &size {
        say!("index: {} documents, {:.1} MB", size.documents, megabytes(size.bytes))?;
    }
    let complete = super::complete(&absent);
    size?;
    complete
}

async fn rebuild(config: &Config) -> anyhow::Result<()> {
    telemetry::log(&super::quiet(config))?;
    data::find(config)?;
    let parts = parts::open(config, parts::Indexing::Here).await?;
    let mut told = 0;
    let mut progress = |done: u64| {
        // A line now and then, also where it goes into a file.
        if done >= told + PROGRESS {
            let _ = say!("{done} changes indexed.");
            told = done;
        }
    };
    parts.mail.admin().rebuild_index(&mut progress).await?;
    let size = parts.mail.admin().index_size().await?;
    say!("The index is built: {} documents, {:.1} MB.", size.documents, megabytes(size.bytes))?;
    Ok(())
}

/// Changes between two lines about the progress.
const PROGRESS: u64 = 10_000;

#[expect(clippy::cast_precision_loss, reason = "shown with one digit after the point")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
