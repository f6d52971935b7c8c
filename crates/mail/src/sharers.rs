//! Those who share mailboxes with an account: what is theirs to see, and hints when something of it changes.

use std::collections::HashMap;
use std::future::pending;

use cluster::Subscription;
use futures::FutureExt as _;
use futures::future::select_all;
use types::AccountId;

use crate::shared::Shared;
use crate::{Access, Result};

/// Who shares something with an account, and is listened to. Whoever begins to is noticed when it is looked again.
#[derive(Debug, Default)]
pub struct Sharers(HashMap<AccountId, Subscription>);

impl Access {
    /// What others share with this account, as of now; of changes from then on `sharers` hears.
    pub async fn watch_shared(&self, sharers: &mut Sharers) -> Result<Shared> {
        let owners = self.sharers().await?;
        sharers.0.retain(|owner, _| owners.contains(owner));
        for owner in &owners {
            sharers.0.entry(*owner).or_insert_with(|| self.service.parts.bus.subscribe(*owner));
        }
        self.shared_of(&owners, None).await
    }
}

impl Sharers {
    /// Waits until one of them has changed something; for ever if there is nobody. Cancel safe.
    pub async fn next(&mut self) {
        if self.0.is_empty() {
            return pending().await;
        }
        select_all(self.0.values_mut().map(|hints| Box::pin(hints.next()))).await;
    }

    /// Whether one of them has changed something since this was last asked.
    pub fn heard(&mut self) -> bool {
        let mut heard = false;
        for hints in self.0.values_mut() {
            while hints.next().now_or_never().is_some() {
                heard = true;
            }
        }
        heard
    }
}
