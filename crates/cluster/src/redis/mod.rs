//! What nodes share over Redis: the cache, the rate limits and the bus between nodes.
//!
//! **Invariant:** a Redis that is away, hangs or answers nonsense costs speed only. While it is away nobody waits for
//! it: the cache knows what this node has seen, the rate limits count in this node, the bus tells this node's own
//! sessions. It is found again without anybody doing anything. Passwords appear in no message.

mod address;
mod bus;
mod cache;
mod limits;
mod link;
mod outbox;
mod packet;

use std::{fmt, sync::Arc};

use types::Secret;

pub use bus::RedisBus;
pub use cache::RedisCache;
pub use limits::RedisLimits;

use crate::{LocalBus, LocalCache, LocalLimits};
use link::Link;

/// One Redis, as this node uses it. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
}

/// What tells services and nodes apart that share a Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// What the keys and channels of this service begin with.
    pub prefix: String,
    /// A random number of this process, unlike any other node's.
    pub node: u64,
}

/// Why there is no use in starting with this Redis. One line that names what is wrong, without the password.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The URL does not name a Redis.
    #[error(
        "not the URL of a Redis ({0}); it looks like redis://:PASSWORD@HOST:6379/0, or rediss:// with TLS"
    )]
    Url(String),
    #[error("the prefix of keys in Redis has 1 to 40 letters, digits, '-' or '_', not {0:?}")]
    Prefix(String),
    /// It is there, and will not serve us as long as nobody changes anything.
    #[error("Redis at {server}: {reason}")]
    Refused { server: String, reason: String },
}

const LONGEST_PREFIX: usize = 40;

impl Redis {
    /// Reaches for the Redis of a URL such as `redis://:password@host:6379/0` (`rediss://` for TLS) and asks it for
    /// all that will be asked of it later.
    ///
    /// One that cannot be reached now is no error, since its outage must not keep a node from starting: it is logged,
    /// and looked for until it is there. A name that DNS does not know counts as that, too.
    ///
    /// # Errors
    /// If the URL or the prefix is wrong, or what is there refuses us, lacks what is needed or is no Redis.
    pub async fn connect(url: &Secret, options: RedisOptions) -> Result<Self, RedisError> {
        let ours = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let RedisOptions { prefix, node } = options;
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || !prefix.chars().all(ours) {
            return Err(RedisError::Prefix(prefix));
        }
        let address = address::parse(url.expose())?;
        Ok(Self { link: Link::open(address, prefix, node).await? })
    }

    /// Whether it answered when it was last asked.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.link.is_there()
    }

    /// The cache in it, with what this node used last in memory before it.
    #[must_use]
    pub fn cache(&self, near: LocalCache) -> RedisCache {
        RedisCache::new(Arc::clone(&self.link), near)
    }

    /// Rate limits counted for all nodes together; by these while it is away.
    #[must_use]
    pub fn limits(&self, away: LocalLimits) -> RedisLimits {
        RedisLimits::new(Arc::clone(&self.link), away)
    }

    /// The bus between nodes. Make one for each node; it ends when it is dropped.
    #[must_use]
    pub fn bus(&self) -> RedisBus {
        RedisBus::new(Arc::clone(&self.link), LocalBus::new())
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("link", &self.link).finish()
    }
}
