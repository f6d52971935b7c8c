//! The journeys of `end2end/` through Debian's Chromium.

use std::{fs, path::Path, process::Command};

use anyhow::Context;

use super::{Options, Tally};
use crate::{command, workspace::Workspace};

pub(super) fn run(
    workspace: &Workspace,
    binary: &Path,
    options: &Options,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let folder = workspace.root.join("end2end");
    install(&folder)?;
    let chromium = command::find("chromium").context("chromium")?;
    let mut playwright = Command::new(command::find("node").context("node")?);
    playwright
        .current_dir(&folder)
        .args(["node_modules/@playwright/test/cli.js", "test"])
        .args(&options.playwright)
        .env("SERVER_BINARY", binary)
        .env("CHROMIUM", chromium)
        .env("FORCE_COLOR", "0");
    if options.screenshots {
        playwright.env("SCREENSHOTS", workspace.root.join("docs/screenshots"));
    }
    tally.watch(&mut playwright)
}

/// The packages of the lock file, once.
fn install(folder: &Path) -> anyhow::Result<()> {
    let stamp = folder.join("node_modules/.installed");
    let lock = fs::read_to_string(folder.join("package-lock.json"))?;
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut npm = Command::new(command::find("npm").context("npm")?);
    npm.current_dir(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    command::run(npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"))?;
    Ok(fs::write(stamp, lock)?)
}
