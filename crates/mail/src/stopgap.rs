//! Sessions for whose rows the directory has no room. So that people get to their mail, and can make room, while the
//! disk is full, such a session is kept in the cache for a while; it ends when the node does, if no other shares its
//! cache.
//!
//! No end of a session needs to find it: whether the account is open, its password still the same, and no end noted since
//! it began, is asked of the directory whenever it is used.

use std::time::Duration;

use cluster::Cached;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use storage::Account;
use types::{AccountId, Timestamp};

use crate::{Result, Service};

#[derive(Serialize, Deserialize)]
struct Stopgap {
    account: AccountId,
    /// A hash of the password's.
    password: [u8; 32],
    began_at: Timestamp,
    /// The newest note of ended sessions then.
    began_after: i64,
}

impl Cached for Stopgap {
    type Key = str;
    const PREFIX: &'static str = "stopgap-2";
    const TTL: Duration = Duration::from_secs(3_600);
}

impl Service {
    /// Begins such a session.
    pub(crate) async fn begin_stopgap(&self, key: &str, account: &Account, began_after: i64) {
        tracing::warn!(account = %account.id, "there is no room for a session; it is kept in memory for an hour");
        let (password, began_at) = (digest(account), self.now());
        let stopgap = Stopgap { account: account.id, password, began_at, began_after };
        self.parts.cache.issue_pass(key, &stopgap).await;
    }

    /// Whose it is, if it is one.
    pub(crate) async fn stopgap(&self, key: &str) -> Result<Option<Account>> {
        let Some(stopgap) = self.parts.cache.load_pass::<Stopgap>(key).await else { return Ok(None) };
        if self.now() >= stopgap.began_at.plus(Stopgap::TTL) {
            return Ok(None);
        }
        let (_, notes) = self.parts.directory.ended_since(Some(stopgap.began_after)).await?;
        if notes.iter().any(|ending| ending.whole && ending.account == stopgap.account) {
            return Ok(None);
        }
        let account = self.parts.directory.account_now(stopgap.account).await?;
        Ok(account.filter(|account| account.enabled && digest(account) == stopgap.password))
    }

    pub(crate) async fn end_stopgap(&self, key: &str) {
        if self.parts.cache.load_pass::<Stopgap>(key).await.is_some() {
            self.parts.cache.revoke_pass::<Stopgap>(key).await;
        }
    }
}

fn digest(account: &Account) -> [u8; 32] {
    Sha256::digest(account.password_hash.expose().as_bytes()).into()
}
