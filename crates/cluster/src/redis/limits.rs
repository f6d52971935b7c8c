//! Rate limits that nodes count together: GCRA in one script, by Redis' own clock.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use ::redis::{RedisResult, Script, aio::MultiplexedConnection};
use async_trait::async_trait;

use super::link::Link;
use crate::{LocalLimits, Quota, RateLimits, Verdict};

/// The rate limits in Redis. While it is away this node counts by itself, from nothing: the most that gets through
/// is the quota once more for each node.
pub struct RedisLimits {
    link: Arc<Link>,
    away: LocalLimits,
}

/// What waits for it are logins and sends.
const LONGEST: Duration = Duration::from_millis(250);

/// Takes one token; see `LocalLimits` for what is kept. Numbers are whole microseconds below 2^53, and are written
/// by `%.0f` since Lua would round them to 14 digits. The key ends when its bucket is full.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000000 + time[2]
         local per_token, whole = tonumber(ARGV[1]), tonumber(ARGV[2])
         local full_at = tonumber(redis.call('GET', KEYS[1]) or now) or now
         full_at = math.min(math.max(full_at, now), now + whole)
         local after = full_at + per_token
         local free = whole - (after - now)
         if free < 0 then return {0, -free} end
         redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
         return {1, math.floor(free / per_token)}",
    )
});

/// Puts one token back; a bucket that is full then is forgotten.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000000 + time[2]
         local full_at = (tonumber(redis.call('GET', KEYS[1]) or now) or now) - tonumber(ARGV[1])
         if full_at <= now then return redis.call('DEL', KEYS[1]) end
         redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
         return 1",
    )
});

impl RedisLimits {
    pub(super) const fn new(link: Arc<Link>, away: LocalLimits) -> Self {
        Self { link, away }
    }
}

#[async_trait]
impl RateLimits for RedisLimits {
    async fn check(&self, key: &str, quota: Quota) -> Verdict {
        let name = self.link.key("limit", key);
        let taken = self
            .link
            .call(LONGEST, |mut connection| async move { take(&mut connection, &name, quota).await });
        match taken.await {
            Ok((1, remaining)) => {
                Verdict::Allowed { remaining: u32::try_from(remaining).unwrap_or(u32::MAX) }
            }
            Ok((_, micros)) => Verdict::Limited { retry_after: Duration::from_micros(micros) },
            Err(_) => self.away.check(key, quota).await,
        }
    }

    async fn give_back(&self, key: &str, quota: Quota) {
        let name = self.link.key("limit", key);
        let given = self
            .link
            .call(LONGEST, |mut connection| async move { give_back(&mut connection, &name, quota).await });
        if given.await.is_err() {
            self.away.give_back(key, quota).await;
        }
    }
}

/// Runs the script once, so that whatever it lacks is known at the start.
pub(super) async fn probe(connection: &mut MultiplexedConnection, name: &str) -> RedisResult<()> {
    take(connection, name, Quota { burst: 1, count: 1, period: Duration::from_millis(1) }).await?;
    Ok(())
}

async fn take(connection: &mut MultiplexedConnection, name: &str, quota: Quota) -> RedisResult<(u64, u64)> {
    let (per_token, whole) = quota.times();
    TAKE.key(name).arg(per_token).arg(whole).invoke_async(connection).await
}

async fn give_back(connection: &mut MultiplexedConnection, name: &str, quota: Quota) -> RedisResult<u64> {
    let (per_token, _) = quota.times();
    GIVE_BACK.key(name).arg(per_token).invoke_async(connection).await
}
