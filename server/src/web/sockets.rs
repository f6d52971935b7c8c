//! Counts the WebSockets of each account, so that nobody opens them without end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use types::AccountId;

/// The open WebSockets. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sockets(Arc<Mutex<HashMap<AccountId, u32>>>);

/// A place taken by an open socket; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    sockets: Sockets,
    account: AccountId,
}

impl Sockets {
    /// A place for one more socket of the account, if it has fewer than `most`.
    pub(crate) fn take(&self, account: AccountId, most: u32) -> Option<Place> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(account).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        metrics::gauge!("magpie_websockets").increment(1);
        Some(Place { sockets: self.clone(), account })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("magpie_websockets").decrement(1);
        let mut open = self.sockets.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let sockets = Sockets::default();
        let first = sockets.take(AccountId(1), 1).unwrap();
        assert!(sockets.take(AccountId(1), 1).is_none());
        assert!(sockets.take(AccountId(2), 1).is_some());
        drop(first);
        assert!(sockets.take(AccountId(1), 1).is_some());
    }
}
