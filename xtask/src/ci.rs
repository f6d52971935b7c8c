//! What the CI runs, and anybody before pushing.

use crate::{
    command::{self, cargo, timed},
    test, tools,
    workspace::Workspace,
};

/// Stops at the first step that fails; the tests come last, since they take longest.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = cargo();
        cargo.current_dir(&workspace.root).args(arguments);
        cargo
    };
    timed("format", || command::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    timed("clippy", || command::run(&mut cargo(&["clippy", "--all-targets", "--", "-D", "warnings"])))?;
    timed("clippy for the browser", || {
        tools::wasm_target("wasm32-unknown-unknown")?;
        let arguments = ["clippy", "-p", "frontend", "-p", "app", "--lib", "--features", "app/hydrate"];
        command::run(cargo(&arguments).args(["--target", "wasm32-unknown-unknown", "--", "-D", "warnings"]))
    })?;
    timed("documents", || command::run(cargo(&["doc", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings")))?;
    if command::output(cargo(&["deny", "--version"]).stderr(std::process::Stdio::null())).is_some() {
        timed("cargo-deny", || {
            command::run(&mut cargo(&["deny", "--offline", "check", "licenses", "bans", "sources"]))
        })?;
    } else {
        eprintln!("== cargo-deny: not installed; the licence test of this program stands in");
    }
    test::run(workspace, &test::Options::complete())
}
