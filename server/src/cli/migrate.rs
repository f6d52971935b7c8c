//! `magpie migrate`.

use crate::{config::Config, data, parts, telemetry};

/// Every start of a server does the same; this is for doing it beforehand.
pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::log(&config.log)?;
    data::prepare(&config.data_dir)?;
    parts::open(config, parts::Indexing::Elsewhere).await?;
    println!("The databases in {} are up to date.", config.data_dir.display());
    Ok(())
}
