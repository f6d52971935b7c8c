//! The cache of a single node: moka, bounded by bytes.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use moka::{Expiry, sync};

use crate::Cache;

/// A cache within one process, which keeps what is used most.
#[derive(Debug)]
pub struct LocalCache {
    entries: sync::Cache<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// `None`: a pass that was revoked.
    value: Option<Bytes>,
    ttl: Duration,
}

impl Entry {
    fn len(&self) -> usize {
        self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// What an entry costs beside its key and value, about.
const OVERHEAD_BYTES: usize = 200;

impl LocalCache {
    /// A cache of about this many bytes.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let entries = sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &String, entry: &Entry| {
                u32::try_from(key.len() + entry.len() + OVERHEAD_BYTES).unwrap_or(u32::MAX)
            })
            .expire_after(Ttl)
            .build();
        Self { entries }
    }

    /// Whether the pass was revoked in this node.
    pub(crate) fn is_revoked(&self, key: &str) -> bool {
        self.entries.get(&pass_key(key)).is_some_and(|entry| entry.value.is_none())
    }
}

fn pass_key(key: &str) -> String {
    format!("pass:{key}")
}

struct Ttl;

impl Expiry<String, Entry> for Ttl {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

#[async_trait]
impl Cache for LocalCache {
    async fn get(&self, key: &str) -> Option<Bytes> {
        self.entries.get(key).and_then(|entry| entry.value)
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) {
        self.entries.insert(key.into(), Entry { value: Some(value), ttl });
    }

    async fn pass(&self, key: &str) -> Option<Bytes> {
        self.get(&pass_key(key)).await
    }

    async fn issue(&self, key: &str, value: Bytes, ttl: Duration) {
        self.entries.entry(pass_key(key)).or_insert_with(|| Entry { value: Some(value), ttl });
    }

    async fn revoke(&self, key: &str, ttl: Duration) {
        self.entries.insert(pass_key(key), Entry { value: None, ttl });
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::Cached;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn stays_within_its_bytes() {
        let cache = LocalCache::new(100_000);
        for number in 0..100 {
            cache.set(&number.to_string(), vec![0; 10_000].into(), HOUR).await;
        }
        cache.entries.run_pending_tasks();
        assert!(cache.entries.weighted_size() <= 100_000);
        cache.set("huge", vec![0; 200_000].into(), HOUR).await;
        cache.entries.run_pending_tasks();
        assert!(cache.entries.weighted_size() <= 100_000);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Name(String);

    impl Cached for Name {
        type Key = i64;
        const PREFIX: &'static str = "name";
        const TTL: Duration = HOUR;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Other(String);

    impl Cached for Other {
        type Key = i64;
        const PREFIX: &'static str = "other";
        const TTL: Duration = HOUR;
    }

    #[tokio::test]
    async fn types_do_not_meet_and_damage_is_a_miss() {
        let local = LocalCache::new(1 << 20);
        let cache: &dyn Cache = &local;
        cache.store(&7, &Name("alice".into())).await;
        assert_eq!(cache.load::<Name>(&7).await, Some(Name("alice".into())));
        assert_eq!(cache.load::<Other>(&7).await, None);
        local.set("name:7", Bytes::from_static(&[200]), HOUR).await;
        assert_eq!(cache.load::<Name>(&7).await, None);
    }
}
