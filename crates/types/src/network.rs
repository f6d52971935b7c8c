//! What one client on the Internet can easily have many of.

use std::net::{IpAddr, Ipv6Addr};

/// The network that limits count a client by: an IPv4 address, an IPv6 /64.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
