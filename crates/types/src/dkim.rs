//! How mail of our domains is signed.

use std::fmt;

/// The algorithm of a DKIM key (RFC 6376 §3.3.2, RFC 8463).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DkimAlgorithm {
    Rsa,
    Ed25519,
}

impl DkimAlgorithm {
    /// Each domain has a key of each: not everybody knows the newer one.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::Ed25519];

    /// As `k=` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}

impl fmt::Display for DkimAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
