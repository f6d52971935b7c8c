//! The graph of packages as `cargo metadata` has it: who uses whom, once features and platform are decided.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use crate::workspace;

pub(super) const SERVER: &str = "x86_64-unknown-linux-gnu";
pub(super) const BROWSER: &str = "wasm32-unknown-unknown";

#[derive(Deserialize)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
pub(super) struct Package {
    id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// None: an ordinary dependency; else `dev` or `build`.
    kind: Option<String>,
}

impl Graph {
    pub(super) fn load(platform: &str) -> Self {
        workspace::metadata(&["--filter-platform", platform]).unwrap()
    }

    /// Each crate of ours with the packages that it names outside its tests.
    pub(super) fn used(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let names = self.names();
        let ours = self.resolve.nodes.iter().filter(|node| self.workspace_members.contains(&node.id));
        ours.map(|node| (names[node.id.as_str()], node.uses().map(|id| names[id]).collect())).collect()
    }

    /// Everything that ends up in what `root` is compiled to.
    pub(super) fn shipped(&self, root: &str) -> BTreeSet<&str> {
        let names = self.names();
        let nodes: HashMap<_, _> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut open: Vec<_> = names.iter().filter(|(_, name)| **name == root).map(|(id, _)| *id).collect();
        let mut seen: BTreeSet<_> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            open.extend(nodes[id].uses().filter(|id| seen.insert(id)));
        }
        seen.into_iter().map(|id| names[id]).collect()
    }

    fn names(&self) -> HashMap<&str, &str> {
        self.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect()
    }
}

impl Node {
    fn uses(&self) -> impl Iterator<Item = &str> {
        let ordinary = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
        self.deps.iter().filter(ordinary).map(|edge| edge.pkg.as_str())
    }
}
