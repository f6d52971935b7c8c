//! A clock that stands still until it is turned.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use types::{Clock, Timestamp};

/// Starts at a fixed time, so that what tests see does not depend on the day they run.
#[derive(Debug)]
pub struct TurnedClock(AtomicI64);

/// 2026-03-02T09:00:00Z, a Monday.
const START_MS: i64 = 1_772_442_000_000;

impl Default for TurnedClock {
    fn default() -> Self {
        Self(AtomicI64::new(START_MS))
    }
}

impl TurnedClock {
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }

    pub fn set(&self, to: Timestamp) {
        self.0.store(to.millis(), Ordering::SeqCst);
    }
}

impl Clock for TurnedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
