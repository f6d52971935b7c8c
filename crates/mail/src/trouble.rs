//! Telling the log of requests that failed by our fault. While a part is away, or nothing can be opened any more, many
//! fail for one reason: that is told once in a while.

use std::{
    collections::HashMap,
    error::Error as StdError,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::Error;

/// A reason is told once in this time.
const EVERY: Duration = Duration::from_secs(30);
/// So many reasons are remembered.
const REASONS: usize = 100;

static TOLD: LazyLock<Mutex<Told>> = LazyLock::new(Mutex::default);

impl Error {
    /// Tells the log what was not done because of this.
    pub fn log(&self, what: &str) {
        if self.is_temporary() {
            self.log_now_and_then(what);
        } else {
            tracing::error!(error = self as &dyn StdError, "{what}");
        }
    }

    /// The same where many have one reason, which is told once in a while.
    pub(crate) fn log_now_and_then(&self, what: &str) {
        let error = self as &dyn StdError;
        let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner).due(reason(self), Instant::now());
        match told {
            Some(0) => tracing::error!(error, "{what}"),
            Some(more) => tracing::error!(error, more, "{what}, and so were others before"),
            None => {}
        }
    }
}

/// The innermost cause, in words.
fn reason(error: &Error) -> String {
    let mut reason: &dyn StdError = error;
    while let Some(cause) = reason.source() {
        reason = cause;
    }
    reason.to_string()
}

/// When each reason was told, and how many that had it were not told since.
#[derive(Debug, Default)]
struct Told(HashMap<String, (Instant, u64)>);

impl Told {
    /// Whether the reason is to be told now: with how many that were not.
    fn due(&mut self, reason: String, now: Instant) -> Option<u64> {
        if self.0.len() >= REASONS {
            self.0.retain(|_, (at, _)| now.duration_since(*at) < EVERY);
        }
        match self.0.get_mut(&reason) {
            Some((at, more)) if now.duration_since(*at) < EVERY => {
                *more += 1;
                None
            }
            Some(told) => Some(std::mem::replace(told, (now, 0)).1),
            None => {
                if self.0.len() < REASONS {
                    self.0.insert(reason, (now, 0));
                }
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_in_a_while() {
        let (mut told, start) = (Told::default(), Instant::now());
        let mut due = |reason: &str, second| told.due(reason.to_owned(), start + Duration::from_secs(second));
        assert_eq!(due("no files", 0), Some(0));
        assert_eq!(due("no files", 1), None);
        assert_eq!(due("no disk", 1), Some(0));
        assert_eq!(due("no files", 29), None);
        assert_eq!(due("no files", 30), Some(2));
        assert_eq!(due("no files", 31), None);
        for number in 0..1_000 {
            assert_eq!(due(&format!("{number}"), 40), Some(0));
        }
        assert_eq!(due("no files", 41), None);
    }

    #[test]
    fn the_reason_is_the_innermost_cause() {
        let error = std::io::Error::from_raw_os_error(24);
        let text = error.to_string();
        assert_eq!(reason(&storage::Error::from_io(error).into()), text);
    }
}
