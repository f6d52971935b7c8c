//! Addresses of HTTPS that strangers write: a name of the Internet, and what is asked of it.

use std::fmt;

use crate::address::{domain_key, is_domain};

/// `https://host:port/target`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Url {
    /// In A-labels.
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub target: String,
}

const PORT: u16 = 443;
const MAX_BYTES: usize = 2_048;

impl Url {
    /// The text as an address; `None`: it is not of HTTPS, or names no host of the Internet.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_plain = text.len() <= MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !scheme.eq_ignore_ascii_case("https") || !is_plain {
            return None;
        }
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end)?;
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)?),
            None => (authority, PORT),
        };
        let host = domain_key(host);
        // Addresses in place of names are in no certificate, and no port of this machine is anybody's business.
        let is_name = is_domain(&host) && host.contains('.') && host.parse::<std::net::IpAddr>().is_err();
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        is_name.then_some(Self { host, port, target })
    }

    /// The host, and the port where it is not the usual one: what `Host` says (RFC 9110 §7.2).
    #[must_use]
    pub fn authority(&self) -> String {
        if self.port == PORT { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_over_https_are_addresses() {
        for (text, expected) in [
            ("https://far.test/report", Some("https://far.test/report")),
            ("HTTPS://Far.TEST", Some("https://far.test/")),
            ("https://far.test:443/a?b=c#d", Some("https://far.test/a?b=c")),
            ("https://far.test:8443?b", Some("https://far.test:8443/?b")),
            ("http://far.test/", None),
            ("mailto:a@far.test", None),
            ("https://user@far.test/", None),
            ("https://far.test:0/", None),
            ("https://far.test:99999/", None),
            ("https://127.0.0.1/", None),
            ("https://[::1]/", None),
            ("https://localhost/", None),
            ("https:///", None),
            ("https://far.test/a b", None),
            ("https://far.test/a\r\nx: y", None),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()).as_deref(), expected, "{text:?}");
        }
    }
}
