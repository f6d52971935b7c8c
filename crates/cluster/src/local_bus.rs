//! The bus of a single node: a slot per subscribed account, which holds the last hint only.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use storage::Committed;
use tokio::sync::{broadcast, watch};
use types::{AccountId, Bucket, ModSeq, ShardId};

use crate::{Bus, Feed, FeedHint, Hint, Subscription, Wakeups, bus::QueueCounts};

/// The bus within one process.
#[derive(Debug)]
pub struct LocalBus {
    slots: Arc<Slots>,
    feed: broadcast::Sender<FeedHint>,
    queues: watch::Sender<QueueCounts>,
}

/// How many hints a follower of all accounts may be behind: some 100 KB.
const FEED_CAPACITY: usize = 4_096;
/// Locks, so that publishers and subscribers rarely meet; also what a bus between nodes has channels for.
pub(crate) const STRIPES: usize = 256;

/// Which stripe an account belongs to.
pub(crate) fn stripe(account: AccountId) -> usize {
    usize::from(Bucket::of(account).0) % STRIPES
}

/// The subscribed accounts, each as long as somebody listens.
#[derive(Debug)]
struct Slots([Mutex<HashMap<AccountId, watch::Sender<Hint>>>; STRIPES]);

impl Slots {
    fn of(&self, account: AccountId) -> MutexGuard<'_, HashMap<AccountId, watch::Sender<Hint>>> {
        self.stripe(stripe(account))
    }

    fn stripe(&self, number: usize) -> MutexGuard<'_, HashMap<AccountId, watch::Sender<Hint>>> {
        let [first, ..] = &self.0;
        self.0.get(number).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the account's slot with its last subscription.
#[derive(Debug)]
struct Cleaner {
    slots: Arc<Slots>,
    account: AccountId,
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        let mut slots = self.slots.of(self.account);
        if slots.get(&self.account).is_some_and(|sender| sender.receiver_count() == 0) {
            slots.remove(&self.account);
        }
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self {
            slots: Arc::new(Slots(std::array::from_fn(|_| Mutex::default()))),
            feed: broadcast::Sender::new(FEED_CAPACITY),
            queues: watch::Sender::default(),
        }
    }
}

impl LocalBus {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells of one account's change.
    pub(crate) fn changed(&self, shard: ShardId, account: AccountId, modseq: ModSeq) {
        if let Some(sender) = self.slots.of(account).get(&account) {
            // Commits may be announced out of order: the highest wins.
            sender.send_if_modified(|hint| {
                let newer = !matches!(hint, Hint::ChangedTo(known) if *known >= modseq);
                if newer {
                    *hint = Hint::ChangedTo(modseq);
                }
                newer
            });
        }
        // An error means that nobody listens.
        let _ = self.feed.send(FeedHint::Changed { shard, account, modseq });
    }

    /// Wakes the workers of a shard's queue.
    pub(crate) fn queued(&self, shard: ShardId) {
        self.queues.send_modify(|counts| *counts.entry(shard).or_default() += 1);
    }

    /// Whether anybody wants to hear of accounts of this stripe.
    pub(crate) fn is_heard(&self, stripe: usize) -> bool {
        self.is_followed() || !self.slots.stripe(stripe).is_empty()
    }

    /// Whether anybody follows all accounts.
    pub(crate) fn is_followed(&self) -> bool {
        self.feed.receiver_count() > 0
    }

    /// Tells who listens to accounts of this stripe that hints were lost.
    pub(crate) fn lost(&self, stripe: usize) {
        for sender in self.slots.stripe(stripe).values() {
            sender.send_replace(Hint::Lagged);
        }
    }

    /// Tells the followers of all accounts that hints were lost.
    pub(crate) fn lost_feed(&self) {
        let _ = self.feed.send(FeedHint::Lagged);
    }

    /// Wakes the workers of every queue that was ever heard of.
    pub(crate) fn lost_wakeups(&self) {
        self.queues.send_modify(|counts| counts.values_mut().for_each(|count| *count += 1));
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn publish(&self, committed: &Committed) {
        for (account, modseq) in &committed.accounts {
            self.changed(committed.shard, *account, *modseq);
        }
        if committed.queued {
            self.queued(committed.shard);
        }
    }

    async fn sent(&self) {}

    fn subscribe(&self, account: AccountId) -> Subscription {
        let receiver = self
            .slots
            .of(account)
            .entry(account)
            .or_insert_with(|| watch::Sender::new(Hint::ChangedTo(ModSeq::default())))
            .subscribe();
        Subscription::new(receiver, Box::new(Cleaner { slots: Arc::clone(&self.slots), account }))
    }

    fn subscribe_all(&self) -> Feed {
        Feed::new(self.feed.subscribe())
    }

    fn queue_wakeups(&self) -> Wakeups {
        Wakeups::new(self.queues.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn committed(shard: u16, accounts: &[(i64, i64)], queued: bool) -> Committed {
        let accounts = accounts.iter().map(|(id, modseq)| (AccountId(*id), ModSeq(*modseq))).collect();
        Committed::hint(ShardId(shard), accounts, queued)
    }

    #[test]
    fn a_subscriber_hears_the_last_change_of_its_account_only() {
        let bus = LocalBus::new();
        let mut alice = bus.subscribe(AccountId(1));
        let mut bob = bus.subscribe(AccountId(2));
        assert_eq!(alice.next().now_or_never(), None);
        for modseq in [5, 7, 6] {
            bus.publish(&committed(0, &[(1, modseq)], false));
        }
        assert_eq!(alice.next().now_or_never(), Some(Hint::ChangedTo(ModSeq(7))));
        assert_eq!(alice.next().now_or_never(), None);
        assert_eq!(bob.next().now_or_never(), None);
        bus.publish(&committed(0, &[(1, 8), (2, 3)], false));
        assert_eq!(alice.next().now_or_never(), Some(Hint::ChangedTo(ModSeq(8))));
        assert_eq!(bob.next().now_or_never(), Some(Hint::ChangedTo(ModSeq(3))));
    }

    #[test]
    fn slots_go_with_their_last_subscription() {
        let bus = LocalBus::new();
        let slots = || bus.slots.0.iter().map(|stripe| stripe.lock().unwrap().len()).sum::<usize>();
        let mut many: Vec<_> = (0..10_000).map(|id| bus.subscribe(AccountId(id))).collect();
        let second = bus.subscribe(AccountId(0));
        assert_eq!(slots(), 10_000);
        many.clear();
        assert_eq!(slots(), 1);
        drop(second);
        assert_eq!(slots(), 0);
        // Whoever comes later hears of later changes.
        let mut again = bus.subscribe(AccountId(0));
        bus.publish(&committed(0, &[(0, 1)], false));
        assert_eq!(again.next().now_or_never(), Some(Hint::ChangedTo(ModSeq(1))));
    }

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let bus = LocalBus::new();
        let mut alice = bus.subscribe(AccountId(1));
        let (hint, ()) = tokio::join!(alice.next(), async { bus.publish(&committed(0, &[(1, 9)], false)) });
        assert_eq!(hint, Hint::ChangedTo(ModSeq(9)));
    }

    #[test]
    fn the_feed_has_every_account_and_says_when_it_lost_some() {
        let bus = LocalBus::new();
        let mut feed = bus.subscribe_all();
        bus.publish(&committed(3, &[(1, 4), (2, 5)], true));
        let changed = |account, modseq| FeedHint::Changed {
            shard: ShardId(3),
            account: AccountId(account),
            modseq: ModSeq(modseq),
        };
        assert_eq!(feed.next().now_or_never(), Some(changed(1, 4)));
        assert_eq!(feed.ready(), Some(changed(2, 5)));
        assert_eq!(feed.ready(), None);
        for modseq in 0..=i64::try_from(FEED_CAPACITY).unwrap() {
            bus.publish(&committed(3, &[(1, modseq)], false));
        }
        assert_eq!(feed.ready(), Some(FeedHint::Lagged));
        assert_eq!(feed.next().now_or_never(), Some(changed(1, 1)));
    }

    #[test]
    fn workers_are_woken_once_for_each_shard() {
        let bus = LocalBus::new();
        let mut worker = bus.queue_wakeups();
        bus.publish(&committed(0, &[(1, 1)], false));
        assert_eq!(worker.next().now_or_never(), None);
        for shard in [1, 2, 1] {
            bus.publish(&committed(shard, &[], true));
        }
        let mut woken: Vec<_> = std::iter::from_fn(|| worker.next().now_or_never()).collect();
        woken.sort();
        assert_eq!(woken, [ShardId(1), ShardId(2)]);
        bus.publish(&committed(2, &[], true));
        assert_eq!(worker.next().now_or_never(), Some(ShardId(2)));
    }
}
