//! Who uses whom, as cargo knows it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use crate::{command, workspace};

pub(super) const SERVER: &str = "x86_64-unknown-linux-gnu";
pub(super) const BROWSER: &str = "wasm32-unknown-unknown";

/// A package that ends up in what somebody runs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shipped {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) licence: String,
}

/// Everything that `root` is compiled to on `platform`, with the features that are on there; no build tools.
pub(super) fn shipped(root: &str, platform: &str) -> BTreeSet<Shipped> {
    let mut tree = command::cargo();
    tree.current_dir(super::files::root()).args(["tree", "--package", root, "--target", platform]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{l}"]);
    let text = command::output(&mut tree).unwrap();
    text.lines()
        .map(|line| {
            let (package, licence) = line.split_once('|').unwrap();
            let mut words = package.split(' ');
            Shipped {
                name: words.next().unwrap().to_owned(),
                version: words.next().unwrap().to_owned(),
                // cargo marks what it has shown before.
                licence: licence.trim_end_matches(" (*)").trim().to_owned(),
            }
        })
        .collect()
}

/// Each crate of ours with the packages that it names outside its tests.
pub(super) fn used() -> BTreeMap<String, BTreeSet<String>> {
    let graph: Graph = workspace::metadata(&["--filter-platform", SERVER]).unwrap();
    let names: HashMap<_, _> =
        graph.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let name = |id: &str| names[id].to_owned();
    let ours = graph.resolve.nodes.iter().filter(|node| graph.workspace_members.contains(&node.id));
    ours.map(|node| (name(&node.id), node.uses().map(name).collect())).collect()
}

/// The part of `cargo metadata` that says it.
#[derive(Deserialize)]
struct Graph {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
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

impl Node {
    fn uses(&self) -> impl Iterator<Item = &str> {
        let ordinary = |edge: &&Edge| edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
        self.deps.iter().filter(ordinary).map(|edge| edge.pkg.as_str())
    }
}
