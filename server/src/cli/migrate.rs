//! `magpie migrate`.

use anyhow::Context as _;
use clap::Args;
use storage_sql::{DatabaseUrl, Schema, pending_migrations};

use crate::{config::Config, data, parts, telemetry};

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Show the steps that the databases lack, and their SQL, and change nothing
    #[arg(long)]
    plan: bool,
}

impl Migrate {
    /// Every start of a server does the same; this is for doing it, or seeing it, beforehand.
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        telemetry::log(&config.log)?;
        let (directory, shards) = parts::databases(config);
        if self.plan {
            print!("{}", plan("The directory", &directory, Schema::Directory).await?);
            for (id, shard) in &shards {
                print!("{}", plan(&format!("Shard {id}"), shard, Schema::Shard).await?);
            }
            return Ok(());
        }
        data::prepare(config)?;
        let parts = parts::open(config, parts::Indexing::Elsewhere).await?;
        // One that is away is not up to date.
        for (shard, _) in &shards {
            let there = parts.ports.shards.ping(*shard).await;
            there.with_context(|| format!("shards.urls: shard {shard} cannot be brought up to date now"))?;
        }
        println!("The directory and {} shards are up to date.", shards.len());
        Ok(())
    }
}

/// The steps that a database lacks, as a person reads them and `psql` or `sqlite3` would run them.
async fn plan(what: &str, url: &DatabaseUrl, schema: Schema) -> anyhow::Result<String> {
    let pending = pending_migrations(url, schema).await.context("the databases")?;
    if pending.is_empty() {
        return Ok(format!("-- {what}, {url}: up to date\n"));
    }
    let mut text = format!("-- {what}, {url}: lacks {} steps\n", pending.len());
    for step in pending {
        text.push_str(&format!("\n-- {}\n", step.name));
        step.sql.iter().for_each(|statement| text.push_str(&format!("{statement};\n")));
    }
    text.push('\n');
    Ok(text)
}
