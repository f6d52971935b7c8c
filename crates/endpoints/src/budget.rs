//! Memory for content that is being received: bounded for all connections together, and for those of one client.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::{sync::Notify, time::timeout};
use types::client_network;

/// So many bytes of content may be held at once, [a part](Budget::SHARES) of them for one client.
#[derive(Debug)]
pub struct Budget {
    bytes: usize,
    held: Mutex<Held>,
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
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
    client: IpAddr,
    bytes: usize,
}

const FIRST_BYTES: usize = 4 * 1024;

impl Budget {
    /// It takes so many clients to use everything up.
    pub const SHARES: usize = 4;

    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self { bytes, held: Mutex::default(), given_back: Notify::new() }
    }

    /// A share of so many bytes for a client.
    pub(super) fn charge(self: &Arc<Self>, client: IpAddr, bytes: usize) -> Result<Charge, Exhausted> {
        let client = client_network(client);
        self.take(client, bytes)?;
        Ok(Charge { budget: Arc::clone(self), client, bytes })
    }

    /// The same as soon as there is room, if there is within this time.
    pub(super) async fn charge_within(
        self: &Arc<Self>,
        time: Duration,
        client: IpAddr,
        bytes: usize,
    ) -> Result<Charge, Exhausted> {
        let charged = async {
            loop {
                // Before it is tried: what is given back from now on wakes it.
                let given_back = self.given_back.notified();
                match self.charge(client, bytes) {
                    Err(Exhausted) if bytes <= self.bytes / Self::SHARES => given_back.await,
                    outcome => return outcome,
                }
            }
        };
        timeout(time, charged).await.unwrap_or(Err(Exhausted))
    }

    fn take(&self, client: IpAddr, bytes: usize) -> Result<(), Exhausted> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let total = held.total.saturating_add(bytes);
        let of_client = held.by_client.get(&client).copied().unwrap_or_default().saturating_add(bytes);
        if total > self.bytes || of_client > self.bytes / Self::SHARES {
            return Err(Exhausted);
        }
        held.total = total;
        held.by_client.insert(client, of_client);
        Ok(())
    }

    fn give_back(&self, client: IpAddr, bytes: usize) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.total = held.total.saturating_sub(bytes);
        if let Entry::Occupied(mut of_client) = held.by_client.entry(client) {
            *of_client.get_mut() = of_client.get().saturating_sub(bytes);
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
        drop(held);
        self.given_back.notify_waiters();
    }
}

impl Spool {
    pub(super) fn new(budget: &Arc<Budget>, client: IpAddr) -> Self {
        let charge = Charge { budget: Arc::clone(budget), client: client_network(client), bytes: 0 };
        Self { content: BytesMut::new(), charge }
    }

    /// Adds content. Room grows by doubling, and is paid for before it is taken.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Exhausted> {
        let needed = self.content.len() + bytes.len();
        if needed > self.charge.bytes {
            let size = needed.max(self.charge.bytes * 2).max(FIRST_BYTES);
            self.charge.budget.take(self.charge.client, size - self.charge.bytes)?;
            self.charge.bytes = size;
            let mut grown = BytesMut::with_capacity(size);
            grown.extend_from_slice(&self.content);
            self.content = grown;
        }
        self.content.extend_from_slice(bytes);
        Ok(())
    }

    /// Puts something in between.
    pub(super) fn insert(&mut self, at: usize, bytes: &[u8]) -> Result<(), Exhausted> {
        self.push(bytes)?;
        if let Some(rest) = self.content.get_mut(at..) {
            rest.rotate_right(bytes.len());
        }
        Ok(())
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The whole content, and what it costs as long as it is held.
    pub(super) fn finish(self) -> (Bytes, Charge) {
        (self.content.freeze(), self.charge)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.client, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_given_back() {
        let budget = Arc::new(Budget::new(40_000));
        let spool = |client: &str| Spool::new(&budget, client.parse().unwrap());
        let mut first = spool("192.0.2.1");
        for _ in 0..80 {
            first.push(&[b'x'; 100]).unwrap();
        }
        let mut second = spool("::ffff:192.0.2.1");
        assert_eq!(second.push(b"x"), Err(Exhausted));
        let others: Vec<_> = ["192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8:1::1"]
            .map(|client| {
                let mut other = spool(client);
                (other.push(&[b'x'; 10_000]), other)
            })
            .into();
        let taken: Vec<_> = others.iter().map(|(taken, _)| taken.is_ok()).collect();
        assert_eq!(taken, [true, true, true, false]);
        let (content, charge) = first.finish();
        assert_eq!(content.len(), 8_000);
        assert_eq!(second.push(b"x"), Err(Exhausted));
        drop(charge);
        second.push(b"x").unwrap();
        drop((second, others));
        let held = budget.held.lock().unwrap();
        assert_eq!((held.total, held.by_client.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_waited_for() {
        let budget = Arc::new(Budget::new(40_000));
        let client = "192.0.2.1".parse().unwrap();
        let time = Duration::from_secs(20);
        let first = budget.charge_within(time, client, 8_000).await.unwrap();
        assert!(budget.charge_within(time, client, 8_000).await.is_err(), "nobody gives anything back");
        let begin = tokio::time::Instant::now();
        assert!(budget.charge_within(time, client, 10_001).await.is_err(), "there is never so much");
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(first);
        };
        let (second, ()) = tokio::join!(budget.charge_within(time, client, 8_000), later);
        assert_eq!((second.is_ok(), begin.elapsed()), (true, Duration::from_secs(1)));
    }

    #[test]
    fn something_comes_between() {
        let budget = Arc::new(Budget::new(40_000));
        let mut spool = Spool::new(&budget, "192.0.2.1".parse().unwrap());
        spool.push(b"ad").unwrap();
        spool.insert(1, b"bc").unwrap();
        assert_eq!(spool.content(), b"abcd");
    }
}
