//! The header of the PROXY protocol, version 2 (haproxy's `proxy-protocol.txt`, §2.2): for whom a proxy connects.
//!
//! ```text
//! signature (12 bytes)  version and command (1)  family and transport (1)  length of the rest (2)
//! source address, destination address, source port, destination port, then extensions (TLV), which are skipped
//! ```
//!
//! **Invariant:** does no I/O; asks for exactly the bytes of the header, so that what follows is left to whom it is for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How a header is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing more can be said until there are so many bytes of it in all.
    Needs(usize),
    /// It is whole. Without an address the proxy speaks for itself, or for whom it has no IP address.
    Whole(Option<SocketAddr>),
}

/// Why a connection has no header that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it does not begin with a PROXY header")]
    Missing,
    #[error("its PROXY header is of version 1; let the proxy send version 2 (haproxy: send-proxy-v2)")]
    VersionOne,
    #[error("its PROXY header is of version {0}, not 2")]
    Version(u8),
    #[error("its PROXY header has the unknown command {0}")]
    Command(u8),
    #[error("its PROXY header is for the address family and transport {0:#04x}, not for TCP")]
    Transport(u8),
    #[error("its PROXY header is too short for its addresses")]
    TooShort,
    #[error("its PROXY header has {0} bytes, more than {MAX_LENGTH}")]
    TooLong(u16),
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_ONE: &[u8; 6] = b"PROXY ";
/// Signature, version, family and length.
const FIXED: usize = 16;
/// The most that addresses and extensions may take.
const MAX_LENGTH: u16 = 4_096;

/// Reads the beginning of a connection.
pub(super) fn read(bytes: &[u8]) -> Result<Progress, Malformed> {
    if !begins_alike(bytes, SIGNATURE) {
        return match bytes.len() {
            _ if !begins_alike(bytes, VERSION_ONE) => Err(Malformed::Missing),
            0..6 => Ok(Progress::Needs(VERSION_ONE.len())),
            _ => Err(Malformed::VersionOne),
        };
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(Progress::Needs(FIXED)) };
    let [.., version_and_command, family, high, low] = *fixed;
    if version_and_command >> 4 != 2 {
        return Err(Malformed::Version(version_and_command >> 4));
    }
    let length = u16::from_be_bytes([high, low]);
    if length > MAX_LENGTH {
        return Err(Malformed::TooLong(length));
    }
    let speaks_for_another = match version_and_command & 0x0f {
        0 => false,
        1 => true,
        unknown => return Err(Malformed::Command(unknown)),
    };
    let length = usize::from(length);
    let Some(rest) = rest.get(..length) else { return Ok(Progress::Needs(FIXED + length)) };
    let source = if speaks_for_another { source(family, rest)? } else { None };
    Ok(Progress::Whole(source))
}

/// Whether one is the beginning of the other.
fn begins_alike(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.iter().zip(wanted).all(|(byte, wanted)| byte == wanted)
}

/// Who connected to the proxy.
fn source(family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    match family {
        // Not known, or a local socket of the proxy's machine.
        0x00 | 0x31 => Ok(None),
        0x11 => {
            let (addresses, ports) = addresses::<4, 8>(rest)?;
            Ok(Some((IpAddr::V4(Ipv4Addr::from(addresses)), ports).into()))
        }
        0x21 => {
            let (addresses, ports) = addresses::<16, 32>(rest)?;
            Ok(Some((IpAddr::V6(Ipv6Addr::from(addresses)).to_canonical(), ports).into()))
        }
        other => Err(Malformed::Transport(other)),
    }
}

/// The source's address and port, where two addresses take `BOTH` bytes.
fn addresses<const ONE: usize, const BOTH: usize>(rest: &[u8]) -> Result<([u8; ONE], u16), Malformed> {
    let (both, ports) = rest.split_first_chunk::<BOTH>().ok_or(Malformed::TooShort)?;
    let source = both.first_chunk::<ONE>().ok_or(Malformed::TooShort)?;
    let [high, low, _, _] = *ports.first_chunk::<4>().ok_or(Malformed::TooShort)?;
    Ok((*source, u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header with these bytes after the fixed ones.
    fn header(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[version_and_command, family], &length, rest].concat()
    }

    const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 25];

    fn v6(source: &str) -> Vec<u8> {
        let source: Ipv6Addr = source.parse().unwrap();
        [&source.octets()[..], &[0; 16], &[0x01, 0xbb, 0, 25]].concat()
    }

    fn check(bytes: &[u8], wanted: Option<&str>) {
        let wanted = wanted.map(|address| address.parse().unwrap());
        assert_eq!(read(bytes), Ok(Progress::Whole(wanted)), "{bytes:x?}");
        // What comes after it is not looked at, and without its end it asks for exactly that.
        assert_eq!(read(&[bytes, b"EHLO x\r\n"].concat()), Ok(Progress::Whole(wanted)));
        for end in 0..bytes.len() {
            let needs = if end < FIXED { FIXED } else { bytes.len() };
            assert_eq!(read(&bytes[..end]), Ok(Progress::Needs(needs)), "{end} of {bytes:x?}");
        }
    }

    #[test]
    fn a_proxy_says_for_whom_it_connects() {
        check(&header(0x21, 0x11, &V4), Some("192.0.2.7:8080"));
        check(&header(0x21, 0x11, &[&V4[..], b"\x03\x00\x04abcd\x01"].concat()), Some("192.0.2.7:8080"));
        check(&header(0x21, 0x11, &[&V4[..], &[0; 4_084]].concat()), Some("192.0.2.7:8080"));
        check(&header(0x21, 0x21, &v6("2001:db8::7")), Some("[2001:db8::7]:443"));
        check(&header(0x21, 0x21, &v6("::ffff:192.0.2.7")), Some("192.0.2.7:443"));
        check(&header(0x21, 0x31, &[b'/'; 216]), None);
        check(&header(0x21, 0x00, b""), None);
        check(&header(0x20, 0x00, b""), None);
        check(&header(0x20, 0x11, &V4), None);
        check(&header(0x20, 0x12, b"anything"), None);
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_clear() {
        let check = |bytes: &[u8], wanted| assert_eq!(read(bytes), Err(wanted), "{bytes:x?}");
        check(b"E", Malformed::Missing);
        check(b"\r\nx", Malformed::Missing);
        check(b"PROXI", Malformed::Missing);
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 8080 25\r\n", Malformed::VersionOne);
        check(b"PROXY ", Malformed::VersionOne);
        assert_eq!(read(b"PROXY"), Ok(Progress::Needs(6)));
        check(&header(0x11, 0x11, &V4), Malformed::Version(1));
        check(&header(0x31, 0x11, &V4), Malformed::Version(3));
        check(&header(0x22, 0x11, &V4), Malformed::Command(2));
        check(&header(0x21, 0x12, &V4), Malformed::Transport(0x12));
        check(&header(0x21, 0x41, &V4), Malformed::Transport(0x41));
        check(&header(0x21, 0x11, &V4[..11]), Malformed::TooShort);
        check(&header(0x21, 0x21, &V4), Malformed::TooShort);
        check(&header(0x21, 0x11, &[0; 4_097]), Malformed::TooLong(4_097));
    }

    proptest! {
        /// Whatever comes, in whatever pieces: the same is said as of the whole, and never more asked for than there may be.
        #[test]
        fn anything_may_come(version in 0x1e_u8..0x24, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300), cut: u16, garbage: bool, at in 0_usize..16, byte: u8) {
            let mut bytes = header(version, family, &rest);
            if garbage {
                bytes[at] = byte;
            }
            let whole = read(&bytes);
            match read(&bytes[..usize::from(cut) % (bytes.len() + 1)]) {
                Ok(Progress::Needs(needs)) => prop_assert!(needs <= FIXED + usize::from(MAX_LENGTH)),
                said => prop_assert_eq!(said, whole),
            }
        }
    }
}
