//! What never changes of a message and is asked for again and again, in memory. Only speed.
//!
//! It is kept by account, since whoever looks through a mailbox asks for thousands at once: one look into the cache then
//! serves them all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache as Memory;
use types::{AccountId, MessageId};

/// One thing of each message, by its owner.
pub(crate) struct Kept<T> {
    shelves: Memory<AccountId, Arc<Shelf<T>>>,
    size: fn(&T) -> usize,
    /// Bytes that one account may have.
    most: usize,
}

/// What is kept of one account.
struct Shelf<T>(Mutex<Things<T>>);

struct Things<T> {
    all: HashMap<MessageId, T, RandomState>,
    bytes: usize,
}

/// Whoever looks through a mailbox does it several times in a row.
pub(crate) const IDLE: Duration = Duration::from_secs(10 * 60);
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 96;

impl<T: Clone + Send + Sync + 'static> Kept<T> {
    /// Memory for so many bytes of what is this large.
    pub(crate) fn new(bytes: u64, size: fn(&T) -> usize) -> Self {
        let shelves = Memory::builder()
            .max_capacity(bytes)
            .weigher(|_, shelf: &Arc<Shelf<T>>| {
                u32::try_from(shelf.lock().bytes + ENTRY_BYTES).unwrap_or(u32::MAX)
            })
            .time_to_idle(IDLE)
            // What is asked for often is not told by how often: a look through a mailbox is one question.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { shelves, size, most: usize::try_from(bytes / 4 * 3).unwrap_or(usize::MAX) }
    }

    /// What is there of these messages.
    pub(crate) fn find(&self, account: AccountId, ids: &[MessageId]) -> Found<T> {
        let Some(shelf) = self.shelves.get(&account) else {
            return Found { of_each: vec![None; ids.len()], unknown: ids.to_vec() };
        };
        let things = shelf.lock();
        let of_each: Vec<_> = ids.iter().map(|id| things.all.get(id).cloned()).collect();
        let unknown = ids.iter().zip(&of_each).filter(|(_, found)| found.is_none()).map(|(id, _)| *id);
        Found { unknown: unknown.collect(), of_each }
    }

    /// The same by message, and those of which nothing is there.
    pub(crate) fn known(
        &self,
        account: AccountId,
        ids: &[MessageId],
    ) -> (HashMap<MessageId, T>, Vec<MessageId>) {
        let Found { of_each, unknown } = self.find(account, ids);
        let all = ids.iter().zip(of_each).filter_map(|(id, found)| Some((*id, found?)));
        (all.collect(), unknown)
    }

    /// Keeps these, too. An account that has too much loses every second thing, whichever: so who looks through more than
    /// fits, again and again, still finds a part of it.
    pub(crate) fn keep(&self, account: AccountId, more: impl IntoIterator<Item = (MessageId, T)>) {
        let mut more = more.into_iter().peekable();
        if more.peek().is_none() {
            return;
        }
        let shelf = self.shelves.get_with(account, || Arc::new(Shelf::empty()));
        {
            let mut things = shelf.lock();
            for (id, one) in more {
                let size = (self.size)(&one) + ENTRY_BYTES;
                if size > self.most {
                    continue;
                }
                if things.bytes + size > self.most {
                    things.thin_out(self.size);
                }
                if things.bytes + size > self.most {
                    continue;
                }
                things.bytes += size;
                if let Some(before) = things.all.insert(id, one) {
                    things.bytes -= (self.size)(&before) + ENTRY_BYTES;
                }
            }
        }
        // It has another weight now.
        self.shelves.insert(account, shelf);
    }
}

/// What was in memory.
pub(crate) struct Found<T> {
    /// In the order of the messages that were asked for.
    pub(crate) of_each: Vec<Option<T>>,
    /// Those of which nothing was.
    pub(crate) unknown: Vec<MessageId>,
}

impl<T: Clone> Found<T> {
    /// With what was read of the others, by id.
    pub(crate) fn filled_up(mut self, ids: &[MessageId], read: &[(MessageId, T)]) -> Vec<Option<T>> {
        for (id, found) in ids.iter().zip(&mut self.of_each).filter(|(_, found)| found.is_none()) {
            let place = read.binary_search_by_key(id, |(id, _)| *id).ok();
            *found = place.and_then(|place| read.get(place)).map(|(_, one)| one.clone());
        }
        self.of_each
    }
}

impl<T> Shelf<T> {
    fn empty() -> Self {
        Self(Mutex::new(Things { all: HashMap::default(), bytes: 0 }))
    }

    /// Nothing that is done under the lock can leave it half done.
    fn lock(&self) -> MutexGuard<'_, Things<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Things<T> {
    fn thin_out(&mut self, size: fn(&T) -> usize) {
        let mut stays = false;
        self.all.retain(|_, one| {
            stays = !stays;
            if !stays {
                self.bytes -= size(one) + ENTRY_BYTES;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Timestamp;

    const ALICE: AccountId = AccountId(1);

    fn id(number: u8) -> MessageId {
        MessageId::at(Timestamp::from_millis(1_000), [number; 10])
    }

    #[test]
    fn each_account_finds_its_own() {
        let kept: Kept<Arc<[u8]>> = Kept::new(1 << 20, |bytes| bytes.len());
        kept.keep(ALICE, [(id(1), Arc::from(*b"one")), (id(2), Arc::from(*b"two"))]);
        let found = kept.find(ALICE, &[id(2), id(3), id(1)]).of_each;
        assert_eq!(found, [Some(Arc::from(*b"two")), None, Some(Arc::from(*b"one"))]);
        assert_eq!(kept.find(AccountId(2), &[id(1)]).of_each, [None]);
        let (all, unknown) = kept.known(ALICE, &[id(1), id(4)]);
        assert_eq!((all.len(), unknown), (1, vec![id(4)]));
        kept.keep(ALICE, [(id(1), Arc::from(*b"another"))]);
        assert_eq!(kept.find(ALICE, &[id(1)]).of_each, [Some(Arc::from(*b"another"))]);
    }

    #[test]
    fn no_account_takes_all_the_room() {
        let kept: Kept<Arc<[u8]>> = Kept::new(8_000, |bytes| bytes.len());
        for number in 0..=255 {
            kept.keep(ALICE, [(id(number), Arc::from([number; 100]))]);
            assert!(kept.find(ALICE, &[id(number)]).of_each[0].is_some(), "{number}");
            let shelf = kept.shelves.get(&ALICE).unwrap();
            let things = shelf.lock();
            assert!(things.bytes <= 6_000, "{}", things.bytes);
            assert_eq!(things.bytes, things.all.len() * (100 + ENTRY_BYTES));
        }
        // Who looks through more than fits finds some of it again.
        let all: Vec<_> = (0..45).map(id).collect();
        for _ in 0..3 {
            all.iter().for_each(|id| kept.keep(ALICE, [(*id, Arc::from([0; 100]))]));
        }
        assert!(kept.find(ALICE, &all).of_each.iter().flatten().count() > 8);
        // What is too large for anybody is not kept.
        kept.keep(ALICE, [(id(1), Arc::from([0; 7_000]))]);
        assert!(kept.find(ALICE, &[id(1)]).of_each.iter().flatten().all(|bytes| bytes.len() == 100));
    }
    #[test]
    fn without_memory_nothing_is_kept() {
        let kept: Kept<Arc<[u8]>> = Kept::new(0, |bytes| bytes.len());
        kept.keep(ALICE, [(id(1), Arc::from(*b"one"))]);
        assert_eq!(kept.find(ALICE, &[id(1)]).of_each, [None]);
    }
}
