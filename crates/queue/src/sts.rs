//! MTA-STS (RFC 8461): what a domain says of its mail servers over HTTPS, so that nobody on the way can say otherwise.
//!
//! A policy that was seen holds for as long as it said, whatever DNS says meanwhile: only a domain's own server can
//! take it back. It is kept in this process' memory, and for other nodes and the next start in the cache they share.

mod fetch;
mod policy;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use mail::Service;
use types::{Timestamp, address::domain_key};

use crate::tlsrpt::ResultType;
pub(crate) use fetch::Domains;
pub use policy::{Mode, Policy};

/// Where policies come from.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// The `id` of the domain's TXT record; none if it has no policy (any more).
    async fn id(&self, domain: &str) -> Result<Option<String>, String>;

    /// The text of its policy.
    async fn text(&self, domain: &str) -> Result<String, Unfetched>;
}

/// Why there is no policy where one is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfetched {
    pub(crate) result: ResultType,
    pub(crate) reason: String,
}

/// What is known of a domain's policy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// If it has one that holds.
    pub(crate) policy: Option<Arc<Policy>>,
    /// It has none for us, since that one could not be had.
    pub(crate) failure: Option<ResultType>,
}

/// The policies of all domains.
pub(crate) struct Sts {
    source: Box<dyn Source>,
    service: Service,
    known: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

#[derive(Default)]
struct Slot {
    held: Option<Held>,
    /// After a failure nothing is fetched before this.
    failed: Option<(Timestamp, ResultType)>,
}

impl Slot {
    fn known(&self) -> Known {
        let policy = self.held.as_ref().map(|held| Arc::clone(&held.policy));
        let failure = self.failed.map(|(_, result)| result).filter(|_| policy.is_none());
        Known { policy, failure }
    }
}

#[derive(Clone)]
struct Held {
    id: String,
    policy: Arc<Policy>,
    fetched_at: Timestamp,
}

/// RFC 8461 §3.3.
const AFTER_FAILURE: Duration = Duration::from_secs(5 * 60);
/// §3.3: looked at anew long before they end.
const REFRESH: Duration = Duration::from_secs(86_400);
const MANY: usize = 10_000;

impl Sts {
    pub(crate) fn new(source: Box<dyn Source>, service: Service) -> Self {
        Self { source, service, known: Mutex::default() }
    }

    /// The domain's policy, if it has one that holds.
    pub(crate) async fn policy(&self, domain: &str) -> Known {
        let domain = domain_key(domain);
        let slot = self.slot(&domain);
        let mut slot = slot.lock().await;
        let now = self.service.now();
        slot.held = slot.held.take().filter(|held| held.holds(now));
        let id = match self.source.id(&domain).await {
            Ok(Some(id)) => id,
            // What was promised holds to its end (§5.1).
            Ok(None) => {
                slot.failed = None;
                return slot.known();
            }
            Err(reason) => {
                tracing::debug!(domain, reason, "no answer about the policy");
                return slot.known();
            }
        };
        let is_fresh = |held: &Held| held.id == id && held.fetched_at.plus(REFRESH) > now;
        let waits = slot.failed.is_some_and(|(until, _)| until > now);
        if !waits && !slot.held.as_ref().is_some_and(is_fresh) {
            match self.renew(&domain, &id, now).await {
                Ok(held) => *slot = Slot { held: Some(held), failed: None },
                Err(Unfetched { result, reason }) => {
                    tracing::info!(domain, reason, "the policy could not be fetched");
                    slot.failed = Some((now.plus(AFTER_FAILURE), result));
                }
            }
        }
        slot.known()
    }

    /// From the cache if any node has it, or from the domain.
    async fn renew(&self, domain: &str, id: &str, now: Timestamp) -> Result<Held, Unfetched> {
        let key = format!("sts:{domain}:{id}");
        if let Some(found) = self.service.cache().get(&key).await
            && let Some(held) = cached(id, &found)
            && held.fetched_at.plus(REFRESH) > now
        {
            return Ok(held);
        }
        let text = self.source.text(domain).await?;
        let policy = Policy::parse(&text).ok_or_else(|| Unfetched {
            result: ResultType::StsPolicyInvalid,
            reason: "it is no policy".to_owned(),
        })?;
        let value = format!("{}\n{text}", now.millis());
        self.service.cache().set(&key, Bytes::from(value), policy.max_age).await;
        Ok(Held { id: id.to_owned(), policy: Arc::new(policy), fetched_at: now })
    }

    fn slot(&self, domain: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = known.get(domain) {
            return Arc::clone(slot);
        }
        if known.len() >= MANY {
            known.retain(|_, slot| slot.try_lock().map_or(true, |slot| slot.held.is_some()));
        }
        Arc::clone(known.entry(domain.to_owned()).or_default())
    }
}

impl Held {
    fn holds(&self, now: Timestamp) -> bool {
        self.fetched_at.plus(self.policy.max_age) > now
    }
}

fn cached(id: &str, value: &[u8]) -> Option<Held> {
    let (fetched, text) = std::str::from_utf8(value).ok()?.split_once('\n')?;
    let fetched_at = Timestamp::from_millis(fetched.parse().ok()?);
    Some(Held { id: id.to_owned(), policy: Arc::new(Policy::parse(text)?), fetched_at })
}
