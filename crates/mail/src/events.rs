//! What changed: for live updates and catching up.

use std::collections::HashSet;

use cluster::Subscription;
use types::{Bucket, MessageId, ModSeq, api};

use crate::{Access, Result, convert};

/// What changed after a modseq.
#[derive(Debug, Clone)]
pub struct Changes {
    pub change: api::Change,
    /// Whether there is more after `change.modseq`.
    pub more: bool,
    /// Too far behind: what was removed is not known any more; load everything anew.
    pub reset: bool,
}

/// Messages in one answer.
const AT_ONCE: u32 = 200;

impl Access {
    /// The account's last change.
    pub async fn modseq(&self) -> Result<ModSeq> {
        let state = self.state().await?;
        Ok(state.map(|state| state.modseq).unwrap_or_default())
    }

    /// Hints that something changed; take one before reading, and nothing is missed.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.service.parts.bus.subscribe(self.id)
    }

    /// What changed after `since`, as it is now.
    pub async fn changes(&self, since: ModSeq) -> Result<Changes> {
        let shard = self.shard();
        let mut snapshot = self.service.parts.shards.snapshot(shard).await?;
        let mut state = snapshot.account(self.id).await?;
        // Somebody was told of more than there is here, or that there is something.
        if state.is_none_or(|state| state.modseq <= since)
            && snapshot.fenced(Bucket::of(self.id)).await?.is_some()
        {
            drop(snapshot);
            let home = self.service.moved(self.id, shard).await?.unwrap_or(shard);
            snapshot = self.service.parts.shards.snapshot(home).await?;
            state = snapshot.account(self.id).await?;
        }
        let (modseq, forgotten) = state.map(|state| (state.modseq, state.forgotten)).unwrap_or_default();
        if since < forgotten || since > modseq {
            let change = api::Change { modseq: modseq.0, ..api::Change::default() };
            return Ok(Changes { change, more: false, reset: true });
        }
        let changes = snapshot.changes(self.id, since, AT_ONCE).await?;
        let (created, updated): (Vec<_>, Vec<_>) =
            changes.messages.into_iter().partition(|message| message.created > since);
        let removed: HashSet<MessageId> =
            changes.removed.iter().filter(|removed| removed.expunged).map(|removed| removed.id).collect();
        let change = api::Change {
            modseq: changes.upto.0,
            created: created.into_iter().map(convert::summary).collect(),
            updated: updated.into_iter().map(convert::summary).collect(),
            removed: removed.into_iter().collect(),
            folders: changes.mailboxes.into_iter().map(convert::folder).collect(),
            removed_folders: changes.removed_mailboxes,
        };
        Ok(Changes { change, more: changes.more, reset: false })
    }
}
