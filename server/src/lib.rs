//! Magpie's server: configuration, wiring, REST, WebSocket, pages, command line.
//!
//! **Invariant:** the only crate that chooses adapters, reads the clock and draws random numbers. Nothing depends on it
//! but tests.

// They panic where nobody reads; `cli::out` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod backup;
pub mod capacity;
mod causes;
mod certificates;
mod checks;
mod cli;
mod clock;
pub mod config;
mod data;
mod demo;
mod disk;
mod dkim;
mod door;
mod index;
mod members;
pub mod node;
mod outbound;
mod parts;
mod programs;
mod records;
mod reports;
pub mod roles;
mod site;
mod sts;
mod telemetry;
mod web;

use std::process::ExitCode;

/// What the binary does.
#[must_use]
pub fn main() -> ExitCode {
    cli::main()
}
