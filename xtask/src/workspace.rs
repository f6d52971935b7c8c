//! What cargo knows of this workspace: where it lies, where it builds, and which packages it is made of.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, de::DeserializeOwned};

use crate::command;

/// The part of `cargo metadata` that the build needs.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> anyhow::Result<Self> {
        metadata(&[])
    }

    /// The version that the lock file gives `name`.
    pub(crate) fn version(&self, name: &str) -> anyhow::Result<&str> {
        let package = self.packages.iter().find(|package| package.name == name);
        Ok(&package.with_context(|| format!("{name} is no dependency of the workspace"))?.version)
    }

    /// Where the built site lies.
    pub(crate) fn site(&self) -> PathBuf {
        self.target.join("site")
    }
}

/// What cargo says of the workspace that this program belongs to.
pub(crate) fn metadata<T: DeserializeOwned>(arguments: &[&str]) -> anyhow::Result<T> {
    // Asked when it runs: a program that was built in another checkout may lie in the same target folder.
    let own = env::var_os("CARGO_MANIFEST_DIR").context("start it with `cargo xtask`")?;
    let manifest = Path::new(&own).join("../Cargo.toml");
    let mut cargo = command::cargo();
    cargo.args(["metadata", "--format-version=1"]).args(arguments).arg("--manifest-path").arg(manifest);
    let json = cargo.output().context("cargo metadata")?;
    anyhow::ensure!(json.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&json.stderr));
    serde_json::from_slice(&json.stdout).context("cargo metadata")
}
