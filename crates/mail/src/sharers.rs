//! Those who share mailboxes with an account: what is theirs to see, and hints when something of it changes.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use cluster::Subscription;
use futures::FutureExt as _;
use futures::future::select_all;
use types::{AccountId, Timestamp};

use crate::shared::Shared;
use crate::{Access, Named, Result};

/// Who shares something with an account and is listened to, and what they share. Who has changed nothing costs nothing.
#[derive(Debug, Default)]
pub struct Sharers {
    owners: BTreeMap<AccountId, Sharer>,
    /// When it was last seen who they are, and all of them were to be asked.
    all_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Sharer {
    hints: Subscription,
    /// To be asked: there was a hint, or no answer.
    is_due: bool,
    /// As of when it was last asked.
    named: Vec<Named>,
}

/// Who begins to share gives no hint, neither does an account that is disabled, and hints may be lost: so all are asked
/// again after this. A session that hears nothing looks once a minute, and then they must be due.
const ALL_EVERY: Duration = Duration::from_secs(59);

impl Access {
    /// Asks those who have changed something since they were last asked what they share with this account; all of them
    /// if that was not done for a minute. Who has answered; of those whose shards are away it stays as it was known.
    pub async fn ask_sharers(&self, sharers: &mut Sharers) -> Result<Vec<AccountId>> {
        // Before anything is read: what changes from now on gives another hint.
        sharers.heard();
        let now = self.service.now();
        if sharers.are_all_due(now) {
            let owners = self.sharers().await?;
            sharers.owners.retain(|owner, _| owners.contains(owner));
            for owner in owners {
                let listen = || Sharer {
                    hints: self.service.parts.bus.subscribe(owner),
                    is_due: true,
                    named: Vec::new(),
                };
                sharers.owners.entry(owner).or_insert_with(listen).is_due = true;
            }
            sharers.all_at = Some(now);
        }
        let due = sharers.owners.iter().filter(|(_, sharer)| sharer.is_due);
        let mut asked: Vec<_> = due.map(|(owner, _)| *owner).collect();
        let Shared { named, away } = self.shared_of(&asked, None).await?;
        asked.retain(|owner| !away.contains(owner));
        for owner in &asked {
            if let Some(sharer) = sharers.owners.get_mut(owner) {
                sharer.is_due = false;
                sharer.named.clear();
            }
        }
        for named in named {
            if let Some(sharer) = sharers.owners.get_mut(&named.mailbox.account) {
                sharer.named.push(named);
            }
        }
        Ok(asked)
    }
}

impl Sharers {
    /// What all of them share, as far as it is known.
    pub fn named(&self) -> impl Iterator<Item = &Named> {
        self.owners.values().flat_map(|sharer| &sharer.named)
    }

    /// Waits until one of them has changed something; for ever if there is nobody. Cancel safe.
    pub async fn next(&mut self) {
        if self.owners.is_empty() {
            return pending().await;
        }
        select_all(self.owners.values_mut().map(|sharer| Box::pin(sharer.hint()))).await;
    }

    /// Whether one of them has changed something since this was last asked.
    pub fn heard(&mut self) -> bool {
        let mut heard = false;
        for sharer in self.owners.values_mut() {
            while sharer.hint().now_or_never().is_some() {
                heard = true;
            }
        }
        heard
    }

    /// Has these asked the next time, whether something is heard of them or not: what they said could not be used.
    pub fn ask_again(&mut self, owners: &[AccountId]) {
        for owner in owners {
            if let Some(sharer) = self.owners.get_mut(owner) {
                sharer.is_due = true;
            }
        }
    }

    /// A clock that was set back is no reason to wait.
    fn are_all_due(&self, now: Timestamp) -> bool {
        self.all_at.is_none_or(|all_at| now < all_at || now.since(all_at) >= ALL_EVERY)
    }
}

impl Sharer {
    async fn hint(&mut self) {
        self.hints.next().await;
        self.is_due = true;
    }
}
