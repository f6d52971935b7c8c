//! What is counted until it is reported to the domains that it is about, and whose turn it is to do so.

use async_trait::async_trait;
use types::Timestamp;

use crate::Result;

/// What is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReportKind {
    /// Mail that claims to be a domain's (RFC 7489 §7.2).
    Dmarc,
    /// Connections to a domain's mail servers (RFC 8460).
    Tls,
}

/// So many of the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub kind: ReportKind,
    /// In UTC, since 1970-01-01.
    pub day: i32,
    pub domain: String,
    /// What is counted, in a form of whoever counts.
    pub detail: String,
    /// Of the detail: the same for the same.
    pub digest: [u8; 16],
    pub count: u64,
}

/// A part of the [`Directory`](crate::Directory).
#[async_trait]
pub trait Reports: Send + Sync {
    /// Adds to what was counted before. Kinds and days of which so many bytes (of domains and details) are there already
    /// are left out; returns how many rows were.
    async fn add_counts(&self, counts: &[Counted], most_bytes: u64) -> Result<u64>;

    /// The domains of which something was counted before this day, by day and name.
    async fn counted_before(&self, kind: ReportKind, day: i32) -> Result<Vec<(i32, String)>>;

    /// What was counted of the domain that day: the most frequent first, at most `limit`.
    async fn counts(
        &self,
        kind: ReportKind,
        day: i32,
        domain: &str,
        limit: u32,
    ) -> Result<Vec<(String, u64)>>;

    /// Forgets what was counted of the domain that day.
    async fn forget_counts(&self, kind: ReportKind, day: i32, domain: &str) -> Result<()>;

    /// Takes a turn at what one of all nodes does, or keeps it until then. False while another has it.
    async fn take_turn(&self, name: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool>;
}
