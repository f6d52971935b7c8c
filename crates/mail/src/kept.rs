//! What never changes of a message and is asked for again and again, in memory. Only speed.

use std::collections::HashMap;
use std::time::Duration;

use moka::sync::Cache as Memory;
use types::{AccountId, MessageId};

/// One thing of each message, by its owner.
pub(crate) type Kept<T> = Memory<(AccountId, MessageId), T>;

/// Whoever looks through a mailbox does it several times in a row.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// What an entry takes beside its bytes.
const ENTRY_BYTES: usize = 160;

/// Memory for so many bytes of what is this large.
pub(crate) fn keep<T>(bytes: u64, size: impl Fn(&T) -> usize + Send + Sync + 'static) -> Kept<T>
where
    T: Clone + Send + Sync + 'static,
{
    Memory::builder()
        .max_capacity(bytes)
        .weigher(move |_, one: &T| u32::try_from(size(one) + ENTRY_BYTES).unwrap_or(u32::MAX))
        .time_to_idle(IDLE)
        .build()
}

/// What is there of these messages of the account, and those of which nothing is.
pub(crate) fn known<T>(
    kept: &Kept<T>,
    account: AccountId,
    ids: &[MessageId],
) -> (HashMap<MessageId, T>, Vec<MessageId>)
where
    T: Clone + Send + Sync + 'static,
{
    let (mut all, mut unknown) = (HashMap::with_capacity(ids.len()), Vec::new());
    for id in ids {
        match kept.get(&(account, *id)) {
            Some(one) => {
                all.insert(*id, one);
            }
            None => unknown.push(*id),
        }
    }
    (all, unknown)
}
