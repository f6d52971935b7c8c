//! `magpie check-config`.

use super::out::{self, say};
use crate::config::Loaded;

pub(super) fn run(loaded: &Loaded) -> anyhow::Result<()> {
    match &loaded.file {
        Some(file) => say!("# {} and the environment, over the defaults", file.display())?,
        None => say!("# The environment over the defaults; there is no file")?,
    }
    Ok(out::text(&loaded.to_string())?)
}
