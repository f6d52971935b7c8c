//! Names as DNS takes them, and in the order in which hosts are tried.

use std::net::IpAddr;

use hickory_resolver::proto::rr::{Name, RData};
use types::address;

use crate::Reply;

/// RFC 5321 §4.1.3.
pub(super) fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    inner.strip_prefix("IPv6:").unwrap_or(inner).parse().ok()
}

/// The name to ask for, in A-labels (RFC 5891).
pub(super) fn fqdn(domain: &str) -> Result<Name, Reply> {
    let mut name = Name::from_utf8(address::domain_key(domain))
        .map_err(|_| Reply::ours("5.1.2", &format!("{domain} cannot be a domain name")))?;
    name.set_fqdn(true);
    Ok(name)
}

/// The domain in A-labels, or as it is if it cannot be.
#[must_use]
pub(crate) fn to_a_labels(domain: &str) -> String {
    if domain.is_ascii() { domain.to_owned() } else { address::domain_key(domain) }
}

pub(super) fn shown(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

pub(super) fn exchange(data: &RData) -> Option<(u16, Name)> {
    match data {
        RData::MX(mx) => Some((mx.preference, mx.exchange.clone())),
        _ => None,
    }
}

/// By preference; hosts of the same one in random order. A null MX beside others means nothing (RFC 7505 §3).
pub(super) fn ordered(mut hosts: Vec<(u16, Name)>, random: u64) -> Vec<(u16, Name)> {
    hosts.retain(|(_, host)| !host.is_root());
    hosts.sort();
    let mut state = random;
    let mut keyed = hosts.into_iter().map(|host| (host.0, next_random(&mut state), host)).collect::<Vec<_>>();
    keyed.sort_by_key(|(preference, key, _)| (*preference, *key));
    keyed.into_iter().map(|(_, _, host)| host).collect()
}

/// A SplitMix64 step.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut x = *state;
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
