//! `magpie shard`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use mail::{Admin, Step};
use storage::moves::Phase;
use storage_sql::DatabaseUrl;
use types::{Bucket, Secret, ShardId};

use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(super) enum Shard {
    /// List the shards, what they hold, and which buckets are on their way
    List,
    /// Make a database a shard; running servers find it by themselves
    Add {
        /// sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE; `-` reads it from the standard input
        url: String,
    },
    /// Move buckets to another shard while their users read and receive mail. After a crash, call it again
    Move {
        /// Like 0-8191 or 17,20-23
        #[arg(long, value_parser = buckets)]
        buckets: Buckets,
        /// The number of the shard
        #[arg(long)]
        to: ShardId,
    },
}

/// Buckets as they are written on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buckets(Vec<Bucket>);

impl Shard {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let admin = super::admin(config).await?;
        match self {
            Self::List => list(&admin).await,
            Self::Add { url } => add(&admin, config, url).await,
            Self::Move { buckets, to } => relocate(&admin, &buckets.0, to).await,
        }
    }
}

async fn list(admin: &Admin) -> anyhow::Result<()> {
    for shard in admin.shards().await? {
        print!("{}\t{}\t{} buckets\t", shard.id, shard.name, shard.buckets);
        match shard.totals {
            Ok(holds) => println!(
                "{} accounts\t{} messages\t{} bytes\t{} not indexed yet\t{} queued",
                holds.accounts, holds.messages, holds.used_bytes, holds.unindexed, holds.queued
            ),
            Err(reason) => println!("away: {}", reason.replace('\n', " ")),
        }
    }
    for running in admin.moves().await? {
        let state = match running.phase {
            Phase::Copying => "is being copied",
            Phase::Cleaning => "has moved; its old rows are removed shortly",
        };
        println!(
            "bucket {}: from {} to {}, {state}; last heard of {}",
            running.bucket.0, running.from, running.to, running.beat_at
        );
    }
    Ok(())
}

async fn add(admin: &Admin, config: &Config, url: String) -> anyhow::Result<()> {
    let url = if url == "-" { std::io::read_to_string(std::io::stdin())?.trim().to_owned() } else { url };
    let parsed: DatabaseUrl = url.parse().map_err(|error: String| anyhow::anyhow!("the URL: {error}"))?;
    // Whoever opens it later may be in another folder.
    let url = match &parsed {
        DatabaseUrl::Sqlite(path) => format!("sqlite:{}", absolute(config, path)?.display()),
        DatabaseUrl::Postgres(_) => url,
    };
    let id = admin.add_shard(&Secret::new(url)).await?;
    println!("{parsed} is shard {id}. Move buckets to it with `magpie shard move --buckets ... --to {id}`.");
    Ok(())
}

fn absolute(config: &Config, path: &Path) -> anyhow::Result<PathBuf> {
    let path = config.in_data(path);
    std::path::absolute(&path).with_context(|| format!("{}", path.display()))
}

async fn relocate(admin: &Admin, buckets: &[Bucket], to: ShardId) -> anyhow::Result<()> {
    let mut tell = |step| {
        if let Step::Moved(bucket, moved) = step
            && moved.buckets > 0
        {
            println!(
                "bucket {}\t{} accounts\t{} records\t{} blobs\twriters waited {} ms",
                bucket.0,
                moved.accounts,
                moved.records,
                moved.blobs,
                moved.longest_pause.as_millis()
            );
        }
    };
    let all = admin.move_buckets(buckets, to, &mut tell).await?;
    println!(
        "Moved {} buckets with {} accounts to shard {to}; writers waited {} ms at most.",
        all.buckets,
        all.accounts,
        all.longest_pause.as_millis()
    );
    if usize::try_from(all.buckets).unwrap_or(usize::MAX) < buckets.len() {
        println!("The others live there already.");
    }
    Ok(())
}

fn buckets(text: &str) -> anyhow::Result<Buckets> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let number = text.trim().parse::<u16>().ok().filter(|number| *number < Bucket::COUNT);
            number.with_context(|| {
                format!("`{part}` is not a bucket, or a range of buckets, of 0 to {}", Bucket::COUNT - 1)
            })
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            bail!("`{part}` ends before it begins");
        }
        all.extend((first..=last).map(Bucket));
    }
    all.sort_unstable();
    all.dedup();
    Ok(Buckets(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_numbers_and_ranges() {
        let of =
            |text: &str| buckets(text).map(|all| all.0.iter().map(|bucket| bucket.0).collect::<Vec<_>>());
        assert_eq!(of("17,20-22,21").unwrap(), [17, 20, 21, 22]);
        assert_eq!(of("0-16383").unwrap().len(), 16_384);
        for wrong in ["", "x", "3-1", "16384", "1-", "-1", "1,,2"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
