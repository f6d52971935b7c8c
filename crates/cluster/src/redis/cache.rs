//! The cache that nodes share, and what this node used last before it.

use std::{sync::Arc, time::Duration};

use ::redis::{RedisResult, SetExpiry, SetOptions, cmd, pipe};
use async_trait::async_trait;
use bytes::Bytes;

use super::link::Link;
use crate::{Cache, LocalCache};

/// The cache in Redis. Values are as they are in the program, not encrypted: it belongs into the same hands as the
/// databases.
#[derive(Debug)]
pub struct RedisCache {
    link: Arc<Link>,
    /// Values never change under their key, so what is here needs no check.
    near: LocalCache,
}

/// Reading from the shard takes about as long.
const LONGEST: Duration = Duration::from_millis(150);
/// Larger values stay in the node: fetching them would hold up what comes after them on the connection.
const LARGEST_BYTES: usize = 256 << 10;

impl RedisCache {
    pub(super) const fn new(link: Arc<Link>, near: LocalCache) -> Self {
        Self { link, near }
    }
}

#[async_trait]
impl Cache for RedisCache {
    async fn get(&self, key: &str) -> Option<Bytes> {
        if let Some(value) = self.near.get(key).await {
            count("near");
            return Some(value);
        }
        let name = self.link.key("cache", key);
        let mut ask = pipe();
        ask.cmd("GET").arg(&name).cmd("PTTL").arg(&name);
        let found = self.link.call(LONGEST, |mut connection| async move {
            let found: RedisResult<(Option<Vec<u8>>, i64)> = ask.query_async(&mut connection).await;
            found
        });
        let Ok((Some(value), left_ms)) = found.await else {
            count("miss");
            return None;
        };
        count("shared");
        let value = Bytes::from(value);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        self.near.set(key, value.clone(), left).await;
        Some(value)
    }

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) {
        self.near.set(key, value.clone(), ttl).await;
        let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        if value.len() > LARGEST_BYTES || ttl_ms == 0 {
            return;
        }
        let name = self.link.key("cache", key);
        let expiry = SetOptions::default().with_expiration(SetExpiry::PX(ttl_ms));
        // Whatever goes wrong is counted by the link, and the value is not shared.
        let _ = self
            .link
            .call(LONGEST, |mut connection| async move {
                let kept: RedisResult<()> =
                    cmd("SET").arg(name).arg(value.as_ref()).arg(expiry).query_async(&mut connection).await;
                kept
            })
            .await;
    }
}

fn count(found: &'static str) {
    metrics::counter!("magpie_cache_reads_total", "found" => found).increment(1);
}
