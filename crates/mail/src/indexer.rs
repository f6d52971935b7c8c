//! The indexer: brings the search index up to the change log, account by account.
//!
//! It is woken by the bus and catches up from the log, so a lost hint costs only time. The index is committed first,
//! the account's mark after it: a crash between the two indexes the same changes again, which changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cluster::FeedHint;
use message::{SearchText, Show};
use search::{Document, Op};
use storage::{Content, Needs, Result as StorageResult, Transaction, Unit};
use tokio_util::sync::CancellationToken;
use types::{AccountId, MessageId, ModSeq, ShardId};

use crate::{Result, Service, body};

/// Accounts looked at in one round.
const ACCOUNTS_AT_ONCE: u32 = 256;
/// Changes of an account in one round.
const CHANGES_AT_ONCE: u32 = 500;
/// New mail is findable after about this long; many mails share one commit of the index.
const GATHER: Duration = Duration::from_millis(400);
/// How often the log is looked at without a hint.
const POLL: Duration = Duration::from_secs(30);

impl Service {
    /// Runs until it is told to stop. Errors are logged and tried again.
    pub async fn run_indexer(&self, stop: CancellationToken) {
        let mut feed = self.parts.bus.subscribe_all();
        let mut behind = true;
        while !stop.is_cancelled() {
            if behind {
                // A failing index must not spin.
                behind = self.index_round().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "indexing failed; trying again");
                    false
                });
                if behind {
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
        while self.index_round().await? {}
        Ok(())
    }

    /// One round over every shard; whether there is more to do.
    async fn index_round(&self) -> Result<bool> {
        let mut more = false;
        for shard in self.parts.shards.all() {
            let accounts = self.parts.shards.snapshot(shard).await?.unindexed(ACCOUNTS_AT_ONCE).await?;
            if accounts.is_empty() {
                continue;
            }
            let mut ops = Vec::new();
            let mut marks = Vec::new();
            for account in accounts {
                let upto = self.gather(account, &mut ops).await?;
                marks.push((account, upto));
                if ops.len() >= CHANGES_AT_ONCE as usize {
                    break;
                }
            }
            let count = ops.len();
            if !ops.is_empty() {
                self.parts.search.apply(ops).await?;
            }
            storage::write(&*self.parts.shards, shard, Mark(marks)).await.map(|((), _)| ())?;
            metrics::counter!("magpie_search_operations_total").increment(count as u64);
            more = true;
        }
        Ok(more)
    }

    /// What the index lacks of an account, as operations; up to where they lead.
    async fn gather(&self, account: AccountId, ops: &mut Vec<Op>) -> Result<ModSeq> {
        let mut snapshot = self.snapshot(account).await?;
        let since = snapshot.account(account).await?.map(|state| state.indexed).unwrap_or_default();
        let changes = snapshot.changes(account, since, CHANGES_AT_ONCE).await?;
        for removed in changes.removed.iter().filter(|removed| removed.expunged) {
            ops.push(Op::Remove { account, id: removed.id });
        }
        // Texts never change: what was there before is indexed already.
        let new: Vec<MessageId> = changes
            .messages
            .iter()
            .filter(|message| message.created > since)
            .map(|message| message.id)
            .collect();
        let mut texts: HashMap<MessageId, Arc<SearchText>> = HashMap::new();
        let mut unknown = Vec::new();
        for id in &new {
            match self.texts.remove(&(account, *id)) {
                Some(text) => drop(texts.insert(*id, text)),
                None => unknown.push(*id),
            }
        }
        for content in snapshot.contents(account, &unknown).await? {
            texts.insert(content.id, Arc::new(self.text(account, content)?));
        }
        for (id, text) in texts.into_iter().collect::<BTreeMap<_, _>>() {
            ops.push(Op::Put { account, id, document: document(&text) });
        }
        Ok(changes.upto)
    }

    /// The texts of a stored message; attachments' bytes are not read.
    pub(crate) fn text(&self, account: AccountId, content: Content) -> Result<SearchText> {
        let structure = message::Structure::decode(&content.structure).map_err(|error| {
            storage::Error::Corrupt(format!("message {} of {account}: {error}", content.id))
        })?;
        let stored = content.body.unpack()?;
        let view = message::view(&structure, &Show::default(), &mut |range| body::inline(&stored, range));
        let field = |names: &[&str]| {
            let wanted = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
            let values =
                view.headers.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value.as_str());
            values.collect::<Vec<_>>().join(" ")
        };
        let filenames: Vec<_> =
            view.attachments.iter().map(|attachment| attachment.filename.as_str()).collect();
        Ok(SearchText {
            subject: field(&["subject"]),
            from: field(&["from"]),
            to: field(&["to", "cc", "bcc"]),
            filenames: filenames.join(" "),
            body: view.text,
        })
    }
}

fn document(text: &SearchText) -> Document {
    Document {
        from: text.from.clone(),
        to: text.to.clone(),
        subject: text.subject.clone(),
        body: text.body.clone(),
        filenames: vec![text.filenames.clone()],
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

/// Marks every account of a shard as not indexed, after the index was lost.
pub(crate) struct Unmark(pub(crate) Vec<AccountId>);

#[async_trait]
impl Unit for Unmark {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: self.0.clone(), ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        for account in &self.0 {
            tx.set_indexed(*account, ModSeq(0)).await?;
        }
        Ok(())
    }
}

impl Service {
    /// Has everything indexed again from the beginning, for an index that is new or was lost.
    pub async fn reindex(&self) -> Result<()> {
        for shard in self.parts.shards.all() {
            self.reindex_shard(shard).await?;
        }
        Ok(())
    }

    async fn reindex_shard(&self, shard: ShardId) -> Result<()> {
        let mut after = None;
        loop {
            let accounts = self.parts.shards.snapshot(shard).await?.accounts(after, ACCOUNTS_AT_ONCE).await?;
            let Some(last) = accounts.last() else { return Ok(()) };
            after = Some(last.id);
            let ids = accounts.iter().map(|state| state.id).collect();
            storage::write(&*self.parts.shards, shard, Unmark(ids)).await.map(|((), _)| ())?;
        }
    }
}
