//! What the accounts of a domain may have together.
//!
//! They live on several shards, so nobody can ask for every mail what all of them have: somebody adds it up now and
//! then, and notes it here.

use async_trait::async_trait;
use types::{AccountId, Timestamp};

use crate::Result;

/// `None`: as much as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DomainLimits {
    /// Bytes that the mail of all its accounts may take.
    pub max_bytes: Option<u64>,
    pub max_accounts: Option<u64>,
}

/// A domain's limits, and how far they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DomainUse {
    pub limits: DomainLimits,
    /// When it was last added up.
    pub used_bytes: u64,
}

/// A part of the [`Directory`](crate::Directory); domains in any form, and told in that of
/// [`types::EmailAddress::domain_key`].
#[async_trait]
pub trait Quotas: Send + Sync {
    /// What the domain may have from now on. That of accounts is heeded by [`crate::Directory::add_account`].
    async fn set_domain_limits(&self, domain: &str, limits: DomainLimits) -> Result<()>;

    /// Read through a cache that lives for two seconds.
    async fn domain_use(&self, domain: &str) -> Result<DomainUse>;

    /// The domains whose accounts may have so many bytes.
    async fn measured_domains(&self) -> Result<Vec<String>>;

    /// Notes what the domain's accounts have; nothing happens if it has no limits.
    async fn note_domain_use(&self, domain: &str, used_bytes: u64, now: Timestamp) -> Result<()>;

    /// Accounts whose main address is of the domain, after this one, in order, at most `limit`.
    async fn domain_accounts(
        &self,
        domain: &str,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountId>>;

    /// How many there are.
    async fn count_accounts(&self, domain: &str) -> Result<u64>;
}
