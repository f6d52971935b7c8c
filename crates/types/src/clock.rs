//! Time as an argument: whoever needs "now" is given a clock.

use crate::Timestamp;

/// Tells the time. The server reads the system's; tests turn their own.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}
