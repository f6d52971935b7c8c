//! The ports' conformance suites over the adapters in memory and over a real Redis, and what happens when it goes.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bus;
mod cache;
mod limits;
mod outage;
mod start;

use std::{sync::Arc, time::Duration};

use cluster::{LocalCache, LocalLimits, Redis, RedisCache, RedisLimits, RedisOptions};
use tokio::time::{Instant, sleep, timeout};
use types::{Clock, Secret, Timestamp};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that runs, from some time on.
struct Running(Instant);

impl Clock for Running {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_772_442_000_000 + elapsed)
    }
}

fn local_limits() -> LocalLimits {
    LocalLimits::new(Arc::new(Running(Instant::now())), 1_000)
}

/// The Redis as a node of this number uses it.
async fn node(server: &testkit::Redis, number: u64) -> Redis {
    let options = RedisOptions { prefix: "test".into(), node: number };
    Redis::connect(&Secret::new(server.url()), options).await.unwrap()
}

fn cache_of(node: &Redis) -> RedisCache {
    node.cache(LocalCache::new(1 << 20))
}

fn limits_of(node: &Redis) -> RedisLimits {
    node.limits(local_limits())
}

/// Waits until it is so.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
