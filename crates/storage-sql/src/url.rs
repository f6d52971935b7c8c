//! The URL of a database: `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...`.
//!
//! **Invariant:** neither `Debug` nor `Display` nor an error shows a password.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use sea_orm::sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use types::Secret;

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A database of a PostgreSQL server.
    Postgres(PostgresUrl),
}

/// Where a PostgreSQL database is, and who we are there.
#[derive(Clone)]
pub struct PostgresUrl {
    url: Secret,
    shown: String,
    pub(crate) options: Box<PgConnectOptions>,
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        // The password may have come from the environment or a file.
        self.url == other.url && self.options.to_url_lossy().as_str() == other.options.to_url_lossy().as_str()
    }
}

impl Eq for PostgresUrl {}

impl DatabaseUrl {
    /// The file at this path.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(path.as_ref().to_owned())
    }
}

const EXPECTED: &str = "write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE, with `?sslmode=` disable, prefer, require, \
     verify-ca or verify-full where wanted, and %-escape what is not a letter or digit in user and password";

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once(':').ok_or("it is not a URL: it has no colon after its kind")?;
        match kind {
            "sqlite" => {
                // `sqlite:///path` and `sqlite:/path` are the same absolute path.
                let path = path.strip_prefix("//").unwrap_or(path);
                if path.is_empty() {
                    return Err("`sqlite:` needs a path after it".to_owned());
                }
                Ok(Self::sqlite(path))
            }
            "postgres" | "postgresql" => postgres(text).map(Self::Postgres),
            // A password may stand before the first colon.
            _ => {
                Err("its kind, before the colon, is not known; use sqlite:PATH or postgres://...".to_owned())
            }
        }
    }
}

fn postgres(text: &str) -> Result<PostgresUrl, String> {
    // What the parser says of a URL may repeat parts of it.
    let options = PgConnectOptions::from_str(text).ok().filter(|_| text.contains("://")).ok_or(EXPECTED)?;
    let database = options.get_database().ok_or("it names no database: write /DATABASE after the host")?;
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let shown = format!("postgres://{}@{place}/{database}", options.get_username());
    Ok(PostgresUrl { url: Secret::new(text.to_owned()), shown, options: Box::new(options) })
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&url.shown),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_and_never_show_a_password() {
        for (text, shown) in [
            ("sqlite:a.db", Ok("sqlite:a.db")),
            ("sqlite:///a/b.db", Ok("sqlite:/a/b.db")),
            ("postgres://magpie:geheim@db.test/mail", Ok("postgres://magpie@db.test:5432/mail")),
            ("postgresql://m:geheim@[::1]:6000/x?sslmode=disable", Ok("postgres://m@[::1]:6000/x")),
            ("postgres://m:gehe%40im@h/x?password=geheim", Ok("postgres://m@h:5432/x")),
            ("sqlite:", Err("needs a path")),
            ("mail.db", Err("no colon")),
            ("mysql://m:geheim@h/x", Err("its kind, before the colon, is not known")),
            ("postgres://m:geheim@h", Err("names no database")),
            ("postgres://m:geheim@h:port/x", Err("write it as")),
            ("postgres:mail", Err("write it as")),
            ("postgres://m:geheim@h/x?sslmode=geheim", Err("write it as")),
        ] {
            let parsed = text.parse::<DatabaseUrl>();
            let said = format!("{parsed:?}");
            assert!(!said.contains("geheim") && !said.contains("gehe%40im"), "{said}");
            match (parsed, shown) {
                (Ok(url), Ok(shown)) => assert_eq!(url.to_string(), shown),
                (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
                (parsed, _) => panic!("{text}: {parsed:?}"),
            }
        }
    }
}
