//! Where a MeiliSearch is.

use std::{fmt, str::FromStr};

use types::Secret;

/// `meilisearch://HOST[:PORT]`, or `meilisearchs://` over TLS, with `?key=` (the API key, percent-encoded) and `&index=`
/// (what our index is called there, `magpie` if it is not given).
#[derive(Clone, PartialEq, Eq)]
pub struct MeiliUrl {
    /// `http://HOST:PORT`, without a slash at the end.
    pub(super) host: String,
    pub(super) key: Option<Secret>,
    /// Without the version.
    pub(super) index: String,
}

const PORT: u16 = 7700;
const MAX_INDEX_BYTES: usize = 100;

impl fmt::Debug for MeiliUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.host, self.index)
    }
}

impl FromStr for MeiliUrl {
    type Err = String;

    /// Reads it; the error never has the key.
    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once("://") {
            Some(("meilisearch", rest)) => ("http", rest),
            Some(("meilisearchs", rest)) => ("https", rest),
            _ => return Err("use meilisearch://HOST:PORT?key=..., or meilisearchs:// over TLS".into()),
        };
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let host = format!("{protocol}://{}", authority(place, protocol)?);
        let mut url = Self { host, key: None, index: "magpie".into() };
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("key", value)) => url.key = Some(key(value)?.into()),
                Some(("index", value)) => url.index = index(value)?,
                // It may be the key itself.
                _ => return Err("a parameter is not known; there are `key=` and `index=`".into()),
            }
        }
        Ok(url)
    }
}

fn authority(place: &str, protocol: &str) -> Result<String, String> {
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('@') {
        return Err("a MeiliSearch has no user and password: give it `?key=...`".into());
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (place, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = bare.is_some_and(|bare| bare.parse::<std::net::Ipv6Addr>().is_ok());
    let name =
        !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !address && !name {
        return Err("it names no host: use meilisearch://HOST:PORT?key=...".into());
    }
    match port.map(str::parse::<u16>) {
        None if protocol == "http" => Ok(format!("{host}:{PORT}")),
        None => Ok(host.to_owned()),
        Some(Ok(port)) if port > 0 => Ok(format!("{host}:{port}")),
        Some(_) => Err("its port is no number between 1 and 65535".into()),
    }
}

/// The key goes into a header of HTTP.
fn key(value: &str) -> Result<String, String> {
    let key = percent_decoded(value)
        .filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()));
    key.ok_or_else(|| "its key has characters that no key has; `%` in it is to be written `%25`".into())
}

fn index(value: &str) -> Result<String, String> {
    let fits = !value.is_empty()
        && value.len() <= MAX_INDEX_BYTES
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fits {
        Ok(value.to_owned())
    } else {
        Err("its index has a name of letters, digits, `-` and `_`".into())
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(piece.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, host, key, index) in [
            ("meilisearch://localhost", "http://localhost:7700", None, "magpie"),
            ("meilisearch://127.0.0.1:7701/?key=abc", "http://127.0.0.1:7701", Some("abc"), "magpie"),
            ("meilisearch://[::1]:7?index=a-b_2&key=x%26y%3d", "http://[::1]:7", Some("x&y="), "a-b_2"),
            ("meilisearch://[::1]", "http://[::1]:7700", None, "magpie"),
            ("meilisearchs://search.example.com?key=k", "https://search.example.com", Some("k"), "magpie"),
        ] {
            let url: MeiliUrl = text.parse().unwrap();
            assert_eq!(url.host, host, "{text}");
            assert_eq!(url.key.as_ref().map(|key| key.expose().as_str()), key, "{text}");
            assert_eq!(url.index, index, "{text}");
            assert!(!format!("{url:?}").contains("abc"));
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        for (text, expected) in [
            ("http://h?key=geheim", "use meilisearch://"),
            ("meilisearch://?key=geheim", "names no host"),
            ("meilisearch://a b?key=geheim", "names no host"),
            ("meilisearch://h:99999?key=geheim", "port"),
            ("meilisearch://h:0?key=geheim", "port"),
            ("meilisearch://u:geheim@h", "no user and password"),
            (
                "meilisearch://h?key=geheim&timeout=5",
                "a parameter is not known; there are `key=` and `index=`",
            ),
            ("meilisearch://h?key=geheim%", "characters"),
            ("meilisearch://h?key=geheim%0a", "characters"),
            ("meilisearch://h?key=", "characters"),
            ("meilisearch://h?key=geheim&index=a%20b", "index"),
            ("meilisearch://h/path?key=geheim", "names no host"),
        ] {
            let error = text.parse::<MeiliUrl>().unwrap_err();
            assert!(error.contains(expected) && !error.contains("geheim"), "{text}: {error}");
        }
    }
}
