//! The cache that nodes share, and what this node used last before it.

use std::{sync::Arc, time::Duration};

use ::redis::{ExistenceCheck, RedisResult, SetExpiry, SetOptions, cmd, pipe};
use async_trait::async_trait;
use bytes::Bytes;

use super::link::{Link, NoAnswer};
use crate::{Cache, LocalCache};

/// The cache in Redis. Values are as they are in the program, not encrypted: it belongs into the same hands as the
/// databases.
#[derive(Debug)]
pub struct RedisCache {
    link: Arc<Link>,
    /// Values never change under their key, or name the version that they are of, which is asked for elsewhere: so what is
    /// here needs no check. Of passes, what this node issued and
    /// revoked.
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

    /// Keeps a value; false if the options forbid it.
    async fn send(&self, part: &str, key: &str, value: &[u8], options: SetOptions) -> Result<bool, NoAnswer> {
        let name = self.link.key(part, key);
        let kept = self.link.call(LONGEST, |mut connection| async move {
            let kept: RedisResult<Option<()>> =
                cmd("SET").arg(name).arg(value).arg(options).query_async(&mut connection).await;
            kept
        });
        Ok(kept.await?.is_some())
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
        let ttl_ms = millis(ttl);
        if value.len() > LARGEST_BYTES || ttl_ms == 0 {
            return;
        }
        // Whatever goes wrong is counted by the link, and the value is not shared.
        let _ = self.send("cache", key, &value, lasting(ttl_ms)).await;
    }

    async fn pass(&self, key: &str) -> Option<Bytes> {
        // Redis may not have heard of it.
        if self.near.is_revoked(key) {
            return None;
        }
        let name = self.link.key("pass", key);
        let asked = self.link.call(LONGEST, |mut connection| async move {
            let found: RedisResult<Option<Vec<u8>>> = cmd("GET").arg(name).query_async(&mut connection).await;
            found
        });
        match asked.await {
            Ok(found) => found?.strip_prefix(ISSUED).map(Bytes::copy_from_slice),
            Err(_) => self.near.pass(key).await,
        }
    }

    async fn issue(&self, key: &str, value: Bytes, ttl: Duration) {
        let ttl_ms = millis(ttl);
        let new = lasting(ttl_ms).conditional_set(ExistenceCheck::NX);
        let marked = [ISSUED, value.as_ref()].concat();
        // Here as well, in case Redis goes; but not what another node has revoked.
        if !matches!(self.send("pass", key, &marked, new).await, Ok(false)) {
            self.near.issue(key, value, ttl).await;
        }
    }

    async fn revoke(&self, key: &str, ttl: Duration) {
        self.near.revoke(key, ttl).await;
        let _ = self.send("pass", key, &[], lasting(millis(ttl))).await;
    }
}

/// What a pass begins with; one that was revoked is empty.
const ISSUED: &[u8] = b"+";

fn lasting(ttl_ms: u64) -> SetOptions {
    SetOptions::default().with_expiration(SetExpiry::PX(ttl_ms))
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

fn count(found: &'static str) {
    metrics::counter!("magpie_cache_reads_total", "found" => found).increment(1);
}
