//! Which crate may use which: the table of ARCHITECTURE.md as data, held against `cargo metadata`.
//!
//! Development dependencies are free: tests may stand on anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::workspace::{Edge, Workspace};

/// A crate of ours, and the crates of ours that it may use. `*`: all.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("message", &["types"]),
    ("smtp", &["types"]),
    ("storage", &["types"]),
    ("migrations", &[]),
    ("storage-sql", &["types", "storage", "migrations"]),
    ("blob", &["types", "storage"]),
    ("cluster", &["types", "storage"]),
    ("search", &["types", "storage"]),
    ("mail", &["types", "message", "storage", "cluster", "search"]),
    ("queue", &["types", "message", "smtp", "storage", "mail"]),
    ("endpoints", &["types", "message", "smtp", "mail"]),
    ("app", &["types"]),
    ("frontend", &["app"]),
    ("magpie", &["*"]),
    ("testkit", &["*"]),
    ("loadgen", &["types"]),
    ("xtask", &[]),
];

/// A package from elsewhere, and the only crates of ours that may name it.
const FENCES: &[(&str, &[&str])] = &[
    ("sea-orm", &["storage-sql", "migrations"]),
    ("sea-orm-migration", &["storage-sql", "migrations"]),
    ("sqlx", &["storage-sql"]),
    ("tantivy", &["search"]),
    ("redis", &["cluster"]),
    ("aws-sdk-s3", &["blob"]),
    ("mail-parser", &["message"]),
    ("hickory-resolver", &["queue", "magpie"]),
    ("axum", &["magpie", "testkit"]),
    ("tower-http", &["magpie"]),
    ("utoipa-swagger-ui", &["magpie"]),
    ("leptos", &["app", "frontend", "magpie"]),
    ("leptos_axum", &["magpie"]),
    ("clap", &["magpie", "xtask", "loadgen"]),
    ("anyhow", &["magpie", "xtask", "loadgen", "testkit"]),
    (
        "tokio",
        &[
            "blob",
            "cluster",
            "search",
            "storage-sql",
            "mail",
            "queue",
            "endpoints",
            "magpie",
            "testkit",
            "loadgen",
        ],
    ),
];

/// What must not reach the browser, however far down.
const NOT_IN_WASM: &[&str] = &["tokio", "sea-orm", "axum", "rustls", "tantivy", "hyper", "mio"];

#[test]
fn dependencies_point_down() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let used = used();
    let ours: BTreeSet<_> = used.keys().cloned().collect();
    for (name, uses) in &used {
        let allowed = layers.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the layer table"));
        for other in uses.intersection(&ours) {
            assert!(
                allowed.contains(&"*") || allowed.contains(&other.as_str()),
                "{name} may not use {other}: see the layer table in ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn fenced_packages_stay_behind_their_fence() {
    for (name, uses) in used() {
        for (package, allowed) in FENCES {
            assert!(
                !uses.contains(*package) || allowed.contains(&name.as_str()),
                "{name} uses {package}, which only {allowed:?} may"
            );
        }
    }
}

#[test]
fn the_browser_gets_no_server_parts() {
    let workspace = Workspace::load_for("wasm32-unknown-unknown").unwrap();
    let shipped = shipped(&workspace, "frontend");
    for package in NOT_IN_WASM {
        assert!(!shipped.contains(*package), "{package} is compiled into the WebAssembly");
    }
    let ours = ["types", "app", "frontend"];
    for (layer, _) in LAYERS {
        assert!(
            ours.contains(layer) || !shipped.contains(*layer),
            "{layer} is compiled into the WebAssembly"
        );
    }
}

/// Each crate of ours with the packages that it names outside its tests.
fn used() -> BTreeMap<String, BTreeSet<String>> {
    let workspace = Workspace::load().unwrap();
    let names: HashMap<_, _> =
        workspace.packages.iter().map(|package| (package.id.as_str(), package.name.clone())).collect();
    workspace
        .resolve
        .nodes
        .iter()
        .filter(|node| workspace.workspace_members.contains(&node.id))
        .map(|node| {
            let uses =
                node.deps.iter().filter(|edge| ordinary(edge)).map(|edge| names[edge.pkg.as_str()].clone());
            (names[node.id.as_str()].clone(), uses.collect())
        })
        .collect()
}

/// Everything that ends up in what `root` is compiled to.
pub(super) fn shipped(workspace: &Workspace, root: &str) -> BTreeSet<String> {
    let names: HashMap<_, _> =
        workspace.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let edges: HashMap<_, _> =
        workspace.resolve.nodes.iter().map(|node| (node.id.as_str(), node.deps.as_slice())).collect();
    let mut open: Vec<_> = names.iter().filter(|(_, name)| **name == root).map(|(id, _)| *id).collect();
    let mut seen: BTreeSet<_> = open.iter().copied().collect();
    while let Some(id) = open.pop() {
        for edge in edges[id].iter().filter(|edge| ordinary(edge)) {
            if seen.insert(&edge.pkg) {
                open.push(&edge.pkg);
            }
        }
    }
    seen.into_iter().map(|id| names[id].to_owned()).collect()
}

fn ordinary(edge: &Edge) -> bool {
    edge.dep_kinds.iter().any(|kind| kind.kind.is_none())
}
