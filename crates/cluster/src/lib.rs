//! What nodes share: event bus, cache and rate limits; in memory for a node alone, or over Redis.
//!
//! **Invariant:** nothing here is the truth. Losing a hint, the whole cache or every counter changes speed, never
//! what a user sees in the end: whoever listens also catches up from the change log.

pub mod bus;
pub mod cache;
pub mod limits;

mod local_bus;
mod local_cache;
mod local_limits;
mod redis;

pub use bus::{Bus, Feed, FeedHint, Hint, Subscription, Wakeups};
pub use cache::{Cache, Cached};
pub use limits::{Quota, RateLimits, Verdict};
pub use local_bus::LocalBus;
pub use local_cache::LocalCache;
pub use local_limits::LocalLimits;
pub use redis::{Redis, RedisBus, RedisCache, RedisError, RedisLimits, RedisOptions};
