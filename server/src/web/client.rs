//! Who is at the other end: its address, through proxies that are believed, and what it calls itself.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use types::Network;

use super::Web;

/// The other end of a request.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) ip: Option<IpAddr>,
    /// Whether the request came straight from this machine, through no proxy.
    pub(crate) is_local: bool,
    pub(crate) name: String,
}

impl From<Client> for mail::Client {
    fn from(client: Client) -> Self {
        Self { ip: client.ip, name: client.name }
    }
}

impl FromRequestParts<Web> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
        let proxied =
            ["x-forwarded-for", "forwarded", "via"].iter().any(|name| parts.headers.contains_key(*name));
        let name = parts.headers.get(header::USER_AGENT).and_then(|name| name.to_str().ok());
        Ok(Self {
            ip: peer.map(|peer| behind_proxies(peer, &parts.headers, &web.config.http.trusted_proxies)),
            is_local: !proxied && peer.is_some_and(|peer| peer.is_loopback()),
            name: name.unwrap_or_default().to_owned(),
        })
    }
}

/// The first address, from the near end, that is no proxy of ours. What stands beyond something that is no address
/// is nobody's word.
fn behind_proxies(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let forwarded = headers.get_all("x-forwarded-for").into_iter();
    let mut chain: Vec<&str> =
        forwarded.flat_map(|value| value.to_str().unwrap_or_default().split(',')).collect();
    let mut ip = peer;
    while proxies.iter().any(|proxy| proxy.contains(ip)) {
        match chain.pop().and_then(|next| next.trim().parse::<IpAddr>().ok()) {
            Some(next) => ip = next.to_canonical(),
            None => break,
        }
    }
    ip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_proxies_are_believed() {
        let check = |peer: &str, forwarded: &str, proxies: &[&str], wanted: &str| {
            let mut headers = HeaderMap::new();
            for line in forwarded.split('|') {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let proxies: Vec<_> = proxies.iter().map(|ip| ip.parse().unwrap()).collect();
            let ip = behind_proxies(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(ip.to_string(), wanted, "{peer} {forwarded}");
        };
        check("9.9.9.9", "1.1.1.1", &[], "9.9.9.9");
        check("10.0.0.1", "1.1.1.1", &["10.0.0.1"], "1.1.1.1");
        check("10.0.0.1", "6.6.6.6, 1.1.1.1", &["10.0.0.1"], "1.1.1.1");
        check("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", &["10.0.0.1", "10.0.0.2"], "1.1.1.1");
        check("10.0.0.1", "", &["10.0.0.1"], "10.0.0.1");
        check("10.0.0.1", "6.6.6.6, unknown", &["10.0.0.1"], "10.0.0.1");
        check("10.0.0.1", "6.6.6.6, , 10.0.0.1", &["10.0.0.1"], "10.0.0.1");
        check(
            "10.0.0.1",
            "6.6.6.6, 1.1.1.1, 172.16.3.4, 10.9.8.7",
            &["10.0.0.0/8", "172.16.0.0/12"],
            "1.1.1.1",
        );
        check("10.0.0.1", "6.6.6.6 | 1.1.1.1|10.0.0.2", &["10.0.0.0/8"], "1.1.1.1");
        check("10.0.0.1", "10.0.0.3, 10.0.0.2", &["10.0.0.0/8"], "10.0.0.3");
        check("11.0.0.1", "1.1.1.1", &["10.0.0.0/8"], "11.0.0.1");
        check("2001:db8::1", "1.1.1.1, ::ffff:10.0.0.2", &["2001:db8::/32", "10.0.0.2"], "1.1.1.1");
    }
}
