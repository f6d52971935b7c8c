//! The messages of a mailbox as mail programs list them: in memory, shared by all who look at it on this node, and
//! brought up to date by what has changed.
//!
//! **Invariant:** a list has exactly what was in its mailbox when that had this modseq. What a unit did is taken into it
//! only if the unit found the mailbox so, and the list then is as the unit left it. What is kept on the shard was read
//! there, never taken from memory alone: it outlives this node.

use std::{mem::size_of, sync::Arc};

use async_trait::async_trait;
use moka::sync::Cache as Memory;
use storage::{Listed, Listing, Mailbox, Needs, Result as StorageResult, Snapshot, Stamp, Transaction, Unit};
use types::{AccountId, MailboxId, ModSeq, Sequence, ShardId, Uid};

use crate::kept::IDLE;
use crate::{Access, Result, Service};

/// A mailbox and everything in it, as of its modseq.
#[derive(Debug, Clone)]
pub struct Roll {
    pub mailbox: Mailbox,
    /// In order of their UIDs.
    pub messages: Sequence<Listed>,
}

/// Lists that were asked for lately. Only speed.
pub(crate) type Rolls = Memory<(AccountId, MailboxId), Seen>;

/// What was read, and the shard as it was before; or what a unit left, and the shard after it alone.
#[derive(Clone)]
pub(crate) struct Seen {
    roll: Arc<Roll>,
    stamp: Option<Stamp>,
}

const ROLLS_KIB: u64 = 256 << 10;

pub(crate) fn rolls() -> Rolls {
    let weight = |_: &_, seen: &Seen| {
        let messages = &seen.roll.messages;
        let words = messages.digests().flat_map(|digest| &digest.keywords).flat_map(|set| &**set);
        let words: usize = words.map(|word| size_of::<String>() + word.len()).sum();
        let bytes = messages.len().saturating_mul(size_of::<Listed>()).saturating_add(words);
        u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1)
    };
    Memory::builder().max_capacity(ROLLS_KIB).weigher(weight).time_to_idle(IDLE).build()
}

impl Access {
    /// The mailbox as it is now; `None` if there is no such mailbox. One small query where it has not changed, and none
    /// where nothing on its shard has, if the shard can tell.
    pub async fn roll(&self, mailbox: MailboxId) -> Result<Option<Arc<Roll>>> {
        let rolls = &self.service.rolls;
        let key = (self.id, mailbox);
        // Before anything is read.
        let stamp = self.service.stamp(self.id);
        let known = rolls.get(&key);
        if let Some(seen) = &known {
            if stamp.is_some() && seen.stamp == stamp {
                return Ok(Some(Arc::clone(&seen.roll)));
            }
            let account = self.id;
            let look = |mut shard: Box<dyn Snapshot>| async move { shard.mailbox(account, mailbox).await };
            match self.service.look(account, look).await? {
                Some(now) if now == seen.roll.mailbox => {
                    let is_same = |there: &Seen| Arc::ptr_eq(&there.roll, &seen.roll);
                    if stamp.is_some() && rolls.get(&key).is_some_and(|there| is_same(&there)) {
                        rolls.insert(key, Seen { roll: Arc::clone(&seen.roll), stamp });
                    }
                    return Ok(Some(Arc::clone(&seen.roll)));
                }
                Some(_) => {}
                None => {
                    rolls.invalidate(&key);
                    return Ok(None);
                }
            }
        }
        let mut snapshot = self.service.snapshot(self.id).await?;
        let known = known.map(|seen| seen.roll);
        let Some(read) = read(self.id, mailbox, known.as_deref(), &mut *snapshot).await? else {
            return Ok(None);
        };
        let roll = Arc::new(read.roll);
        if let Some(how) = read.keep {
            self.service.keep_later(Keep { roll: Arc::clone(&roll), as_of: read.as_of, how });
        }
        self.service.remember_list(known.as_deref(), &roll, stamp);
        Ok(Some(roll))
    }

    /// The list in memory, which may be one of before.
    pub(crate) fn known_roll(&self, mailbox: MailboxId) -> Option<Arc<Roll>> {
        self.service.rolls.get(&(self.id, mailbox)).map(|seen| seen.roll)
    }

    /// Takes into the list what a unit changed, added and removed (in order of UIDs), so that it need not be read. Nothing
    /// happens if the list is not what the unit found. `stamp` is that of its transaction, where the unit was alone in it.
    pub(crate) fn follow(&self, step: Step, news: Vec<Listed>, removed: &[Uid], stamp: Option<Stamp>) {
        let Step { before: Some(before), after: Some(after) } = step else { return };
        let (rolls, key) = (&self.service.rolls, (self.id, before.id));
        let Some(known) = self.known_roll(before.id) else { return };
        if known.mailbox != before || before == after {
            return;
        }
        let roll = Arc::new(Roll { mailbox: after, messages: known.messages.with(news, removed) });
        if rolls.get(&key).is_some_and(|there| Arc::ptr_eq(&there.roll, &known)) {
            rolls.insert(key, Seen { roll, stamp });
        }
    }

    /// UIDs that have left the mailbox after `since`; `None` if that is not known any more.
    pub async fn vanished(&self, mailbox: MailboxId, since: ModSeq) -> Result<Option<Vec<Uid>>> {
        if since.0 <= 0 {
            return Ok(None);
        }
        let listing = self.service.snapshot(self.id).await?.listing(self.id, mailbox, since).await?;
        let known = listing.filter(|listing| since >= listing.forgotten);
        Ok(known.map(|listing| listing.removed.into_iter().map(|(uid, _)| uid).collect()))
    }
}

impl Service {
    /// Keeps the listing on the shard for whoever asks next, while nobody waits for it.
    fn keep_later(&self, unit: Keep) {
        let (service, account) = (self.clone(), unit.roll.mailbox.account);
        self.spawn(async move {
            if let Err(error) = service.write(service.shard_of(account), unit).await {
                tracing::debug!(%account, %error, "a listing could not be kept");
            }
        });
    }

    /// Has the list in memory that was read after `known` was found there. Another may have been faster, and have read what
    /// is newer; a mailbox that was restored begins anew.
    fn remember_list(&self, known: Option<&Roll>, roll: &Arc<Roll>, stamp: Option<Stamp>) {
        let key = (roll.mailbox.account, roll.mailbox.id);
        // What was known cannot be newer than what was read then, unless it is of another history.
        if known.is_some_and(|known| known.mailbox.modseq > roll.mailbox.modseq) {
            self.rolls.invalidate(&key);
        }
        let is_older = |there: &Roll| {
            there.mailbox.modseq <= roll.mailbox.modseq
                || there.mailbox.uid_validity < roll.mailbox.uid_validity
        };
        if self.rolls.get(&key).is_none_or(|there| is_older(&there.roll)) {
            self.rolls.insert(key, Seen { roll: Arc::clone(roll), stamp });
        }
    }

    /// Keeps the listings of mailboxes to which much was added, before anybody asks for them, and has them in memory.
    pub(crate) async fn keep_listings(&self, shard: ShardId, account: AccountId) -> Result<()> {
        let outgrown = self.parts.shards.latest(shard).await?.outgrown(account).await?;
        for mailbox in outgrown {
            let known = self.rolls.get(&(account, mailbox)).map(|seen| seen.roll);
            let mut snapshot = self.parts.shards.snapshot(shard).await?;
            let read = read(account, mailbox, None, &mut *snapshot).await?;
            drop(snapshot);
            if let Some(Read { roll, as_of, keep }) = read {
                let (roll, how) = (Arc::new(roll), keep.unwrap_or(storage::Keep::Changes));
                self.remember_list(known.as_deref(), &roll, None);
                self.write(shard, Keep { roll, as_of, how }).await?;
            }
        }
        Ok(())
    }
}

/// A mailbox as a unit found it, and as it left it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) before: Option<Mailbox>,
    pub(crate) after: Option<Mailbox>,
}

struct Keep {
    roll: Arc<Roll>,
    as_of: ModSeq,
    how: storage::Keep,
}

#[async_trait]
impl Unit for Keep {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.roll.mailbox.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.keep_listing(&self.roll.mailbox, &self.roll.messages, self.as_of, self.how).await
    }
}

/// A listing that was read, and whether it should be kept.
struct Read {
    roll: Roll,
    as_of: ModSeq,
    keep: Option<storage::Keep>,
}

async fn read(
    account: AccountId,
    mailbox: MailboxId,
    known: Option<&Roll>,
    snapshot: &mut dyn Snapshot,
) -> Result<Option<Read>> {
    let since = known.map(|roll| roll.mailbox.modseq).unwrap_or_default();
    let Some(mut listing) = snapshot.listing(account, mailbox, since).await? else { return Ok(None) };
    if let Some(known) = known {
        // After a restore everything before is forgotten, and what is later than the mailbox was in another history.
        let is_of_now = (listing.forgotten..=listing.mailbox.modseq).contains(&since);
        if is_of_now && known.mailbox.uid_validity == listing.mailbox.uid_validity {
            let (as_of, keep) = (listing.as_of, listing.keep);
            return Ok(Some(Read { roll: whole(listing.over(&known.messages)), as_of, keep }));
        }
        let Some(anew) = snapshot.listing(account, mailbox, ModSeq(0)).await? else { return Ok(None) };
        listing = anew;
    }
    let (as_of, keep) = (listing.as_of, listing.keep);
    Ok(Some(Read { roll: whole(listing), as_of, keep }))
}

fn whole(listing: Listing) -> Roll {
    let Listing { mailbox, messages, .. } = listing;
    Roll { mailbox, messages }
}
