//! The URLs that choose the parts of the service.

use std::{path::PathBuf, str::FromStr};

use blob::S3Url;
use search::MeiliUrl;
use serde::{Deserialize, Deserializer};
use storage_sql::DatabaseUrl;
use types::Secret;

use super::human;

/// A database: `sqlite:PATH` or `postgres://...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database(pub DatabaseUrl);

/// Where blobs are kept: `file:PATH` or `s3://...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobStore {
    Files(PathBuf),
    S3(S3Url),
}

/// Where what is shared between connections is kept: `memory:` or `redis://...`.
#[derive(Debug, Clone)]
pub enum Shared {
    Memory,
    Redis(Secret),
}

/// The search index: `tantivy:PATH`, `meilisearch://...` or `none:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchIndex {
    Tantivy(PathBuf),
    Meili(MeiliUrl),
    None,
}

impl Database {
    /// Whether it is a file here, of which nobody else may know.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.0, DatabaseUrl::Sqlite(_))
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl FromStr for BlobStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("file", path) => path_of("file", path).map(Self::Files),
            ("s3", _) => text.parse().map(Self::S3),
            _ => Err(unknown("file:PATH or s3://BUCKET")),
        }
    }
}

impl FromStr for Shared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("memory", "") => Ok(Self::Memory),
            ("memory", _) => Err("`memory:` takes nothing after the colon".into()),
            ("redis" | "rediss", rest) if rest.starts_with("//") => {
                Ok(Self::Redis(Secret::new(text.to_owned())))
            }
            _ => Err(unknown("memory: or redis://HOST:PORT")),
        }
    }
}

impl FromStr for SearchIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text)? {
            ("tantivy", path) => path_of("tantivy", path).map(Self::Tantivy),
            ("meilisearch" | "meilisearchs", _) => text.parse().map(Self::Meili),
            ("none", "") => Ok(Self::None),
            ("none", _) => Err("`none:` takes nothing after the colon".into()),
            _ => Err(unknown("tantivy:PATH, meilisearch://HOST:PORT or none:")),
        }
    }
}

human::parsed!(Database, BlobStore, Shared, SearchIndex);

/// Databases in a list, or in a text of one URL or several with commas between them.
pub(super) fn databases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Database>, D::Error> {
    human::list_by(deserializer, before_urls)
}

/// Cuts at the commas that a URL follows: there may be others in paths and passwords.
fn before_urls(text: &str) -> Vec<&str> {
    let begins =
        |rest: &str| ["sqlite:", "postgres:", "postgresql:"].iter().any(|kind| rest.starts_with(kind));
    let mut urls = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.match_indices(',').find(|(at, _)| {
        rest.get(at + 1..).is_some_and(|after| after.trim().is_empty() || begins(after.trim_start()))
    }) {
        urls.extend(rest.get(..end));
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    urls.push(rest);
    urls
}

/// Kind and rest. Neither is ever shown in errors: it may hold a password.
fn split(text: &str) -> Result<(&str, &str), String> {
    text.split_once(':').ok_or_else(|| "it is not a URL: it has no colon after its kind".into())
}

fn path_of(kind: &str, path: &str) -> Result<PathBuf, String> {
    // `file:///path` and `file:/path` are the same absolute path.
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() { Err(format!("`{kind}:` needs a path after it")) } else { Ok(path.into()) }
}

fn unknown(usable: &str) -> String {
    format!("its kind, before the colon, is not known; use {usable}")
}

/// A URL as it may be shown: without the password of its user, and without what parameters say that name one.
pub(super) fn without_secrets(url: &str) -> String {
    let Some((kind, rest)) = url.split_once("://") else { return url.to_owned() };
    let mut shown = format!("{kind}://");
    // Whatever is before the last `@`, a password may have a `?` or an `@`.
    let rest = match rest.rsplit_once('@') {
        Some((user, rest)) => {
            shown.push_str(&format!("{}:***@", user.split([':', '?']).next().unwrap_or_default()));
            rest
        }
        None => rest,
    };
    let (place, parameters) = rest.split_once('?').map_or((rest, None), |(place, rest)| (place, Some(rest)));
    shown.push_str(place);
    let hidden = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if SECRETS.iter().any(|secret| name.to_lowercase().contains(secret)) => {
            format!("{name}=***")
        }
        Some(_) | None => parameter.to_owned(),
    };
    if let Some(parameters) = parameters {
        shown.push('?');
        shown.push_str(&parameters.split('&').map(hidden).collect::<Vec<_>>().join("&"));
    }
    shown
}

const SECRETS: [&str; 4] = ["key", "password", "secret", "token"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_choose_a_part_or_say_why_not() {
        assert_eq!("sqlite:a.db".parse(), Ok(Database(DatabaseUrl::sqlite("a.db"))));
        assert_eq!("file:///a/b".parse(), Ok(BlobStore::Files("/a/b".into())));
        assert_eq!("none:".parse(), Ok(SearchIndex::None));
        assert!(matches!("memory:".parse(), Ok(Shared::Memory)));
        assert!(matches!("redis://:geheim@h:1/0".parse(), Ok(Shared::Redis(_))));
        assert!(matches!("s3://bucket?endpoint=http://h:1".parse(), Ok(BlobStore::S3(_))));
        assert!(matches!("meilisearch://h:1?key=abc".parse(), Ok(SearchIndex::Meili(_))));
        assert!(!"postgres://m:geheim@h/d".parse::<Database>().unwrap().is_file());
        for text in ["unix:x", "memory:x", "memory", "disk:", "redis:u:geheim@h"] {
            assert!(text.parse::<Shared>().is_err(), "{text}");
        }
        for text in ["none:x", "tantivy:", "meilisearch:", "elastic://geheim"] {
            let said = text.parse::<SearchIndex>().unwrap_err();
            assert!(!said.contains("geheim"), "{said}");
        }
    }

    #[test]
    fn a_text_may_have_several_urls() {
        let check = |text: &str, wanted: &[&str]| assert_eq!(before_urls(text), wanted, "{text}");
        check("sqlite:a,b.db", &["sqlite:a,b.db"]);
        check("sqlite:a.db, sqlite:b.db", &["sqlite:a.db", " sqlite:b.db"]);
        check("postgres://m:a,b@h/0,postgresql://h/1,", &["postgres://m:a,b@h/0", "postgresql://h/1", ""]);
        check("", &[""]);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let check = |url: &str, wanted: &str| assert_eq!(without_secrets(url), wanted);
        check("redis://u:pw@h:1/0", "redis://u:***@h:1/0");
        check("redis://:p@w@h:1/0", "redis://:***@h:1/0");
        check("postgres://u:p?w@h/d", "postgres://u:***@h/d");
        check("meilisearch://h:1?key=abc&x=y", "meilisearch://h:1?key=***&x=y");
        check(
            "postgres://u@h/d?sslmode=disable&password=pw",
            "postgres://u:***@h/d?sslmode=disable&password=***",
        );
        check("s3://b?endpoint=http://h:1&region=r", "s3://b?endpoint=http://h:1&region=r");
        check("sqlite:a.db", "sqlite:a.db");
    }
}
