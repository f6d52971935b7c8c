//! Who is connected, so that nobody takes all the room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use types::client_network;

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Counts {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A place that is taken until this is dropped: among all, and once it is known whose it is, among those of the client.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Counts>,
    client: Option<IpAddr>,
}

impl Counts {
    /// Takes a place, if fewer than `most` are taken.
    #[must_use]
    pub fn enter(self: &Arc<Self>, most: usize) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= most {
            return None;
        }
        open.total += 1;
        Some(Place { counts: Arc::clone(self), client: None })
    }
}

impl Place {
    /// The place as one of the client's, if it has fewer than `most`.
    #[must_use]
    pub fn of(mut self, client: IpAddr, most: usize) -> Option<Self> {
        let client = client_network(client);
        {
            let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
            let of_client = open.by_client.entry(client).or_default();
            if *of_client >= most {
                drop(open);
                return None;
            }
            *of_client += 1;
        }
        self.client = Some(client);
        Some(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let Some(client) = self.client else { return };
        if let Entry::Occupied(mut of_client) = open.by_client.entry(client) {
            *of_client.get_mut() -= 1;
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_client() {
        let counts = Arc::new(Counts::default());
        let enter = |client: &str| counts.enter(3)?.of(client.parse().unwrap(), 2);
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        let _other = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::2").is_none(), "all places are taken");
        drop(first);
        assert!(enter("2001:db8::2").is_some());
        assert_eq!(counts.open.lock().unwrap().by_client.len(), 2);
    }
}
