//! The indexer: brings the search index up to the change log, account by account.
//!
//! It is woken by the bus and catches up from the log, so a lost hint costs only time. The index is committed first,
//! the account's mark after it: a crash between the two indexes the same changes again, which changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster::FeedHint;
use message::SearchText;
use search::{Document, Op};
use storage::{Content, Needs, Result as StorageResult, Transaction, Unit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::{AccountId, MessageId, ModSeq, ShardId};

use crate::{Result, Service, body};

/// Accounts looked at in one round.
pub(crate) const ACCOUNTS_AT_ONCE: u32 = 256;
/// Changes of an account in one round.
const CHANGES_AT_ONCE: u32 = 200;
/// Texts in one commit of the index, at about the most.
pub(crate) const BATCH_BYTES: usize = 8 << 20;
/// Bodies that are in memory at the same time.
const BODIES_AT_ONCE: usize = 20;
/// New mail is findable after about this long; many mails share one commit of the index.
const GATHER: Duration = Duration::from_millis(400);
/// How often the log is looked at without a hint.
const POLL: Duration = Duration::from_secs(30);

impl Service {
    /// Follows the shards that are mine until it is told to stop. Errors are logged and tried again.
    pub async fn run_indexer(&self, mine: Mine, stop: CancellationToken) {
        let mut feed = self.parts.bus.subscribe_all();
        let mut rounds = Rounds::new();
        let mut behind = true;
        while !stop.is_cancelled() {
            if behind {
                let begin = Instant::now();
                // A failing index must not spin.
                behind = self.index_round(&mut rounds, &mine).await.unwrap_or_else(|error| {
                    let cause = &error as &(dyn std::error::Error + 'static);
                    tracing::warn!(error = cause, "indexing failed; trying again");
                    false
                });
                if behind {
                    // Half of the time at the most goes into the index: mail that comes in is more urgent, and what
                    // gathers meanwhile shares a commit.
                    let pause = begin.elapsed().max(GATHER);
                    let _ = tokio::time::timeout(pause, stop.cancelled()).await;
                    continue;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                hint = feed.next() => tracing::trace!(?hint, "woken"),
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

    /// Indexes what has changed so far, all of it.
    pub async fn index_all(&self) -> Result<()> {
        let (mut rounds, mine) = (Rounds::new(), everything());
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
        let after = rounds.get(&shard).copied();
        let accounts = self.parts.shards.latest(shard).await?.unindexed(after, ACCOUNTS_AT_ONCE).await?;
        if accounts.is_empty() {
            // The last ones were seen; there may be news of the first.
            return Ok(rounds.remove(&shard).is_some());
        }
        let mut batch = Batch::default();
        let mut marks = Vec::new();
        for account in accounts {
            marks.push((account, self.gather(shard, account, None, &mut batch).await?));
            rounds.insert(shard, account);
            if batch.bytes >= BATCH_BYTES {
                break;
            }
        }
        metrics::counter!("magpie_search_operations_total").increment(batch.ops.len() as u64);
        if !batch.ops.is_empty() {
            self.parts.search.apply(batch.ops).await?;
        }
        storage::write(&*self.parts.shards, shard, Mark(marks)).await.map(|((), _)| ())?;
        Ok(true)
    }

    /// What an index lacks of an account that has its changes up to `since`, or to the account's mark, as operations;
    /// up to where they lead.
    pub(crate) async fn gather(
        &self,
        shard: ShardId,
        account: AccountId,
        since: Option<ModSeq>,
        batch: &mut Batch,
    ) -> Result<ModSeq> {
        // Not where the map says that it lives: what is marked there must be of there.
        let mut snapshot = self.parts.shards.snapshot(shard).await?;
        let since = match since {
            Some(since) => since,
            None => snapshot.account(account).await?.map(|state| state.indexed).unwrap_or_default(),
        };
        let changes = snapshot.changes(account, since, CHANGES_AT_ONCE).await?;
        for removed in changes.removed.iter().filter(|removed| removed.expunged) {
            batch.ops.push(Op::Remove { account, id: removed.id });
        }
        let mut unknown = Vec::new();
        // Texts never change: what was there before is indexed already.
        for message in changes.messages.iter().filter(|message| message.created > since) {
            match self.texts.remove(&(account, message.id)) {
                Some(text) => batch.put(account, message.id, &text),
                None => unknown.push(message.id),
            }
        }
        for ids in unknown.chunks(BODIES_AT_ONCE) {
            for content in snapshot.contents(account, ids).await? {
                let id = content.id;
                match text(account, content) {
                    Ok(text) => batch.put(account, id, &text),
                    // One damaged mail must not keep all others from being found.
                    Err(error) => tracing::error!(%account, message = %id, %error, "cannot be indexed"),
                }
            }
        }
        Ok(changes.upto)
    }
}

/// Which shards are for this worker to index: each is for one of the workers at most times. Two at once only do it
/// twice.
pub type Mine = Arc<dyn Fn(ShardId) -> bool + Send + Sync>;

/// Of a worker alone.
#[must_use]
pub fn everything() -> Mine {
    Arc::new(|_| true)
}

/// The account that the last round ended with, for each shard.
type Rounds = HashMap<ShardId, AccountId>;

/// What a round writes to the index.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) ops: Vec<Op>,
    pub(crate) bytes: usize,
}

impl Batch {
    fn put(&mut self, account: AccountId, id: MessageId, text: &SearchText) {
        self.bytes += text.body.len();
        self.ops.push(Op::Put { account, id, document: document(text) });
    }
}

/// The texts as the index takes them.
pub(crate) fn document(text: &SearchText) -> Document {
    Document {
        from: text.from.clone(),
        to: text.to.clone(),
        subject: text.subject.clone(),
        body: text.body.clone(),
        filenames: vec![text.filenames.clone()],
    }
}

/// The texts of a stored message; attachments' bytes are not read.
pub(crate) fn text(account: AccountId, content: Content) -> Result<SearchText> {
    let structure = message::Structure::decode(&content.structure)
        .map_err(|error| storage::Error::Corrupt(format!("message {} of {account}: {error}", content.id)))?;
    let stored = content.body.unpack()?;
    Ok(message::search_text(&structure, &mut |range| body::inline(&stored, range)))
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
