//! Where a Redis is: its URL, read so that no message ever shows the password.

use ::redis::{Client, ConnectionAddr, IntoConnectionInfo as _};

use super::RedisError;

/// A Redis to reach, and its name for logs.
pub(super) struct Address {
    pub(super) client: Client,
    /// Host, port, database, and whether it is spoken to with TLS.
    pub(super) name: String,
}

/// Reads `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`.
pub(super) fn parse(url: &str) -> Result<Address, RedisError> {
    let wrong = |why: &str| RedisError::Url(why.to_owned());
    if !url.starts_with("redis://") && !url.starts_with("rediss://") {
        return Err(wrong("it does not begin with redis:// or rediss://"));
    }
    if url.contains(['?', '#']) {
        return Err(wrong("it has no parameters; write '?' and '#' in a password as %3F and %23"));
    }
    // The crate's own words are taken only where they cannot repeat the URL.
    let info = url.into_connection_info().map_err(|error| wrong(&error_text(&error)))?;
    let name = match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("{host}:{port}/{}", info.redis_settings().db()),
        ConnectionAddr::TcpTls { host, port, .. } => {
            format!("{host}:{port}/{} with TLS", info.redis_settings().db())
        }
        _ => return Err(wrong("it has no host")),
    };
    if info.redis_settings().db() < 0 {
        return Err(wrong("its database is a number from 0"));
    }
    if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
        // The crate takes the process's; an error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let client = Client::open(info).map_err(|error| wrong(&error_text(&error)))?;
    Ok(Address { client, name })
}

fn error_text(error: &::redis::RedisError) -> String {
    use ::redis::ErrorKind::InvalidClientConfig;
    let text = error.to_string().to_lowercase();
    match error.kind() {
        InvalidClientConfig if text.contains("database") => "its database is a number from 0",
        InvalidClientConfig if text.contains("wildcard") => "a wildcard address cannot be reached",
        InvalidClientConfig if text.contains("host") => "it has no host",
        _ => "it cannot be read",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_or_refused_in_one_line() {
        for (url, expected) in [
            ("redis://localhost", Ok("localhost:6379/0")),
            ("redis://:s3cret@10.0.0.1:7000/3", Ok("10.0.0.1:7000/3")),
            ("rediss://user:s3cret@cache.example.org/1", Ok("cache.example.org:6379/1 with TLS")),
            ("redis://[::1]:6380", Ok("::1:6380/0")),
            ("", Err("does not begin with")),
            ("localhost:6379", Err("does not begin with")),
            ("http://:s3cret@localhost", Err("does not begin with")),
            ("unix:///run/redis.sock", Err("does not begin with")),
            ("redis://:s3cret@host/zero", Err("its database is a number")),
            ("redis://:s3cret@host/-1", Err("its database is a number")),
            ("redis://:s3cret@host:99999", Err("cannot be read")),
            ("redis://:s3cret@", Err("cannot be read")),
            ("redis://0.0.0.0", Err("wildcard")),
            ("redis://host?protocol=resp3", Err("no parameters")),
            ("rediss://host#insecure", Err("no parameters")),
        ] {
            match (parse(url), expected) {
                (Ok(address), Ok(name)) => assert_eq!(address.name, name),
                (Err(error), Err(words)) => {
                    let error = error.to_string();
                    assert!(error.contains(words), "{url}: {error}");
                    assert!(!error.contains("s3cret") && !error.contains('\n'), "{error}");
                }
                (got, _) => panic!("{url}: {:?}", got.map(|address| address.name)),
            }
        }
    }
}
