//! Who is connected, so that nobody takes all the room.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use types::{Network, client_network, neighbourhood};

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Counts {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
    by_network: HashMap<Network, usize>,
}

/// How many places a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// From one address (IPv6: one /64).
    pub of_client: usize,
    /// From one network (IPv4: a /24, IPv6: a /48).
    pub of_network: usize,
}

/// A place that is taken until this is dropped: among all, and once it is known whose it is, among those of the client
/// and of its network.
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
    /// The place as one of the client's, if it and its network have fewer than `most`.
    #[must_use]
    pub fn of(mut self, client: IpAddr, most: Most) -> Option<Self> {
        {
            let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
            let taken_by_client = taken(&open.by_client, &client_network(client));
            let taken_by_network = taken(&open.by_network, &neighbourhood(client));
            if taken_by_client >= most.of_client || taken_by_network >= most.of_network {
                drop(open);
                return None;
            }
            *open.by_client.entry(client_network(client)).or_default() += 1;
            *open.by_network.entry(neighbourhood(client)).or_default() += 1;
        }
        self.client = Some(client);
        Some(self)
    }
}

fn taken<K: Eq + Hash>(by: &HashMap<K, usize>, key: &K) -> usize {
    by.get(key).copied().unwrap_or_default()
}

fn give_back<K: Eq + Hash>(by: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut taken) = by.entry(key) {
        *taken.get_mut() -= 1;
        if *taken.get() == 0 {
            taken.remove();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        let Some(client) = self.client else { return };
        give_back(&mut open.by_client, client_network(client));
        give_back(&mut open.by_network, neighbourhood(client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_client() {
        let counts = Arc::new(Counts::default());
        let most = Most { of_client: 2, of_network: 9 };
        let enter = |client: &str| counts.enter(3)?.of(client.parse().unwrap(), most);
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        let _other = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::2").is_none(), "all places are taken");
        drop(first);
        assert!(enter("2001:db8::2").is_some());
        assert_eq!(counts.open.lock().unwrap().by_client.len(), 2);
    }

    #[test]
    fn a_network_shares_its_places() {
        let counts = Arc::new(Counts::default());
        let most = Most { of_client: 2, of_network: 3 };
        let enter = |client: &str| counts.enter(9)?.of(client.parse().unwrap(), most);
        let first = enter("192.0.2.1").unwrap();
        let _of_the_same = enter("192.0.2.1").unwrap();
        let _of_another = enter("192.0.2.2").unwrap();
        assert!(enter("192.0.2.3").is_none(), "its network has all");
        let _elsewhere = enter("192.0.3.3").unwrap();
        drop(first);
        let again = enter("192.0.2.3").unwrap();
        drop(again);
        let wide =
            ["2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:3::1"].map(|client| enter(client).unwrap());
        assert!(enter("2001:db8:1:4::1").is_none());
        assert!(enter("2001:db8:2:4::1").is_some());
        drop(wide);
        let open = counts.open.lock().unwrap();
        assert_eq!((open.total, open.by_client.len(), open.by_network.len()), (3, 3, 2));
    }
}
