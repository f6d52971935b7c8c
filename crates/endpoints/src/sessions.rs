//! How many sessions an account has on this node, so that it has no more than it may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use types::AccountId;

/// The sessions of all accounts. Share one between the listeners of a protocol.
#[derive(Debug)]
pub struct Sessions {
    most: usize,
    open: Mutex<HashMap<AccountId, usize>>,
}

/// The right to be one of the account's sessions, until it is dropped.
pub(crate) struct Seat {
    sessions: Arc<Sessions>,
    account: AccountId,
}

impl Sessions {
    /// So many of one account at the same time.
    #[must_use]
    pub fn of_each(most: usize) -> Self {
        Self { most, open: Mutex::default() }
    }

    pub(crate) fn enter(self: &Arc<Self>, account: AccountId) -> Option<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&account).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        open.insert(account, count + 1);
        Some(Seat { sessions: Arc::clone(self), account })
    }
}

impl Default for Sessions {
    /// One, as POP3 wants it (RFC 1939 §8).
    fn default() -> Self {
        Self::of_each(1)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.account) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                open.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_so_many_seats() {
        let sessions = Arc::new(Sessions::of_each(2));
        let (alice, bob) = (AccountId(1), AccountId(2));
        let first = sessions.enter(alice).unwrap();
        let _second = sessions.enter(alice).unwrap();
        assert!(sessions.enter(alice).is_none());
        assert!(sessions.enter(bob).is_some());
        drop(first);
        assert!(sessions.enter(alice).is_some());
        assert_eq!(sessions.open.lock().unwrap().len(), 1);
    }
}
