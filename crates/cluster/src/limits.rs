//! Rate limits: so many per time under a key, and some at once.

use std::time::Duration;

use async_trait::async_trait;

/// Counts what is done under a key.
#[async_trait]
pub trait RateLimits: Send + Sync {
    /// Takes one from the key's quota, or says how long to wait; a refused one is not counted.
    /// A key always goes with the same quota: let it name what is limited (`login:203.0.113.7`).
    async fn check(&self, key: &str, quota: Quota) -> Verdict;

    /// Puts back one that was taken, for what turned out not to count. Where it cannot, time gives it back.
    async fn give_back(&self, key: &str, quota: Quota);
}

/// How much is allowed: a bucket of `burst` tokens, into which `count` flow evenly each `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// At once, after a rest; at least one.
    pub burst: u32,
    /// In the long run, per period; at least one.
    pub count: u32,
    pub period: Duration,
}

impl Quota {
    /// How long one token takes to flow in, and how long an empty bucket takes to fill; in microseconds.
    pub(crate) fn times(self) -> (i64, i64) {
        let period = i64::try_from(self.period.as_micros()).unwrap_or(LONGEST).min(LONGEST);
        let per_token = (period / i64::from(self.count.max(1))).max(1);
        (per_token, per_token.saturating_mul(i64::from(self.burst.max(1))).min(LONGEST))
    }
}

/// Some 35 years: so that times of the epoch can be added without loss in numbers of 53 bits, such as Lua's.
const LONGEST: i64 = 1 << 50;

/// Whether it may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may, and so many more at once.
    Allowed { remaining: u32 },
    /// Not before this time has passed.
    Limited { retry_after: Duration },
}

impl Verdict {
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed { .. })
    }
}
