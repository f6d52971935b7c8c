//! Addresses that mail from the world has no business at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is loopback, private, link-local, multicast or otherwise not of the public Internet
/// (the special-purpose registries of RFC 6890).
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a, b & 0xC0) == (100, 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b & 0xFE) == (198, 18)
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, ..] = ip.segments();
    ip.is_loopback()
        || ip.is_unspecified()
        || ip.is_multicast()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || (a, b) == (0x2001, 0x0DB8)
        // Once site-local (RFC 3879), NAT64 of a network's own (RFC 8215), Teredo, and old ways to write IPv4 addresses.
        || a & 0xFFC0 == 0xFEC0
        || (a, b, c) == (0x0064, 0xFF9B, 1)
        || (a, b) == (0x2001, 0)
        || [a, b, c, d, e, f] == [0; 6]
        || [a, b, c, d, e, f] == [0, 0, 0, 0, 0xFFFF, 0]
        || embedded_v4(ip).is_some_and(is_private_v4)
}

/// The IPv4 address that a NAT64 (RFC 6052) or 6to4 (RFC 3056) address leads to.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match (a, b, c, d, e, f) {
        (0x0064, 0xFF9B, 0, 0, 0, 0) => Some(join(g, h)),
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_internet_is_not_private_and_the_rest_is() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::1",
            "64:ff9b:1::7f00:1",
            "2001::1",
            "fec0::1",
            "::127.0.0.1",
            "::ffff:0:7f00:1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
