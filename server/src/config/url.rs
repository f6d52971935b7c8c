//! The URLs that choose the parts of the service.

use std::{path::PathBuf, str::FromStr};

use super::human;

/// A database: `sqlite:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    Sqlite(PathBuf),
}

/// Where blobs are kept: `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobStore {
    Files(PathBuf),
}

/// Where what is shared between connections is kept: `memory:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shared {
    Memory,
}

/// The search index: `tantivy:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchIndex {
    Tantivy(PathBuf),
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("sqlite", path) => path_of("sqlite", path).map(Self::Sqlite),
            (kind, _) => Err(refused(kind, &["postgres", "postgresql"], "sqlite:PATH")),
        }
    }
}

impl FromStr for BlobStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("file", path) => path_of("file", path).map(Self::Files),
            (kind, _) => Err(refused(kind, &["s3"], "file:PATH")),
        }
    }
}

impl FromStr for Shared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("memory", "") => Ok(Self::Memory),
            ("memory", _) => Err("`memory:` takes nothing after the colon".into()),
            (kind, _) => Err(refused(kind, &["redis", "rediss"], "memory:")),
        }
    }
}

impl FromStr for SearchIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("tantivy", path) => path_of("tantivy", path).map(Self::Tantivy),
            (kind, _) => Err(refused(kind, &["meilisearch"], "tantivy:PATH")),
        }
    }
}

human::parsed!(Database, BlobStore, Shared, SearchIndex);

/// Kind and rest. The rest is never shown in errors: it may hold a password.
fn split(text: &str) -> Result<(&str, &str), String> {
    text.split_once(':').ok_or_else(|| "it is not a URL: it has no colon after its kind".into())
}

fn path_of(kind: &str, path: &str) -> Result<PathBuf, String> {
    // `sqlite:///path` and `sqlite:/path` are the same absolute path.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() { Err(format!("`{kind}:` needs a path after it")) } else { Ok(path.into()) }
}

fn refused(kind: &str, planned: &[&str], usable: &str) -> String {
    if planned.contains(&kind) {
        format!("`{kind}:` is not part of this version; use {usable}")
    } else {
        format!("`{kind}:` is not known; use {usable}")
    }
}

use serde::{Deserialize, Deserializer};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_choose_a_part_or_say_why_not() {
        assert_eq!("sqlite:a.db".parse(), Ok(Database::Sqlite("a.db".into())));
        assert_eq!("sqlite:///a/b.db".parse(), Ok(Database::Sqlite("/a/b.db".into())));
        assert_eq!("memory:".parse(), Ok(Shared::Memory));
        let secret = "postgres://magpie:geheim@db/mail".parse::<Database>().unwrap_err();
        assert_eq!(secret, "`postgres:` is not part of this version; use sqlite:PATH");
        for text in ["redis://x", "memory:x", "memory", "disk:"] {
            assert!(text.parse::<Shared>().is_err(), "{text}");
        }
        assert!("s3://bucket".parse::<BlobStore>().is_err());
        assert!("meilisearch://x".parse::<SearchIndex>().is_err());
        assert!("sqlite:".parse::<Database>().is_err());
    }
}
