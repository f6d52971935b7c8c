//! Memory for content that is being received: bounded for all connections together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

/// So many bytes of content may be held at once.
#[derive(Debug)]
pub struct Budget {
    free: AtomicUsize,
}

/// There is no room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

/// The content of one mail as it grows. Gives its share of the budget back when dropped.
#[derive(Debug)]
pub(super) struct Spool {
    content: BytesMut,
    charge: Charge,
}

/// A share of the budget.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

const FIRST_BYTES: usize = 4 * 1024;

impl Budget {
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self { free: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> Result<(), Exhausted> {
        self.free
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| free.checked_sub(bytes))
            .map(drop)
            .map_err(|_| Exhausted)
    }
}

impl Spool {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self { content: BytesMut::new(), charge: Charge { budget: Arc::clone(budget), bytes: 0 } }
    }

    /// Adds content. Room grows by doubling, and is paid for before it is taken.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Exhausted> {
        let needed = self.content.len() + bytes.len();
        if needed > self.charge.bytes {
            let size = needed.max(self.charge.bytes * 2).max(FIRST_BYTES);
            self.charge.budget.take(size - self.charge.bytes)?;
            self.charge.bytes = size;
            let mut grown = BytesMut::with_capacity(size);
            grown.extend_from_slice(&self.content);
            self.content = grown;
        }
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    /// The whole content, and what it costs as long as it is held.
    pub(super) fn finish(self) -> (Bytes, Charge) {
        (self.content.freeze(), self.charge)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let budget = Arc::new(Budget::new(10_000));
        let mut first = Spool::new(&budget);
        for _ in 0..80 {
            first.push(&[b'x'; 100]).unwrap();
        }
        let mut second = Spool::new(&budget);
        assert_eq!(second.push(b"x"), Err(Exhausted));
        let (content, charge) = first.finish();
        assert_eq!(content.len(), 8_000);
        assert_eq!(second.push(b"x"), Err(Exhausted));
        drop(charge);
        second.push(b"x").unwrap();
        drop(second);
        assert_eq!(budget.free.load(Ordering::Acquire), 10_000);
    }
}
