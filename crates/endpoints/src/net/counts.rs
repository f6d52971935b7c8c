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

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Counts>,
    client: IpAddr,
}

impl Counts {
    /// Takes a place, if there is one among all and among those of the client.
    #[must_use]
    pub fn enter(self: &Arc<Self>, client: IpAddr, total: usize, per_client: usize) -> Option<Place> {
        let client = client_network(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= total {
            return None;
        }
        let of_client = open.by_client.entry(client).or_default();
        if *of_client >= per_client {
            return None;
        }
        *of_client += 1;
        open.total += 1;
        Some(Place { counts: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Entry::Occupied(mut of_client) = open.by_client.entry(self.client) {
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
        let enter = |client: &str| counts.enter(client.parse().unwrap(), 3, 2);
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
