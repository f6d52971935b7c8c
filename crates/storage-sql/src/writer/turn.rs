//! Whose turn it is to write: who finds nobody else runs its unit where it is, instead of waking the writer's thread and
//! being woken by it. Whoever comes meanwhile waits for the writer, whose next batch they are; so nobody overtakes
//! anybody, and where many write they share commits as before.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::runtime::{Handle, RuntimeFlavor};

/// How many units of a writer have not been answered.
#[derive(Default)]
pub(super) struct Turns(Arc<AtomicUsize>);

/// That a unit has not been answered.
pub(super) struct Turn(Arc<AtomicUsize>);

impl Turns {
    /// The turn of whoever is the only one.
    pub(super) fn alone(&self) -> Option<Turn> {
        let is_alone = self.0.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        is_alone.then(|| Turn(Arc::clone(&self.0)))
    }

    /// A turn after others.
    pub(super) fn wait(&self) -> Turn {
        self.0.fetch_add(1, Ordering::AcqRel);
        Turn(Arc::clone(&self.0))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The runtime, if whoever is running in it now may wait for the disk.
pub(super) fn may_block() -> Option<Handle> {
    Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_alone() {
        let turns = Turns::default();
        let first = turns.alone().unwrap();
        assert!(turns.alone().is_none());
        let second = turns.wait();
        drop(first);
        assert!(turns.alone().is_none());
        drop(second);
        assert!(turns.alone().is_some());
    }
}
