//! When to try again: a pure function of what was tried so far.

use std::time::Duration;

use types::Timestamp;

/// The pauses between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// After the first attempt, the second, ...; the last repeats.
    pub delays: Vec<Duration>,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    At(Timestamp),
    GiveUp,
}

/// The part of a delay by which it is made shorter or longer, so that what failed together does not return together.
const JITTER_PERCENT: i128 = 10;

impl Default for Schedule {
    fn default() -> Self {
        let minutes = [1, 2, 5, 10, 20, 30, 60, 120, 240];
        Self { delays: minutes.map(|minutes| Duration::from_secs(minutes * 60)).to_vec() }
    }
}

impl Schedule {
    /// What follows the attempt that failed at `now`, `attempts` being counted with it. The last attempt is made when
    /// the mail expires. RFC 5321 §4.5.4.1.
    #[must_use]
    pub fn next(&self, now: Timestamp, attempts: u32, expires_at: Timestamp, random: u64) -> Next {
        if now >= expires_at {
            return Next::GiveUp;
        }
        let nth = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let delay = self.delays.get(nth).or(self.delays.last()).copied().unwrap_or(Duration::from_secs(60));
        Next::At(now.plus(jittered(delay, random)).min(expires_at))
    }
}

fn jittered(delay: Duration, random: u64) -> Duration {
    let ms = i128::try_from(delay.as_millis()).unwrap_or(i128::MAX >> 64);
    let spread = ms * JITTER_PERCENT / 100;
    let offset = i128::from(random) * (2 * spread) / i128::from(u64::MAX) - spread;
    Duration::from_millis(u64::try_from(ms + offset).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u64 = u64::MAX / 2 + 1;

    #[test]
    fn the_pauses_grow_and_the_last_repeats() {
        let start = Timestamp::from_seconds(1_000_000);
        let expires = start.plus(Duration::from_secs(3 * 86_400));
        for (attempts, minutes) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 5),
            (4, 10),
            (5, 20),
            (6, 30),
            (7, 60),
            (8, 120),
            (9, 240),
            (10, 240),
            (99, 240),
        ] {
            let next = Schedule::default().next(start, attempts, expires, MIDDLE);
            assert_eq!(next, Next::At(start.plus(Duration::from_secs(minutes * 60))), "attempt {attempts}");
        }
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        let start = Timestamp::from_seconds(0);
        for (random, ms) in [(0, 54_000), (MIDDLE, 60_000), (u64::MAX, 66_000)] {
            let next = Schedule::default().next(start, 1, Timestamp::from_seconds(9_999), random);
            assert_eq!(next, Next::At(Timestamp::from_millis(ms)), "{random}");
        }
    }

    #[test]
    fn the_last_attempt_is_at_the_expiry_and_nothing_follows_it() {
        let (now, soon) = (Timestamp::from_seconds(1_000), Timestamp::from_seconds(1_010));
        assert_eq!(Schedule::default().next(now, 9, soon, 0), Next::At(soon));
        assert_eq!(Schedule::default().next(soon, 10, soon, 0), Next::GiveUp);
        assert_eq!(Schedule { delays: vec![] }.next(now, 1, soon, 0), Next::At(soon));
    }

    #[test]
    fn three_days_of_failure_are_a_couple_of_dozen_attempts() {
        let start = Timestamp::from_seconds(0);
        let expires = start.plus(Duration::from_secs(3 * 86_400));
        let (mut now, mut attempts) = (start, 1);
        while let Next::At(next) = Schedule::default().next(now, attempts, expires, MIDDLE) {
            (now, attempts) = (next, attempts + 1);
        }
        assert_eq!((now, attempts), (expires, 26));
    }
}
