//! Nobody waits for an S3 that is away.
//!
//! Without this, each mail with an attachment would hold its memory and its connection for as long as a request may
//! take, until there is no room for mails that need no S3.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Counts the requests in a row that got no answer. Any answer ends the row, also one that refuses.
#[derive(Debug)]
pub(crate) struct Breaker {
    away_time: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    unanswered: u32,
    /// When the next request may try, after [`MOST`].
    next_try: Instant,
}

/// One or two may be requests that were too large for the line.
const MOST: u32 = 3;

impl Breaker {
    pub(crate) fn new(away_time: Duration) -> Self {
        Self { away_time, state: Mutex::new(State { unanswered: 0, next_try: Instant::now() }) }
    }

    /// Whether a request may be made now.
    pub(crate) fn lets_through(&self) -> bool {
        let mut state = self.state();
        if state.unanswered < MOST {
            return true;
        }
        let now = Instant::now();
        let tries = now >= state.next_try;
        if tries {
            state.next_try = now + self.away_time;
        }
        tries
    }

    /// Notes what became of a request; whether S3 is away now, or there again, if that is news.
    pub(crate) fn note(&self, answered: bool) -> Option<News> {
        let mut state = self.state();
        if answered {
            let before = std::mem::take(&mut state.unanswered);
            return (before >= MOST).then_some(News::There);
        }
        state.unanswered = state.unanswered.saturating_add(1);
        state.next_try = Instant::now() + self.away_time;
        (state.unanswered == MOST).then_some(News::Away)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What somebody should hear of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Away,
    There,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_in_a_while_tries() {
        let second = Duration::from_secs(1);
        let breaker = Breaker::new(second);
        let passes = || (0..5).filter(|_| breaker.lets_through()).count();
        for (answered, news) in [(false, None), (false, None), (true, None), (false, None), (false, None)] {
            assert_eq!((breaker.note(answered), passes()), (news, 5));
        }
        assert_eq!((breaker.note(false), passes()), (Some(News::Away), 0));
        tokio::time::advance(second).await;
        assert_eq!(passes(), 1);
        assert_eq!((breaker.note(false), passes()), (None, 0));
        tokio::time::advance(second).await;
        assert_eq!(passes(), 1);
        assert_eq!((breaker.note(true), passes()), (Some(News::There), 5));
    }
}
