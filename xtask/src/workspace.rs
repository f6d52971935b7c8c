//! What cargo knows of this workspace: where it lies, where it builds, and which packages it is made of.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Deserialize;

use crate::command;

/// The part of `cargo metadata` that is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
    #[cfg_attr(not(test), expect(dead_code, reason = "the layer and licence tests read it"))]
    pub(crate) workspace_members: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "the layer and licence tests read it"))]
    pub(crate) resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "the licence test reads it"))]
    pub(crate) license: Option<String>,
}

/// Which package uses which, once features and platform are decided.
#[derive(Debug, Deserialize)]
pub(crate) struct Resolve {
    #[cfg_attr(not(test), expect(dead_code, reason = "the layer and licence tests read it"))]
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(not(test), expect(dead_code, reason = "the layer and licence tests read it"))]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(not(test), expect(dead_code, reason = "the layer and licence tests read it"))]
pub(crate) struct Edge {
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
#[cfg_attr(not(test), expect(dead_code, reason = "the layer and licence tests read it"))]
pub(crate) struct Kind {
    /// None: an ordinary dependency; else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Workspace {
    /// Asks cargo, for the platform that this program was built for.
    pub(crate) fn load() -> anyhow::Result<Self> {
        Self::load_for(HOST)
    }

    /// Asks cargo what the workspace is on `platform`.
    pub(crate) fn load_for(platform: &str) -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let json = command::cargo()
            .args(["metadata", "--format-version=1", "--filter-platform", platform, "--manifest-path"])
            .arg(manifest)
            .output()
            .context("cargo metadata")?;
        anyhow::ensure!(json.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&json.stderr));
        serde_json::from_slice(&json.stdout).context("cargo metadata")
    }

    /// The version that the lock file gives `name`.
    pub(crate) fn version(&self, name: &str) -> anyhow::Result<&str> {
        let mut versions: HashMap<_, _> = HashMap::new();
        for package in &self.packages {
            versions.insert(package.name.as_str(), package.version.as_str());
        }
        versions.get(name).copied().with_context(|| format!("{name} is no dependency of the workspace"))
    }

    /// Where the built site lies.
    pub(crate) fn site(&self) -> PathBuf {
        self.target.join("site")
    }
}

#[cfg(target_os = "macos")]
const HOST: &str = "aarch64-apple-darwin";
#[cfg(not(target_os = "macos"))]
const HOST: &str = "x86_64-unknown-linux-gnu";
