//! `magpie migrate`.

use anyhow::Context as _;
use clap::Args;
use storage_sql::{DatabaseUrl, Schema, added_shards, pending_migrations};

use super::out::{self, say};
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
        if self.plan {
            return show(config).await;
        }
        data::prepare(config)?;
        let parts = parts::open(config, parts::Indexing::Elsewhere).await?;
        // One that is away is not up to date.
        let shards = parts.ports.shards.all();
        for shard in &shards {
            let there = parts.ports.shards.ping(*shard).await;
            there.with_context(|| format!("shard {shard} cannot be brought up to date now"))?;
        }
        Ok(say!("The directory and {} shards are up to date.", shards.len())?)
    }
}

async fn show(config: &Config) -> anyhow::Result<()> {
    let (directory, configured) = parts::databases(config);
    let key = "directory.url";
    out::text(&plan("The directory", &directory, Schema::Directory).await.context(key)?)?;
    for (id, shard) in &configured {
        let text = plan(&format!("Shard {id}"), shard, Schema::Shard).await;
        out::text(&text.context("shards.urls")?)?;
    }
    for added in added_shards(&directory).await.context(key)? {
        // It may have been written into the configuration since.
        if configured.iter().all(|(id, _)| *id != added.id) {
            let what = format!("Shard {}, which was added", added.id);
            let url = added.url.expose().parse::<DatabaseUrl>();
            let url = url.map_err(|error| anyhow::anyhow!("the URL of shard {}: {error}", added.id))?;
            out::text(&plan(&what, &url, Schema::Shard).await?)?;
        }
    }
    Ok(())
}

/// The steps that a database lacks, as a person reads them and `psql` or `sqlite3` would run them.
async fn plan(what: &str, url: &DatabaseUrl, schema: Schema) -> anyhow::Result<String> {
    let pending = pending_migrations(url, schema).await?;
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
