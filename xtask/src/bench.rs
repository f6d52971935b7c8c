//! Measures the release binary with the load generators of `crates/loadgen`.

use crate::{
    command::{self, cargo},
    server::{self, Profile},
    workspace::Workspace,
};

/// Builds both, and lets the generator print its JSON.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> anyhow::Result<()> {
    let binary = server::build(workspace, Profile::Release)?;
    let mut load = cargo();
    load.current_dir(&workspace.root).args(["run", "--quiet", "--release", "--package", "loadgen", "--"]);
    command::run(load.args(args).env("SERVER_BINARY", binary))
}
