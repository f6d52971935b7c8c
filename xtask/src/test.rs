//! Every test there is: of the workspace, of the examples in the documents, and in a browser.

mod browser;
mod tally;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use crate::{
    command::{self, cargo},
    server::{self, Profile},
    site::{self, Quality},
    tools,
    workspace::Workspace,
};
use tally::Tally;

/// What to run.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Only the browser tests.
    #[arg(long)]
    browser: bool,
    /// Let the browser tests renew the pictures in `docs/screenshots`.
    #[arg(long)]
    screenshots: bool,
    /// Compress the site as for a release, and hold it against its size budget.
    #[arg(long)]
    release_site: bool,
    /// Passed on to Playwright, e.g. `--project=phone`.
    #[arg(last = true)]
    playwright: Vec<String>,
}

impl Options {
    /// Everything, as the CI does it.
    pub(crate) fn complete() -> Self {
        Self { release_site: true, ..Self::default() }
    }
}

/// Runs all of it even where something fails, and ends with one line of counts.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<()> {
    tools::for_tests()?;
    tools::npm(&workspace.root.join("server/tests/it/programs/npm"))?;
    let quality = if options.release_site { Quality::Release } else { Quality::Draft };
    let site = command::timed("site", || site::build(workspace, quality))?;
    let cargo = |arguments: &[&str]| {
        let mut cargo = cargo();
        cargo.current_dir(&workspace.root).args(arguments).env(site::FOLDER, &site);
        cargo
    };
    // Programs and tests in one go: what they share is compiled once, and the browser tests use the same binary.
    command::timed("compile", || command::run(&mut cargo(&["build", "--bins", "--tests"])))?;
    let binary = keep(workspace, &server::binary(workspace, Profile::Dev))?;
    let mut tally = Tally::default();
    if !options.browser {
        let nextest =
            command::output(cargo(&["nextest", "--version"]).stderr(std::process::Stdio::null())).is_some();
        let tests: &[&str] = if nextest {
            &["nextest", "run", "--no-fail-fast"]
        } else {
            &["test", "--bins", "--tests", "--no-fail-fast"]
        };
        command::timed("tests", || tally.watch(&mut cargo(tests)))?;
        command::timed("examples", || tally.watch(&mut cargo(&["test", "--doc", "--no-fail-fast"])))?;
    }
    command::timed("browser", || browser::run(workspace, &binary, options, &mut tally))
        .context("browser tests")?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    anyhow::ensure!(tally.failed == 0, "some tests failed");
    Ok(())
}

/// A copy for the browser tests, whatever somebody compiles meanwhile.
fn keep(workspace: &Workspace, binary: &Path) -> anyhow::Result<PathBuf> {
    let folder = workspace.target.join("end2end");
    fs::create_dir_all(&folder)?;
    let copy = folder.join(binary.file_name().unwrap_or_default());
    // Not over a file that may be running.
    let _ = fs::remove_file(&copy);
    fs::copy(binary, &copy).with_context(|| binary.display().to_string())?;
    Ok(copy)
}
