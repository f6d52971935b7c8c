//! Which parts go together: several nodes need parts that all of them reach.

use std::collections::HashSet;

use super::{BlobStore, Config, SearchIndex, Shared, Unfit};

impl Config {
    /// Whether anything is kept in files of this machine: then one node at a time may have them.
    #[must_use]
    pub fn keeps_files(&self) -> bool {
        self.directory.url.is_file()
            || self.shards.urls.iter().any(super::Database::is_file)
            || matches!(self.blobs.url, BlobStore::Files(_))
            || matches!(self.search.url, SearchIndex::Tantivy(_))
    }

    pub(super) fn parts_go_together(&self) -> Result<(), Unfit> {
        let unfit = |key, reason: &str| Err(Unfit { key, reason: reason.to_owned() });
        let (directory, shards) = (&self.directory.url, &self.shards.urls);
        if shards.is_empty() {
            return unfit("shards.urls", "there must be at least one shard");
        }
        // As they are shown: whoever logs in with which password, it is the same database.
        let mut places = HashSet::new();
        if let Some(twice) =
            shards.iter().map(|url| url.0.to_string()).find(|url| !places.insert(url.clone()))
        {
            return unfit("shards.urls", &format!("two shards are the same database, {twice}"));
        }
        if places.contains(&directory.0.to_string()) {
            return unfit("directory.url", "the directory cannot share a database with a shard");
        }
        if matches!(self.blobs.url, BlobStore::S3(_)) && self.s3_keys.is_none() {
            return unfit(
                "blobs.url",
                "S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
            );
        }
        if let Some(name) = &self.node.name
            && (name.len() > LONGEST_NAME
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)))
        {
            return unfit("node.name", "it has at most 60 letters, digits, hyphens, dots and underscores");
        }
        if shards.iter().any(|shard| shard.is_file() != directory.is_file()) {
            return unfit("shards.urls", "directory and shards are either all files, or all in PostgreSQL");
        }
        if directory.is_file() || self.node.alone {
            return Ok(());
        }
        let others = |what: &str, instead: &str| {
            format!(
                "other nodes have no {what} of this one; use {instead}, or say node.alone = true if there will be no others"
            )
        };
        if matches!(self.blobs.url, BlobStore::Files(_)) {
            return unfit("blobs.url", &others("files", "s3://BUCKET"));
        }
        if matches!(self.search.url, SearchIndex::Tantivy(_)) {
            return unfit("search.url", &others("index", "meilisearch://HOST:PORT?key=KEY, or none:"));
        }
        for (key, url) in [("cache.url", &self.cache.url), ("bus.url", &self.bus.url)] {
            if matches!(url, Shared::Memory) {
                return unfit(key, &others("memory", "redis://HOST:PORT"));
            }
        }
        Ok(())
    }
}

const LONGEST_NAME: usize = 60;

#[cfg(test)]
mod tests {
    use crate::config::load;

    const CLUSTER: [(&str, &str); 8] = [
        ("MAGPIE_DIRECTORY__URL", "postgres://m:geheim@h/directory"),
        ("MAGPIE_SHARDS__URLS", "[\"postgres://m:geheim@h/shard0\", \"postgres://m:geheim@h/shard1\"]"),
        ("MAGPIE_BLOBS__URL", "s3://bucket"),
        ("MAGPIE_CACHE__URL", "redis://:geheim@h"),
        ("MAGPIE_BUS__URL", "redis://:geheim@h"),
        ("MAGPIE_SEARCH__URL", "meilisearch://h?key=geheim"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "geheim"),
    ];

    /// What is said of the cluster with other values for some variables.
    fn check(changed: &[(&str, &str)], wanted: &str) {
        let variables = CLUSTER.iter().chain(changed).map(|(name, value)| ((*name).into(), (*value).into()));
        let said = match load(None, &variables.collect::<Vec<_>>()) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(
            said.contains(wanted) && !said.contains("geheim"),
            "{changed:?}\n  says: {said}\n  not:  {wanted}"
        );
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        check(&[], "fine");
        check(&[("MAGPIE_SEARCH__URL", "none:")], "fine");
        check(&[("MAGPIE_SHARDS__URLS", "[]")], "shards.urls: there must be at least one shard");
        check(
            &[("MAGPIE_SHARDS__URLS", "[\"postgres://m:geheim@h/s\", \"postgres://m:geheim2@h:5432/s\"]")],
            "shards.urls: two shards are the same database, postgres://m@h:5432/s",
        );
        check(
            &[("MAGPIE_DIRECTORY__URL", "postgres://m:geheim@h/shard1")],
            "directory.url: the directory cannot share a database",
        );
        check(
            &[("MAGPIE_SHARDS__URLS", "[\"sqlite:a.db\"]")],
            "shards.urls: directory and shards are either all files",
        );
        check(
            &[("MAGPIE_DIRECTORY__URL", "sqlite:a.db")],
            "shards.urls: directory and shards are either all files",
        );
        check(
            &[("MAGPIE_BLOBS__URL", "file:blobs")],
            "blobs.url: other nodes have no files of this one; use s3://BUCKET",
        );
        check(&[("MAGPIE_BLOBS__URL", "file:blobs"), ("MAGPIE_NODE__ALONE", "true")], "fine");
        check(&[("MAGPIE_SEARCH__URL", "tantivy:search")], "search.url: other nodes have no index");
        check(
            &[("MAGPIE_CACHE__URL", "memory:")],
            "cache.url: other nodes have no memory of this one; use redis:",
        );
        check(&[("MAGPIE_BUS__URL", "memory:")], "bus.url: other nodes have no memory");
        check(&[("MAGPIE_NODE__NAME", "no spaces")], "node.name: it has at most 60");
        check(&[("MAGPIE_NODE__NAME", "mail-1.example")], "fine");
    }

    #[test]
    fn keys_come_from_the_environment() {
        let variables =
            [("MAGPIE_BLOBS__URL", "s3://bucket")].map(|(name, value)| (name.into(), value.into()));
        let said = load(None, &variables).unwrap_err().to_string();
        assert!(said.contains("blobs.url: S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"), "{said}");
    }
}
