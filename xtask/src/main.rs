//! `cargo xtask`: builds, runs, tests and measures the project.
//!
//! Everything that a developer or the CI does is a command here; `.ci/run` calls `ci` and nothing else.

mod bench;
mod ci;
mod command;
mod server;
mod site;
mod test;
#[cfg(test)]
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{site::Quality, workspace::Workspace};

/// Builds, runs, tests and measures Magpie.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything and starts `magpie serve --demo` on embedded parts.
    Run {
        /// Optimise the server.
        #[arg(long)]
        release: bool,
        /// Passed on to `magpie serve --demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Builds the binary `magpie` with the site inside.
    Build {
        /// Optimise it: the binary to install.
        #[arg(long)]
        release: bool,
    },
    /// Builds the browser's part: WebAssembly, styles, compressed files.
    Site {
        /// Compress as well as can be, and hold the result against its size budget.
        #[arg(long)]
        release: bool,
    },
    /// Runs every test: of the workspace, then in a browser.
    Test(test::Options),
    /// What the CI runs: format, lints, documents, licences, tests.
    Ci,
    /// Measures the release binary and prints JSON.
    Bench {
        /// What to measure, and how: see `cargo xtask bench -- --help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<String>,
    },
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::load()?;
    match command {
        Command::Run { release, args } => server::run(&workspace, server::Profile::new(release), &args),
        Command::Build { release } => {
            let binary = server::build(&workspace, server::Profile::new(release))?;
            println!("built {}", binary.display());
            Ok(())
        }
        Command::Site { release } => {
            site::build(&workspace, if release { Quality::Release } else { Quality::Draft }).map(drop)
        }
        Command::Test(options) => test::run(&workspace, &options),
        Command::Ci => ci::run(&workspace),
        Command::Bench { args } => bench::run(&workspace, &args),
    }
}
