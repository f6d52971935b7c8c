//! The rate limits of a single node: GCRA, one number a key.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use types::Clock;

use crate::{Quota, RateLimits, Verdict};

/// Rate limits within one process.
///
/// Of each key is kept when its bucket will be full again (GCRA's "theoretical arrival time"); a key whose time has
/// passed is as good as never seen.
pub struct LocalLimits {
    clock: Arc<dyn Clock>,
    max_keys: usize,
    /// In microseconds since the epoch.
    full_at: Mutex<HashMap<Box<str>, i64>>,
}

impl LocalLimits {
    /// Limits that remember at most this many keys; beyond it the least used ones start anew.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, max_keys: usize) -> Self {
        Self { clock, max_keys: max_keys.max(4), full_at: Mutex::default() }
    }
}

#[async_trait]
impl RateLimits for LocalLimits {
    async fn check(&self, key: &str, quota: Quota) -> Verdict {
        let now = self.clock.now().millis().saturating_mul(1_000);
        let mut keys = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get(key).copied();
        let (verdict, full_at) = take(quota, now, known.unwrap_or(now));
        if known.is_none() && keys.len() >= self.max_keys {
            make_room(&mut keys, now, self.max_keys);
        }
        match keys.get_mut(key) {
            Some(known) => *known = full_at,
            None => {
                keys.insert(key.into(), full_at);
            }
        }
        verdict
    }

    async fn give_back(&self, key: &str, quota: Quota) {
        let (per_token, _) = quota.times();
        let mut keys = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        // Times in the past are those of full buckets.
        if let Some(full_at) = keys.get_mut(key) {
            *full_at = full_at.saturating_sub(per_token);
        }
    }
}

/// Takes one token at `now` from the bucket that will be full at `full_at`.
fn take(quota: Quota, now: i64, full_at: i64) -> (Verdict, i64) {
    let (per_token, whole) = quota.times();
    // A clock that was set back must not shut anybody out for longer than an empty bucket does.
    let full_at = full_at.clamp(now, now.saturating_add(whole));
    let after = full_at.saturating_add(per_token);
    let free = whole.saturating_sub(after.saturating_sub(now));
    if free < 0 {
        (Verdict::Limited { retry_after: Duration::from_micros(free.unsigned_abs()) }, full_at)
    } else {
        (Verdict::Allowed { remaining: u32::try_from(free / per_token).unwrap_or(u32::MAX) }, after)
    }
}

/// Forgets full buckets; if that is not enough, those that are the next to be full.
fn make_room(keys: &mut HashMap<Box<str>, i64>, now: i64, max_keys: usize) {
    keys.retain(|_, full_at| *full_at > now);
    let keep = max_keys * 3 / 4;
    if keys.len() > keep {
        let mut times: Vec<i64> = keys.values().copied().collect();
        let (_, cut, _) = times.select_nth_unstable(keys.len() - keep - 1);
        let cut = *cut;
        keys.retain(|_, full_at| *full_at > cut);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use types::Timestamp;

    use super::*;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.load(Ordering::Relaxed))
        }
    }

    const QUOTA: Quota = Quota { burst: 3, count: 2, period: Duration::from_secs(1) };

    fn allowed(remaining: u32) -> Verdict {
        Verdict::Allowed { remaining }
    }

    fn limited(ms: u64) -> Verdict {
        Verdict::Limited { retry_after: Duration::from_millis(ms) }
    }

    #[tokio::test]
    async fn a_burst_then_the_steady_rate() {
        let clock = Arc::new(Hand::default());
        let limits = LocalLimits::new(Arc::clone(&clock) as _, 100);
        for (at_ms, expected) in [
            (0, allowed(2)),
            (0, allowed(1)),
            (0, allowed(0)),
            (0, limited(500)),
            (200, limited(300)),
            (500, allowed(0)),
            (500, limited(500)),
            (60_000, allowed(2)),
        ] {
            clock.0.store(at_ms, Ordering::Relaxed);
            assert_eq!(limits.check("key", QUOTA).await, expected, "at {at_ms}");
        }
        assert_eq!(limits.check("another", QUOTA).await, allowed(2));
    }

    #[tokio::test]
    async fn what_is_given_back_can_be_taken_again() {
        let limits = LocalLimits::new(Arc::new(Hand::default()), 100);
        for _ in 0..10 {
            assert_eq!(limits.check("key", QUOTA).await, allowed(2));
            limits.give_back("key", QUOTA).await;
        }
        // A full bucket does not run over.
        limits.give_back("key", QUOTA).await;
        limits.give_back("never seen", QUOTA).await;
        for remaining in [2, 1, 0] {
            assert_eq!(limits.check("key", QUOTA).await, allowed(remaining));
        }
        limits.give_back("key", QUOTA).await;
        assert_eq!(limits.check("key", QUOTA).await, allowed(0));
        assert_eq!(limits.check("key", QUOTA).await, limited(500));
    }

    #[test]
    fn a_clock_set_back_shuts_nobody_out_for_long() {
        let (verdict, full_at) = take(QUOTA, 0, 1_000_000_000);
        assert_eq!((verdict, full_at), (limited(500), 1_500_000));
    }

    #[tokio::test]
    async fn keys_are_bounded_and_the_busiest_stay() {
        let clock = Arc::new(Hand::default());
        let limits = LocalLimits::new(clock, 100);
        for _ in 0..4 {
            limits.check("busy", QUOTA).await;
        }
        for number in 0..10_000 {
            limits.check(&number.to_string(), QUOTA).await;
        }
        assert!(limits.full_at.lock().unwrap().len() <= 100);
        assert_eq!(limits.check("busy", QUOTA).await, limited(500));
    }
}
