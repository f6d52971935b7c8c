//! How large a mail may be, and what a domain may have, as the command line says it.

use std::{fmt, str::FromStr};

use clap::Args;
use mail::DomainState;
use storage::UNLIMITED;

use crate::config::Size;

/// A size, or none of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageLimit(pub(super) Option<u64>);

impl FromStr for MessageLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            size => match size.parse::<Size>()?.0 {
                // Elsewhere it is no limit, and nobody wants what it would be here.
                0 => Err("with 0 there would be no mail at all; write \"none\" to set no limit".to_owned()),
                bytes => Ok(Self(Some(bytes))),
            },
        }
    }
}

impl fmt::Display for MessageLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "at most {}", Size(bytes)),
            None => f.write_str("as many bytes as everybody's"),
        }
    }
}

/// What the mail of an account may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountQuota {
    /// As the configuration says.
    Default,
    Own(u64),
    Unlimited,
}

impl AccountQuota {
    pub(super) const fn own_bytes(self) -> Option<u64> {
        match self {
            Self::Default => None,
            Self::Own(bytes) => Some(bytes),
            Self::Unlimited => Some(UNLIMITED),
        }
    }
}

impl From<Option<u64>> for AccountQuota {
    fn from(own_bytes: Option<u64>) -> Self {
        match own_bytes {
            None => Self::Default,
            Some(UNLIMITED..) => Self::Unlimited,
            Some(bytes) => Self::Own(bytes),
        }
    }
}

impl FromStr for AccountQuota {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            "none" => Ok(Self::Unlimited),
            size => match size.parse::<Size>()?.0 {
                0 => Err("with 0 there would be no mail at all; write \"none\" to set no limit".to_owned()),
                bytes => Ok(Some(bytes).into()),
            },
        }
    }
}

impl fmt::Display for AccountQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("as much as limits.quota says"),
            Self::Own(bytes) => write!(f, "at most {}", Size(*bytes)),
            Self::Unlimited => f.write_str("as much as there is room for"),
        }
    }
}

/// What a domain may have; what is not named stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
pub(super) struct DomainLimits {
    /// Bytes that the mail of all its accounts may take together, like "50GB"; "none" for no limit
    #[arg(long, value_name = "SIZE")]
    pub(super) storage: Option<MessageLimit>,
    /// How many accounts it may have; "none" for no limit, 0 for a domain of aliases and groups only
    #[arg(long, value_name = "NUMBER")]
    pub(super) accounts: Option<Number>,
    /// How large a mail of one of its accounts may be, in and out; "none" for as large as everybody's
    #[arg(long, value_name = "SIZE")]
    pub(super) message: Option<MessageLimit>,
}

impl DomainLimits {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// A number, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(pub(super) Option<u64>);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            number => {
                number.parse().map(|number| Self(Some(number))).map_err(|_| "it is no number".to_owned())
            }
        }
    }
}

/// A line about a domain: its name as people know it, and what it has of what it may have, if there are limits.
pub(super) fn line(name: &str, state: &DomainState) -> String {
    let limits = state.usage.limits;
    let mut told = Vec::new();
    if let Some(most) = limits.max_accounts {
        told.push(format!("{} of {most} accounts", state.accounts));
    }
    if let Some(most) = limits.max_bytes {
        told.push(format!("{} of {}", Size(state.usage.used_bytes), Size(most)));
    }
    if let Some(most) = state.max_message_bytes {
        told.push(format!("mails of at most {}", Size(most)));
    }
    if told.is_empty() { name.to_owned() } else { format!("{name}\t{}", told.join(", ")) }
}
