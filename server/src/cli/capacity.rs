//! `magpie capacity`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use types::{Bucket, ShardId};

use super::out::{self, say};
use crate::capacity::{self, MapFile, Wish};

#[derive(Debug, Args)]
pub(super) struct Capacity {
    /// How many users, with commas between several services
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    users: Vec<u64>,

    /// How long mail is kept; a year if not given
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep_days: Option<u32>,

    /// How many shards there are; as many as are needed if not given
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..i64::from(Bucket::COUNT)))]
    shards: Option<u16>,

    /// How many shards are added in the simulation; a quarter if not given
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..i64::from(Bucket::COUNT)))]
    add: Option<u16>,

    /// Print docs/capacity.md
    #[arg(long, conflicts_with_all = ["users", "keep_days", "shards", "add"])]
    markdown: bool,

    /// Print the commands that even out this map of buckets, `bucket shard bytes` on each line
    #[arg(long, value_name = "FILE", requires = "onto", conflicts_with_all = ["users", "keep_days", "shards", "add", "markdown"])]
    moves: Option<PathBuf>,

    /// The shards that shall carry the load afterwards; the others are emptied
    #[arg(long, value_name = "SHARDS", value_delimiter = ',', requires = "moves")]
    onto: Vec<u16>,
}

impl Capacity {
    /// Needs no configuration and opens nothing.
    pub(super) fn run(self) -> anyhow::Result<()> {
        if let Some(file) = &self.moves {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("--moves {}", file.display()))?;
            let MapFile { map, bytes } =
                text.parse().with_context(|| format!("--moves {}", file.display()))?;
            let onto: std::collections::BTreeSet<_> = self.onto.iter().copied().map(ShardId).collect();
            ensure!(onto.len() == self.onto.len(), "--onto: a shard is named twice");
            let plan = capacity::plan(&map, &bytes, &onto.into_iter().collect::<Vec<_>>());
            for command in plan.commands() {
                say!("{command}")?;
            }
            out::aside(format_args!(
                "{} buckets with {} bytes move; an even load needs {} at least.",
                plan.moves.len(),
                plan.moved_bytes(),
                plan.least_bytes
            ));
            return Ok(());
        }
        if self.markdown {
            return Ok(out::text(&capacity::document()?)?);
        }
        let wish = |users| Wish { users, keep_days: self.keep_days, shards: self.shards };
        let wishes: Vec<_> = self.users.iter().copied().map(wish).collect();
        Ok(out::text(&capacity::tables(&wishes, self.add)?)?)
    }
}
