//! Which crate may use which: the table of ARCHITECTURE.md as data, held against `cargo metadata`.
//!
//! Development dependencies are free: tests may stand on anything.

use std::collections::BTreeMap;

use super::graph::{BROWSER, shipped, used};

/// A crate of ours, and the crates of ours that it may use. `*`: all.
const LAYERS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("message", &["types"]),
    ("sasl", &["types"]),
    ("smtp", &["types", "sasl"]),
    ("imap", &["types"]),
    ("pop3", &["types"]),
    ("storage", &["types"]),
    ("migrations", &[]),
    ("storage-sql", &["types", "storage", "migrations"]),
    ("blob", &["types", "storage"]),
    ("cluster", &["types", "storage"]),
    ("search", &["types", "storage"]),
    ("filter", &["types", "message"]),
    ("mail", &["types", "message", "sasl", "storage", "cluster", "search", "filter"]),
    ("queue", &["types", "message", "smtp", "storage", "mail"]),
    ("endpoints", &["types", "message", "sasl", "smtp", "imap", "pop3", "filter", "mail"]),
    ("app", &["types"]),
    ("frontend", &["app"]),
    ("magpie", &["*"]),
    ("testkit", &["*"]),
    ("loadgen", &["types", "testkit"]),
    ("xtask", &[]),
];

/// A package from elsewhere, and the only crates of ours that may name it.
const FENCES: &[(&str, &[&str])] = &[
    ("sea-orm", &["storage-sql", "migrations"]),
    ("sea-orm-migration", &["storage-sql", "migrations"]),
    ("sqlx", &["storage-sql"]),
    ("rusqlite", &["storage-sql"]),
    ("tantivy", &["search"]),
    ("redis", &["cluster"]),
    ("aws-sdk-s3", &["blob"]),
    ("mail-parser", &["filter", "message"]),
    ("mail-auth", &["filter"]),
    ("rsa", &["filter"]),
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
            "filter",
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

/// What of ours reaches the browser.
const IN_WASM: &[&str] = &["types", "app", "frontend"];

/// What must not, however far down.
const NOT_IN_WASM: &[&str] = &["tokio", "sea-orm", "axum", "rustls", "tantivy", "hyper", "mio"];

#[test]
fn dependencies_point_down() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let used = used();
    for (name, uses) in &used {
        let allowed = layers.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the layer table"));
        for other in uses.iter().filter(|other| used.contains_key(*other)) {
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
    let ours = LAYERS.iter().map(|(name, _)| *name).filter(|name| !IN_WASM.contains(name));
    let refused: Vec<_> = NOT_IN_WASM.iter().copied().chain(ours).collect();
    for package in shipped("frontend", BROWSER) {
        assert!(
            !refused.contains(&package.name.as_str()),
            "{} is compiled into the WebAssembly",
            package.name
        );
    }
}
