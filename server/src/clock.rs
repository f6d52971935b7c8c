//! The one place that reads the system's clock, and the one that asks it for random bytes.

use std::time::SystemTime;

use rand::RngCore as _;
use types::{Clock, Timestamp};

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
        let now = SystemTime::now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Random bytes from a generator that the system seeds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemRandom;

impl mail::Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "this is the randomness that everybody else is given")]
        let mut generator = rand::rng();
        generator.fill_bytes(bytes);
    }
}
