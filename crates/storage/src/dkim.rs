//! The keys that mail of our domains is signed with: kept in the directory, so that every node signs with the same.
//!
//! A key waits until the world can read its record, then signs, and is retired by its successors: its record stays
//! for mails that are still on their way, then the key is removed.

use async_trait::async_trait;
use types::{DkimAlgorithm, DomainId, Secret, Timestamp};

use crate::Result;

/// A DKIM key of a domain (RFC 6376 §3.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimKey {
    pub domain: DomainId,
    /// Its name in DNS, unique in the domain.
    pub selector: String,
    pub algorithm: DkimAlgorithm,
    /// PKCS #8 in base64.
    pub private_key: Secret,
    /// What the record publishes.
    pub public_key: Vec<u8>,
    pub phase: KeyPhase,
    pub created_at: Timestamp,
    /// When it came to this phase.
    pub since: Timestamp,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyPhase {
    Waiting,
    Signing,
    Retired,
}

/// The part of the directory that keeps them.
#[async_trait]
pub trait DkimKeys: Send + Sync {
    /// Adds keys, all or none. `Err(Exists)` if the domain has a key of that selector.
    async fn add_dkim_keys(&self, keys: &[DkimKey]) -> Result<()>;
    /// All keys of the domain, by selector; read through a cache.
    async fn dkim_keys(&self, domain: DomainId) -> Result<Vec<DkimKey>>;
    /// Has the waiting keys sign, and retires those that did. False, and nothing changes, if none waits.
    async fn switch_dkim_keys(&self, domain: DomainId, now: Timestamp) -> Result<bool>;
    /// Removes the keys that were retired before this; returns how many.
    async fn remove_dkim_keys(&self, domain: DomainId, retired_before: Timestamp) -> Result<u64>;
}
