//! The journeys of `end2end/` through Debian's Chromium.

use std::{path::Path, process::Command};

use anyhow::Context;

use super::{Options, Tally};
use crate::{command, tools, workspace::Workspace};

pub(super) fn run(
    workspace: &Workspace,
    binary: &Path,
    options: &Options,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let folder = workspace.root.join("end2end");
    tools::npm(&folder)?;
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
