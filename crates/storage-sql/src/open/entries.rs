//! Entries of the queue in memory: read for a whole batch at once, changed there, and written with everything else.

use sea_orm::prelude::Uuid;
use storage::Result;
use types::{AccountId, QueueId};

use super::Open;
use crate::read::queue::{self, Found};

impl Open {
    /// The entry as it is now, to be changed: nobody else changes it until the commit.
    pub(crate) async fn entry(&mut self, account: AccountId, id: QueueId) -> Result<Option<Found>> {
        self.hold(account).await?;
        let key = (account.0, id.0);
        if !self.entries.contains_key(&key) {
            self.flush().await?;
            self.look_up_entries(vec![key]).await?;
        }
        Ok(self.entries.get(&key).cloned().flatten())
    }

    /// Reads entries that are not known yet.
    pub(super) async fn look_up_entries(&mut self, mut keys: Vec<(i64, Uuid)>) -> Result<()> {
        keys.retain(|key| !self.entries.contains_key(key));
        if keys.is_empty() {
            return Ok(());
        }
        let found = queue::entries_to_change(&self.conn, &keys).await?;
        self.entries.extend(keys.into_iter().map(|key| (key, None)));
        self.note_entries(&found);
        Ok(())
    }

    /// Notes entries as they are in the database.
    pub(crate) fn note_entries(&mut self, found: &[Found]) {
        self.entries.extend(found.iter().map(|entry| (entry.key(), Some(entry.clone()))));
    }

    /// An entry of this key is about to be added: one that was there must be gone by then.
    pub(crate) async fn make_way(&mut self, key: (i64, Uuid)) -> Result<()> {
        if self.waiting.gone_entries.contains(&key) {
            self.flush().await?;
        }
        self.entries.remove(&key);
        Ok(())
    }

    pub(crate) fn forget_entries(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn change_entry(&mut self, found: Found) {
        self.wrote();
        self.waiting.changed_entries.insert(found.key());
        self.waiting.outcomes += found.recipients.len();
        self.entries.insert(found.key(), Some(found));
    }

    pub(crate) fn take_out_entry(&mut self, key: (i64, Uuid)) {
        self.wrote();
        self.waiting.changed_entries.remove(&key);
        self.waiting.gone_entries.insert(key);
        self.entries.insert(key, None);
    }
}
