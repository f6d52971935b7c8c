//! The indexer: brings the search index up to the change log, account by account.
//!
//! **Invariant:** an account's mark on its shard is a modseq up to which everything that was created is in the index. Nothing
//! is marked while the log goes on behind the piece that was read: what was created early and changed late comes late.
//! How far such an account is in the log is known to this indexer alone, and another begins at the mark.
//!
//! It is woken by the bus and catches up from the log, so a lost hint costs only time. The index is committed first,
//! the account's mark after it: a crash between the two indexes the same changes again, which changes nothing.
//!
//! Beside a node there are commands, which no bus reaches it from. Where a shard tells that somebody has committed to it
//! ([`storage::Shards::stamp`]), that is looked at every second, and what is not indexed then is what was changed: so the
//! indexer tells those who listen on this node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster::FeedHint;
use message::SearchText;
use search::Op;
use storage::{AccountState, Committed, Content, Needs, Result as StorageResult, Stamp, Transaction, Unit};
use tokio_util::sync::CancellationToken;
use types::{AccountId, MessageId, ModSeq, ShardId};

use crate::{
    Result, Service,
    text::{document, pieces},
};

/// Accounts looked at in one round.
pub(crate) const ACCOUNTS_AT_ONCE: u32 = 256;
/// Changes of an account in one round.
const CHANGES_AT_ONCE: u32 = 200;
/// Texts, and operations, in one commit of the index, at about the most.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_OPS: usize = 1_000;
/// New mail is findable after about this long; many mails share one commit of the index.
const GATHER: Duration = Duration::from_millis(400);
/// How often the log is looked at without a hint.
const POLL: Duration = Duration::from_secs(30);
/// How often shards are looked at that tell whether anything was committed.
const LISTEN: Duration = Duration::from_secs(1);

impl Service {
    /// Follows the shards that are mine until it is told to stop. Errors are logged and tried again.
    pub async fn run_indexer(&self, mine: Mine, stop: CancellationToken) {
        let mut feed = self.parts.bus.subscribe_all();
        let (mut rounds, mut stamps) = (Rounds::default(), Stamps::new());
        let mut behind = true;
        while !stop.is_cancelled() {
            if behind {
                // A failing index must not spin.
                behind = self.index_round(&mut rounds, &mine).await.unwrap_or_else(|error| {
                    let cause = &error as &(dyn std::error::Error + 'static);
                    tracing::warn!(error = cause, "indexing failed; trying again");
                    false
                });
                if behind {
                    // What gathers meanwhile shares a commit.
                    let _ = tokio::time::timeout(GATHER, stop.cancelled()).await;
                    continue;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                hint = feed.next() => tracing::trace!(?hint, "woken"),
                () = self.committed(&mut stamps, &mine) => {}
                () = tokio::time::sleep(POLL) => {}
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(GATHER) => {}
            }
            while let Some(FeedHint::Changed { .. } | FeedHint::Lagged) = feed.ready() {}
            behind = true;
        }
    }

    /// Waits until something was committed, by whomever, to one of the shards that tell it.
    async fn committed(&self, stamps: &mut Stamps, mine: &Mine) {
        let shards = &self.parts.shards;
        loop {
            tokio::time::sleep(LISTEN).await;
            let mut is_new = false;
            for shard in shards.all().into_iter().filter(|shard| mine(*shard)) {
                if let Some(stamp) = shards.stamp(shard) {
                    is_new |= stamps.get(&shard) != Some(&stamp);
                    stamps.insert(shard, stamp);
                }
            }
            if is_new {
                return;
            }
        }
    }

    /// Indexes what has changed so far, all of it.
    pub async fn index_all(&self) -> Result<()> {
        let (mut rounds, mine) = (Rounds::default(), everything());
        while self.index_round(&mut rounds, &mine).await? {}
        Ok(())
    }

    /// One round over every shard, going on after the accounts of the last one, so that busy accounts never keep
    /// others waiting; whether there is more to do.
    async fn index_round(&self, rounds: &mut Rounds, mine: &Mine) -> Result<bool> {
        let (mut more, mut failed) = (false, None);
        for shard in self.parts.shards.all().into_iter().filter(|shard| mine(*shard)) {
            match self.index_shard(shard, rounds).await {
                Ok(goes_on) => more |= goes_on,
                // Those on other shards must not notice.
                Err(error) => {
                    tracing::debug!(%shard, %error, "a shard cannot be indexed now");
                    failed = Some(error);
                }
            }
        }
        failed.filter(|_| !more).map_or(Ok(more), Err)
    }

    async fn index_shard(&self, shard: ShardId, rounds: &mut Rounds) -> Result<bool> {
        let after = rounds.after.get(&shard).copied();
        let accounts = self.parts.shards.latest(shard).await?.unindexed(after, ACCOUNTS_AT_ONCE).await?;
        if accounts.is_empty() {
            // The last ones were seen; there may be news of the first.
            return Ok(rounds.after.remove(&shard).is_some());
        }
        let mut batch = Batch::new(InUse(self));
        let (mut gathered, mut waits) = (Vec::new(), None);
        for account in accounts {
            // Should it fail, the next round begins behind it.
            rounds.after.insert(shard, account);
            match self.gather_all(shard, account, rounds, &mut batch).await? {
                Ok(reached) => gathered.push((account, reached)),
                // All others must not wait for the store of its files.
                Err(error) => {
                    tracing::debug!(%account, %error, "cannot be indexed now");
                    waits = Some(error);
                }
            }
            if batch.was_full {
                break;
            }
        }
        if self.parts.shards.stamp(shard).is_some() {
            // Whoever has heard of it already is told nothing.
            let accounts = gathered.iter().map(|(account, reached)| (*account, reached.upto)).collect();
            self.parts.bus.publish(&Committed::hint(shard, accounts, false));
        }
        batch.write().await?;
        // Also if not all of them can be marked.
        gathered.iter().for_each(|(account, reached)| rounds.note(*account, *reached));
        if let Some(error) = waits.filter(|_| gathered.is_empty()) {
            return Err(error);
        }
        let whole = gathered.iter().filter(|(_, reached)| reached.is_whole());
        let marks: Vec<_> = whole.map(|(account, reached)| (*account, reached.upto)).collect();
        if !marks.is_empty() {
            storage::write(&*self.parts.shards, shard, Mark(marks)).await.map(|((), _)| ())?;
        }
        for (account, _) in gathered {
            if let Err(error) = self.keep_listings(shard, account).await {
                tracing::debug!(%account, %error, "listings could not be kept");
            }
        }
        Ok(true)
    }

    /// Gathers all that the index lacks of an account, or a batch of it.
    async fn gather_all(
        &self,
        shard: ShardId,
        account: AccountId,
        rounds: &Rounds,
        batch: &mut Batch<InUse<'_>>,
    ) -> Result<Gathered> {
        let mut reached = self.gather(shard, account, |state| rounds.reached(state), batch).await?;
        while let Ok(before) = reached
            && !before.is_whole()
            && !batch.was_full
        {
            reached = self.gather(shard, account, |_| before, batch).await?;
        }
        Ok(reached)
    }

    /// What an index lacks of an account, as operations, and how far it is with them. By the account's mark `begin` tells
    /// how far it is already. What of them is more than a batch is written at once, before anything is marked.
    pub(crate) async fn gather<W: WriteOps>(
        &self,
        shard: ShardId,
        account: AccountId,
        begin: impl FnOnce(&AccountState) -> Reached,
        batch: &mut Batch<W>,
    ) -> Result<Gathered> {
        // Not where the map says that it lives: what is marked there must be of there.
        let mut snapshot = self.parts.shards.snapshot(shard).await?;
        let Some(state) = snapshot.account(account).await? else { return Ok(Ok(Reached::default())) };
        let Reached { whole, upto: since } = begin(&state);
        let changes = snapshot.changes(account, since, CHANGES_AT_ONCE).await?;
        // Blobs may take long, and bodies never change: what is read now is what there was.
        drop(snapshot);
        for removed in changes.removed.iter().filter(|removed| removed.expunged) {
            batch.put(Op::Remove { account, id: removed.id }, 0).await?;
        }
        let mut unknown = Vec::new();
        // Texts never change: what was created before is indexed already.
        for message in changes.messages.iter().filter(|message| message.created > whole) {
            match self.texts.remove(&(account, message.id)) {
                Some(text) => batch.put_text(account, message.id, Arc::unwrap_or_clone(text)).await?,
                None => unknown.push((message.id, message.size_bytes)),
            }
        }
        for ids in pieces(&unknown) {
            for content in self.readable(shard, account, &ids).await? {
                let id = content.id;
                match self.text(account, content, |text| text).await {
                    Ok((text, _)) => batch.put_text(account, id, text).await?,
                    Err(error) if error.is_temporary() => return Ok(Err(error)),
                    Err(error) => cannot_be_indexed(account, id, &error),
                }
            }
        }
        let whole = if changes.more { whole } else { changes.upto };
        Ok(Ok(Reached { whole, upto: changes.upto }))
    }

    /// The contents of those of the messages that are not damaged.
    async fn readable(&self, shard: ShardId, account: AccountId, ids: &[MessageId]) -> Result<Vec<Content>> {
        let mut latest = self.parts.shards.latest(shard).await?;
        match latest.contents(account, ids).await {
            Err(storage::Error::Corrupt(_)) => {}
            outcome => return Ok(outcome?),
        }
        let mut readable = Vec::with_capacity(ids.len());
        for id in ids {
            match latest.contents(account, &[*id]).await {
                Ok(content) => readable.extend(content),
                Err(error @ storage::Error::Corrupt(_)) => cannot_be_indexed(account, *id, &error.into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(readable)
    }
}

/// One damaged mail must not keep all others from being found.
fn cannot_be_indexed(account: AccountId, message: MessageId, error: &crate::Error) {
    tracing::error!(%account, %message, %error, "cannot be indexed");
}

/// How far an index is with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reached {
    /// Everything that was created up to here is in the index.
    pub(crate) whole: ModSeq,
    /// The log was read up to here. What is in it later may have been created earlier.
    pub(crate) upto: ModSeq,
}

impl Reached {
    /// Whether the log had been read to its end.
    pub(crate) fn is_whole(self) -> bool {
        self.whole == self.upto
    }
}

/// How far an account was gathered; or why some of its mail cannot be read now, when that of others may.
pub(crate) type Gathered = Result<Reached>;

/// Which shards are for this worker to index: each is for one of the workers at most times. Two at once only do it
/// twice.
pub type Mine = Arc<dyn Fn(ShardId) -> bool + Send + Sync>;

/// Of a worker alone.
#[must_use]
pub fn everything() -> Mine {
    Arc::new(|_| true)
}

/// Where rounds go on.
#[derive(Default)]
struct Rounds {
    /// The account that the last one ended with, for each shard.
    after: HashMap<ShardId, AccountId>,
    /// Accounts that have more changes than one round takes.
    reached: HashMap<AccountId, Reached>,
}

impl Rounds {
    /// Where to go on with an account: where the last round ended, if its mark is not from before that, and it was not
    /// restored since.
    fn reached(&self, state: &AccountState) -> Reached {
        let mark = state.indexed;
        let known = self.reached.get(&state.id).filter(|reached| reached.upto >= state.forgotten);
        match known {
            Some(known) if known.whole == mark => *known,
            // Another indexer was faster. What it was slower with comes again.
            Some(known) if known.whole < mark => Reached { whole: mark, upto: known.upto.min(mark) },
            _ => Reached { whole: mark, upto: mark },
        }
    }

    fn note(&mut self, account: AccountId, reached: Reached) {
        if reached.is_whole() {
            self.reached.remove(&account);
        } else {
            self.reached.insert(account, reached);
        }
    }
}

/// What each shard told last.
type Stamps = HashMap<ShardId, Stamp>;

/// An index that takes operations.
#[async_trait]
pub(crate) trait WriteOps: Send {
    /// By one commit.
    async fn write(&mut self, ops: Vec<Op>) -> Result<()>;
}

/// The index that is searched.
struct InUse<'s>(&'s Service);

#[async_trait]
impl WriteOps for InUse<'_> {
    async fn write(&mut self, ops: Vec<Op>) -> Result<()> {
        metrics::counter!("magpie_search_operations_total").increment(ops.len() as u64);
        Ok(self.0.parts.search.apply(ops).await?)
    }
}

/// What is written to an index together. It never grows beyond what is written at once.
pub(crate) struct Batch<W> {
    ops: Vec<Op>,
    bytes: usize,
    index: W,
    /// Whether there was more than is written at once.
    was_full: bool,
}

impl<W: WriteOps> Batch<W> {
    pub(crate) const fn new(index: W) -> Self {
        Self { ops: Vec::new(), bytes: 0, index, was_full: false }
    }

    async fn put(&mut self, op: Op, bytes: usize) -> Result<()> {
        self.ops.push(op);
        self.bytes += bytes;
        if self.bytes >= BATCH_BYTES || self.ops.len() >= BATCH_OPS {
            self.was_full = true;
            self.write().await?;
        }
        Ok(())
    }

    async fn put_text(&mut self, account: AccountId, id: MessageId, text: SearchText) -> Result<()> {
        let bytes = text.body.len();
        self.put(Op::Put { account, id, document: document(text) }, bytes).await
    }

    /// Writes what there is.
    pub(crate) async fn write(&mut self) -> Result<()> {
        self.bytes = 0;
        let ops = std::mem::take(&mut self.ops);
        if ops.is_empty() { Ok(()) } else { self.index.write(ops).await }
    }
}

/// Notes how far the index is.
struct Mark(Vec<(AccountId, ModSeq)>);

#[async_trait]
impl Unit for Mark {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: self.0.iter().map(|(account, _)| *account).collect(), ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        for (account, modseq) in &self.0 {
            tx.set_indexed(*account, *modseq).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_on_where_the_last_one_ended() {
        let reached = |whole, upto| Reached { whole: ModSeq(whole), upto: ModSeq(upto) };
        let state = |indexed, forgotten| AccountState {
            id: AccountId(1),
            modseq: ModSeq(50),
            indexed: ModSeq(indexed),
            forgotten: ModSeq(forgotten),
            messages: 0,
            used_bytes: 0,
        };
        let mut rounds = Rounds::default();
        assert_eq!(rounds.reached(&state(5, 0)), reached(5, 5));
        rounds.note(state(0, 0).id, reached(5, 30));
        assert_eq!(rounds.reached(&state(5, 0)), reached(5, 30));
        // Marked by others.
        assert_eq!(rounds.reached(&state(20, 0)), reached(20, 20));
        assert_eq!(rounds.reached(&state(40, 0)), reached(40, 30));
        // The index was lost; the account was restored.
        assert_eq!(rounds.reached(&state(0, 0)), reached(0, 0));
        assert_eq!(rounds.reached(&state(5, 31)), reached(5, 5));
        rounds.note(state(0, 0).id, reached(40, 40));
        assert_eq!(rounds.reached(&state(5, 0)), reached(5, 5));
    }

    #[derive(Default)]
    struct Counts(Vec<usize>);

    #[async_trait]
    impl WriteOps for Counts {
        async fn write(&mut self, ops: Vec<Op>) -> Result<()> {
            self.0.push(ops.len());
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_batch_never_grows_beyond_what_is_written_at_once() {
        let (account, id) = (AccountId(1), MessageId(uuid::Uuid::nil()));
        let mut batch = Batch::new(Counts::default());
        for _ in 0..2_500 {
            batch.put(Op::Remove { account, id }, 0).await.unwrap();
        }
        batch.write().await.unwrap();
        assert!(batch.was_full);
        let text = SearchText { body: "x".repeat(3 << 20), ..SearchText::default() };
        for _ in 0..5 {
            batch.put_text(account, id, text.clone()).await.unwrap();
        }
        batch.write().await.unwrap();
        batch.write().await.unwrap();
        assert_eq!(batch.index.0, [1_000, 1_000, 500, 3, 2]);
    }
}
