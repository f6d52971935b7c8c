//! What an account may have, and what the accounts of a domain have together, added up now and then.
//!
//! No mail waits for the sum: it is refused by the last sum. So a domain may pass its limit by what comes in between, a
//! minute or ten times as long as adding up takes, whatever is longer; from then on everything is refused until there
//! is room again.

use std::{collections::BTreeMap, time::Duration};

use storage::{DomainLimits, DomainUse};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use types::{AccountId, EmailAddress, address};

use crate::{Access, Admin, Error, Result, Service};

const EVERY: Duration = Duration::from_secs(60);
/// Who dies while adding up loses the turn after this.
const TURN: Duration = Duration::from_secs(60);
/// After an end no other node begins anew for this; nobody does for so many times as long as it took.
const PAUSE: Duration = Duration::from_secs(50);
const REST: u32 = 9;
const AT_ONCE: u32 = 1_000;

/// A domain, with what it may have and has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainState {
    pub name: String,
    /// Bytes when they were last added up; only where there is a limit to them.
    pub usage: DomainUse,
    pub accounts: u64,
    /// The largest mail of an account; `None`: as everybody's.
    pub max_message_bytes: Option<u64>,
}

impl Access {
    /// Whether there is room for so many bytes where others go for them: for what there is more of then.
    pub(crate) async fn check_growth(&self, bytes: u64, replaced_bytes: u64) -> Result<()> {
        match bytes.saturating_sub(replaced_bytes) {
            0 => Ok(()),
            growth => self.check_room(growth).await,
        }
    }
}

impl Service {
    /// Adds up until told to stop.
    pub async fn run_quotas(&self, stop: CancellationToken) {
        let holder = format!("{:032x}", u128::from_le_bytes(self.random_bytes()));
        let adding = async {
            loop {
                let begun = Instant::now();
                if let Err(error) = self.measure_in_turn(&holder).await {
                    tracing::warn!(%error, "what domains have is not added up; trying again later");
                }
                sleep(EVERY.max(begun.elapsed() * REST)).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = adding => {}
        }
    }

    /// Of all nodes one adds up at a time, however long it takes.
    async fn measure_in_turn(&self, holder: &str) -> Result<()> {
        let Some(turn) = self.turn("quotas", holder, TURN).await? else { return Ok(()) };
        let begun = Instant::now();
        let Some(measured) = turn.keep(self.measure_domains()).await else { return Ok(()) };
        turn.pass_on(PAUSE.max(begun.elapsed() * REST)).await;
        measured
    }

    /// Adds up what the domains have that have a limit. One that is partly away keeps its last sum; the last error is
    /// returned.
    pub async fn measure_domains(&self) -> Result<()> {
        let mut ended = Ok(());
        for domain in self.parts.directory.measured_domains().await? {
            if let Err(error) = self.measure_domain(&domain).await {
                tracing::warn!(domain, %error, "what the domain has is not known anew");
                ended = Err(error);
            }
        }
        ended
    }

    async fn measure_domain(&self, domain: &str) -> Result<()> {
        let directory = &self.parts.directory;
        let (mut after, mut used_bytes) = (None, 0_u64);
        loop {
            let accounts = directory.domain_accounts(domain, after, AT_ONCE).await?;
            let Some(last) = accounts.last() else { break };
            after = Some(*last);
            used_bytes = used_bytes.saturating_add(self.used_bytes(&accounts).await?);
        }
        Ok(directory.note_domain_use(domain, used_bytes, self.now()).await?)
    }

    async fn used_bytes(&self, accounts: &[AccountId]) -> Result<u64> {
        let mut shards = BTreeMap::<_, Vec<_>>::new();
        for account in accounts {
            shards.entry(self.shard_of(*account)).or_default().push(*account);
        }
        let mut used_bytes = 0_u64;
        for (shard, accounts) in shards {
            let mut snapshot = self.parts.shards.latest(shard).await?;
            for account in accounts {
                let state = snapshot.account(account).await?;
                used_bytes = used_bytes.saturating_add(state.map_or(0, |state| state.used_bytes));
            }
        }
        Ok(used_bytes)
    }

    /// Whether the domain has no room, or none for so many bytes, as far as that is known.
    pub(crate) async fn is_domain_full(&self, domain: &str, size_bytes: u64) -> Result<bool> {
        let DomainUse { limits, used_bytes } = self.parts.directory.domain_use(domain).await?;
        let is_full = |most| used_bytes >= most || used_bytes.saturating_add(size_bytes) > most;
        Ok(limits.max_bytes.is_some_and(is_full))
    }
}

impl Admin {
    /// Says what the account's mail may take; `None`: as much as that of all who have no quota of their own,
    /// [`storage::UNLIMITED`]: as much as there is room for.
    pub async fn set_quota(&self, email: &EmailAddress, own_bytes: Option<u64>) -> Result<()> {
        let id = self.account(email).await?.id;
        let known = self.service.parts.directory.set_quota(id, own_bytes).await?;
        if known { Ok(()) } else { Err(Error::NotFound("account")) }
    }

    /// Changes what the domain's accounts may have together. What they have is added up at once.
    pub async fn set_domain_limits(
        &self,
        name: &str,
        change: impl FnOnce(&mut DomainLimits) + Send,
    ) -> Result<DomainLimits> {
        let directory = &self.service.parts.directory;
        let domain = directory.domain(&address::fold(name)).await?.ok_or(Error::NotFound("domain"))?;
        let mut limits = directory.domain_use(&domain.name).await?.limits;
        change(&mut limits);
        directory.set_domain_limits(&domain.name, limits).await?;
        if limits.max_bytes.is_some() {
            self.service.measure_domain(&domain.name).await?;
        }
        Ok(limits)
    }

    /// All domains, by name, with what they may have and have.
    pub async fn domain_states(&self) -> Result<Vec<DomainState>> {
        let directory = &self.service.parts.directory;
        let mut states = Vec::new();
        for domain in directory.domains().await? {
            states.push(DomainState {
                usage: directory.domain_use(&domain.name).await?,
                accounts: directory.count_accounts(&domain.name).await?,
                max_message_bytes: directory.message_limit(&address::domain_keys(&domain.name)).await?,
                name: domain.name,
            });
        }
        Ok(states)
    }
}
