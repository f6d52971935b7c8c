//! Sessions that others ended: a command in another process, or a node whose cache is not ours. The directory has a
//! note of each account whose sessions were ended, one or all, or that lost an app password, and every node reads what is
//! new each second by one small query, so that no request has to ask. What was known of such an account before is not
//! good any more.

use std::time::Duration;

use moka::sync::Cache as Memory;
use storage::Ending;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use types::{AccountId, Timestamp};

use crate::{Result, Service};

/// How long an end goes unnoticed.
const EVERY: Duration = Duration::from_secs(1);
/// How far the clocks of nodes that share a cache may be apart.
const SKEW: Duration = Duration::from_secs(5);
/// Longer than anything that was known before an end is good for, and than a program may be silent.
const REMEMBERED: Duration = Duration::from_secs(3_600);
const MOST: u64 = 200_000;

/// Accounts whose sessions have ended.
pub(crate) struct Endings(Memory<AccountId, Ended>);

#[derive(Debug, Clone, Copy)]
struct Ended {
    heard_at: Timestamp,
    /// Of the directory's newest note that all are to go, if one was heard.
    number: Option<i64>,
}

impl Default for Endings {
    fn default() -> Self {
        Self(Memory::builder().max_capacity(MOST).time_to_live(REMEMBERED).build())
    }
}

impl Endings {
    /// Whether what was known of the account at this time may be overtaken.
    pub(crate) fn since(&self, account: AccountId, known_at: Timestamp) -> bool {
        self.0.get(&account).is_some_and(|ended| known_at <= ended.heard_at.plus(SKEW))
    }

    /// Whether all its sessions ended after the note of this number, which was the newest when somebody was let in.
    pub(crate) fn after(&self, account: AccountId, number: i64) -> bool {
        self.0.get(&account).is_some_and(|ended| ended.number > Some(number))
    }

    pub(crate) fn note(&self, ending: Ending, heard_at: Timestamp) {
        self.0.entry(ending.account).and_upsert_with(|before| {
            let before = before.and_then(|before| before.into_value().number);
            Ended { heard_at, number: before.max(ending.whole.then_some(ending.number)) }
        });
    }
}

impl Service {
    /// Listens for ends of sessions until told to stop.
    pub async fn run_endings(&self, stop: CancellationToken) {
        let mut known = None;
        loop {
            match self.hear(known).await {
                Ok(number) => known = Some(number),
                // What is known is good for half a minute only, whatever happens.
                Err(error) => tracing::debug!(%error, "ends of sessions cannot be heard"),
            }
            if stop.run_until_cancelled(sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn hear(&self, known: Option<i64>) -> Result<i64> {
        let (newest, notes) = self.parts.directory.ended_since(known).await?;
        let now = self.now();
        notes.into_iter().for_each(|ending| self.endings.note(ending, now));
        Ok(newest)
    }

    /// The number of the newest note.
    pub(crate) async fn newest_ending(&self) -> Result<i64> {
        Ok(self.parts.directory.ended_since(None).await?.0)
    }
}
