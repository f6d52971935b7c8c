//! Backups: a folder of files that never change, safe to be copied by any tool; `docs/backup.md` has the format.
//!
//! A *chain* of runs begins with a whole copy; each further run adds what has changed since. A run is there once its
//! manifest is, which is written last; whatever is broken off leaves the runs before it as they were.
//!
//! **Invariant:** nothing in the folder is ever written to again; an account's rows are those of one snapshot.

mod blobs;
mod chain;
mod folder;
mod keys;
mod lines;
mod loss;
mod manifest;
mod prune;
mod replay;
mod restore;
mod run;
mod take;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use storage::{Blobs, Directory, Shards};
use types::Clock;

pub use loss::Loss;
pub use manifest::RunName;
pub use prune::prune;
pub use restore::{At, One, Restored, Target, everything, find};
pub use run::{Ran, run};
pub use verify::{Verified, verify};

/// Where accounts and their mail are.
#[derive(Clone)]
pub struct Ports {
    pub directory: Arc<dyn Directory>,
    pub shards: Arc<dyn Shards>,
    pub blobs: Arc<dyn Blobs>,
    pub clock: Arc<dyn Clock>,
}

/// Who watches it work.
#[derive(Debug)]
pub struct Watch {
    bar: ProgressBar,
}

impl Watch {
    /// A bar on the terminal.
    #[must_use]
    pub fn bar() -> Self {
        Self { bar: ProgressBar::no_length() }
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Accounts, of which there are so many.
    fn begin(&self, accounts: u64) {
        self.bar.set_length(accounts);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} accounts {msg}, {eta} left") {
            self.bar.set_style(style);
        }
    }

    /// Another account is done.
    fn step(&self) {
        self.bar.inc(1);
    }

    fn messages(&self, messages: u64) {
        self.bar.set_message(format!("{messages} messages"));
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}
