//! `magpie shard`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use mail::{Admin, Moved, Step};
use storage::moves::{Move, Phase};
use storage_sql::DatabaseUrl;
use types::{Bucket, Secret, ShardId};

use super::out::say;
use crate::{config::Config, data, parts, telemetry};

#[derive(Debug, Subcommand)]
pub(super) enum Shard {
    /// List the shards, what they hold, and which buckets are on their way
    List,
    /// Make a database a shard; running servers find it by themselves
    Add {
        /// sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/DATABASE; `-` reads it from the standard input. Without a
        /// password, that of PGPASSWORD or of the password file is used
        url: Secret,
    },
    /// Reach an added shard by another URL, after its password or its host has changed; running servers follow by
    /// themselves, and read the password file again
    SetUrl {
        /// The number of the shard
        shard: ShardId,
        /// As for `add`; it must lead to the same database. `-` reads it from the standard input
        url: Secret,
    },
    /// Give up an added shard from which all buckets were moved away; its database stays as it is
    Remove {
        /// The number of the shard
        shard: ShardId,
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
        match self {
            Self::List => list(&super::admin(config).await?).await,
            Self::Add { url } => add(&super::admin(config).await?, config, url).await,
            Self::SetUrl { shard, url } => set_url(config, shard, url).await,
            Self::Remove { shard } => remove(config, shard).await,
            Self::Move { buckets, to } => relocate(&super::admin(config).await?, &buckets.0, to).await,
        }
    }
}

async fn set_url(config: &Config, shard: ShardId, url: Secret) -> anyhow::Result<()> {
    let (parsed, url) = address(config, url)?;
    let (directory, options) = directory(config)?;
    storage_sql::readdress_shard(&directory, shard, &url, &options).await?;
    Ok(say!("Shard {shard} is reached at {parsed}.")?)
}

async fn remove(config: &Config, shard: ShardId) -> anyhow::Result<()> {
    let (directory, options) = directory(config)?;
    storage_sql::remove_shard(&directory, shard, &options).await?;
    Ok(say!("Shard {shard} is given up. Its database stays as it is.")?)
}

/// The directory alone: a shard may be away.
fn directory(config: &Config) -> anyhow::Result<(DatabaseUrl, storage_sql::Options)> {
    telemetry::log(&super::quiet(config))?;
    data::find(config)?;
    Ok((parts::databases(config).0, storage_sql::Options::default()))
}

/// A URL as it was given, and as it is kept.
fn address(config: &Config, url: Secret) -> anyhow::Result<(DatabaseUrl, Secret)> {
    let url = match url.expose().as_str() {
        "-" => std::io::read_to_string(std::io::stdin())?.trim().to_owned(),
        url => url.to_owned(),
    };
    let parsed: DatabaseUrl = url.parse().map_err(|error: String| anyhow::anyhow!("the URL: {error}"))?;
    // Whoever opens it later may be in another folder.
    let url = match &parsed {
        DatabaseUrl::Sqlite(path) => format!("sqlite:{}", absolute(config, path)?.display()),
        DatabaseUrl::Postgres(_) => url,
    };
    Ok((parsed, Secret::new(url)))
}

async fn list(admin: &Admin) -> anyhow::Result<()> {
    for shard in admin.shards().await? {
        let name = format!("{}\t{}\t{} buckets", shard.id, shard.name, shard.buckets);
        match shard.totals {
            Ok(holds) => say!(
                "{name}\t{} accounts\t{} messages\t{} bytes\t{} not indexed yet\t{} queued",
                holds.accounts,
                holds.messages,
                holds.used_bytes,
                holds.unindexed,
                holds.queued
            )?,
            Err(reason) => say!("{name}\taway: {}", reason.replace('\n', " "))?,
        }
    }
    for line in lines(admin.moves().await?) {
        say!("{line}")?;
    }
    Ok(())
}

/// A line for all moves that are as far on the same way.
fn lines(moves: Vec<Move>) -> Vec<String> {
    let mut together = BTreeMap::<_, Vec<_>>::new();
    for running in moves {
        let key = (running.from, running.to, running.phase == Phase::Cleaning);
        together.entry(key).or_default().push(running);
    }
    let line = |((from, to, has_moved), moves): ((ShardId, ShardId, bool), Vec<Move>)| {
        let heard = moves.iter().map(|running| running.beat_at).max().unwrap_or_default();
        let state = if has_moved {
            format!("moved; a worker removes the old rows after {}", heard.plus(mail::OLD_ROWS_STAY))
        } else {
            "being copied".to_owned()
        };
        let buckets: Vec<_> = moves.iter().map(|running| running.bucket).collect();
        format!("buckets {}: from {from} to {to}, {state}; last heard of {heard}", Bucket::ranges(&buckets))
    };
    together.into_iter().map(line).collect()
}

async fn add(admin: &Admin, config: &Config, url: Secret) -> anyhow::Result<()> {
    let (parsed, url) = address(config, url)?;
    let id = admin.add_shard(&url).await?;
    Ok(say!("{parsed} is shard {id}. Move buckets to it with `magpie shard move --buckets ... --to {id}`.")?)
}

fn absolute(config: &Config, path: &Path) -> anyhow::Result<PathBuf> {
    let path = config.in_data(path);
    std::path::absolute(&path).with_context(|| format!("{}", path.display()))
}

async fn relocate(admin: &Admin, buckets: &[Bucket], to: ShardId) -> anyhow::Result<()> {
    let mut news = News::default();
    let moved = admin.move_buckets(buckets, to, &mut |step| news.hear(step)).await;
    news.tell();
    let all = moved?;
    say!(
        "Moved {} buckets with {} accounts to shard {to}; writers waited {} ms at most.",
        all.buckets,
        all.accounts,
        all.longest_pause.as_millis()
    )?;
    if usize::try_from(all.buckets).unwrap_or(usize::MAX) < buckets.len() {
        say!("The others live there already.")?;
    }
    Ok(())
}

/// Gathers what was moved, so that many buckets are few lines.
#[derive(Default)]
struct News {
    buckets: Vec<Bucket>,
    all: Moved,
    since: Option<Instant>,
}

/// How long is gathered.
const GATHER: Duration = Duration::from_secs(5);

impl News {
    fn hear(&mut self, step: Step) {
        if let Step::Moved(bucket, moved) = step
            && moved.buckets > 0
        {
            self.buckets.push(bucket);
            self.all.add(&moved);
            if self.since.get_or_insert_with(Instant::now).elapsed() > GATHER {
                self.tell();
            }
        }
    }

    fn tell(&mut self) {
        let Self { buckets, all, .. } = std::mem::take(self);
        if !buckets.is_empty() {
            // The move goes on, whoever reads.
            let _ = say!(
                "buckets {}\t{} accounts\t{} records\t{} blobs\twriters waited {} ms at most",
                Bucket::ranges(&buckets),
                all.accounts,
                all.records,
                all.blobs,
                all.longest_pause.as_millis()
            );
        }
    }
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
    use types::Timestamp;

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

    #[test]
    fn moves_on_one_way_are_one_line() {
        let running = |bucket, phase, second| Move {
            bucket: Bucket(bucket),
            from: ShardId(0),
            to: ShardId(1),
            phase,
            mover: "somebody".to_owned(),
            beat_at: Timestamp::from_seconds(second),
            started_at: Timestamp::from_seconds(0),
        };
        let told = lines(vec![
            running(1, Phase::Cleaning, 60),
            running(2, Phase::Cleaning, 120),
            running(7, Phase::Copying, 30),
        ]);
        let [heard, gone] = [120, 720].map(Timestamp::from_seconds);
        let moved = format!(
            "buckets 1-2: from 0 to 1, moved; a worker removes the old rows after {gone}; last heard of {heard}"
        );
        let copied =
            format!("buckets 7: from 0 to 1, being copied; last heard of {}", Timestamp::from_seconds(30));
        assert_eq!(told, [copied, moved]);
    }
}
