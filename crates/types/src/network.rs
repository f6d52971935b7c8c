//! Networks: those that a configuration names, and what one client on the Internet can easily have many of.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, de};

/// The network that limits count a client by: an IPv4 address, an IPv6 /64.
#[must_use]
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// What somebody who connects from many addresses has: an IPv4 /24, an IPv6 /48.
#[must_use]
pub fn neighbourhood(address: IpAddr) -> Network {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { 24 } else { 48 };
    Network { first: beginning(address, length).unwrap_or(address), length }
}

/// Addresses that begin with the same bits: `10.0.0.0/8`, `2001:db8::/32`; or a single one (RFC 4632).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// All bits after the first `length` are zero.
    first: IpAddr,
    length: u8,
}

impl Network {
    /// The network that limits count a client by, as a network: an IPv4 /32, an IPv6 /64.
    #[must_use]
    pub fn of_client(address: IpAddr) -> Self {
        let first = client_network(address);
        Self { first, length: finest(first) }
    }

    /// The network with whatever no client has only a part of: an IPv6 network is at least a /64.
    #[must_use]
    pub fn of_clients(self) -> Self {
        if self.length > finest(self.first) { Self::of_client(self.first) } else { self }
    }

    /// The networks of clients that the address is in, the widest first.
    pub fn around(address: IpAddr) -> impl Iterator<Item = Self> {
        let address = address.to_canonical();
        (0..=finest(address))
            .filter_map(move |length| beginning(address, length).map(|first| Self { first, length }))
    }

    /// Its first address.
    #[must_use]
    pub const fn first(&self) -> IpAddr {
        self.first
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// Whether the two have an address in common: then one is within the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Whether the address is one of them. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) counts as itself.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        beginning(address.to_canonical(), self.length) == Some(self.first)
    }
}

/// The length of the network that one client has.
const fn finest(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 64 }
}

/// The address with all bits after the first `length` set to zero; none if it has fewer.
fn beginning(address: IpAddr, length: u8) -> Option<IpAddr> {
    let length = u32::from(length);
    match address {
        IpAddr::V4(v4) => {
            let rest = u32::MAX.checked_shr(length).unwrap_or(0);
            (length <= Ipv4Addr::BITS).then(|| Ipv4Addr::from_bits(v4.to_bits() & !rest).into())
        }
        IpAddr::V6(v6) => {
            let rest = u128::MAX.checked_shr(length).unwrap_or(0);
            (length <= Ipv6Addr::BITS).then(|| Ipv6Addr::from_bits(v6.to_bits() & !rest).into())
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What it is instead is not repeated: anything may stand in the wrong place of a configuration.
        let wrong = || "it is not an address or a network like \"10.0.0.1\" or \"10.0.0.0/8\"".to_owned();
        let (address, length) = text.split_once('/').map_or((text, None), |(a, length)| (a, Some(length)));
        let address = address.parse::<IpAddr>().map_err(|_| wrong())?;
        if address.to_canonical() != address {
            return Err(format!(
                "`{text}` is an IPv4 address written as IPv6; write it as `{}`",
                address.to_canonical()
            ));
        }
        let most = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
        let length = match length {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| wrong())?
            }
            Some(_) => return Err(wrong()),
            None => u8::try_from(most).unwrap_or(u8::MAX),
        };
        let first = beginning(address, length).ok_or_else(wrong)?;
        if first != address {
            return Err(format!(
                "`{text}` has bits after its first {length}; the network is `{first}/{length}`"
            ));
        }
        Ok(Self { first, length })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        let check = |network: &str, address: &str, wanted| {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), wanted, "{network} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "::ffff:10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "a00::1", false);
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1/32", "192.0.2.2", false);
        check("0.0.0.0/0", "192.0.2.2", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "192.0.2.1", false);
        check("2001:db8::/32", "2001:db8:ffff::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("2001:db8::1/128", "2001:db8::1", true);
    }

    #[test]
    fn neighbours_share_a_network() {
        let of = |address: &str| neighbourhood(address.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.0/24");
        assert_eq!(of("::ffff:192.0.2.9"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:7:1::1"), "2001:db8:7::/48");
        assert_eq!(of("2001:db8:7:2::2"), "2001:db8:7::/48");
    }

    #[test]
    fn a_client_is_in_networks_up_to_its_own() {
        let around = |address: &str| Network::around(address.parse().unwrap()).collect::<Vec<_>>();
        let v4 = around("::ffff:192.0.2.7");
        assert_eq!((v4.len(), v4[24].to_string().as_str()), (33, "192.0.2.0/24"));
        assert_eq!(v4[32], Network::of_client("192.0.2.7".parse().unwrap()));
        let v6 = around("2001:db8:7:1::1");
        assert_eq!((v6.len(), v6[64].to_string().as_str()), (65, "2001:db8:7:1::/64"));
        let one: Network = "2001:db8:7:1::1".parse().unwrap();
        assert_eq!(one.of_clients(), v6[64]);
        assert_eq!(v6[48].of_clients(), v6[48]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0/8", "/8"]
        {
            assert!(
                text.parse::<Network>().unwrap_err().contains("is not an address or a network"),
                "{text}"
            );
        }
        let said = "::ffff:192.0.2.1".parse::<Network>().unwrap_err();
        assert!(said.ends_with("write it as `192.0.2.1`"), "{said}");
        let said = "10.1.0.0/8".parse::<Network>().unwrap_err();
        assert_eq!(said, "`10.1.0.0/8` has bits after its first 8; the network is `10.0.0.0/8`");
    }
}
