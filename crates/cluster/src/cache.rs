//! The cache: bytes under a key for a while, and a typed front so that a key cannot be used for the wrong value.

use std::{fmt::Display, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use storage::Result;

/// Bytes under keys, each for a time. May forget anything at any moment.
///
/// Values of our own types go through [`Cached`]: [`load`](trait.Cache.html#method.load),
/// [`store`](trait.Cache.html#method.store) and [`evict`](trait.Cache.html#method.evict).
#[async_trait]
pub trait Cache: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;

    async fn set(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()>;

    /// Sets it unless it is there; whether it was set. Of several callers at once, one is told true.
    async fn add(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool>;

    async fn delete(&self, key: &str) -> Result<()>;
}

/// A type whose values are cached: what they are found by, and for how long they may be stale.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync {
    type Key: Display + Sync + ?Sized;
    /// Unlike that of any other cached type. Change it when the type's fields change.
    const PREFIX: &'static str;
    const TTL: Duration;
}

impl dyn Cache + '_ {
    /// The value, if it is there. An error is logged and counts as a miss.
    pub async fn load<T: Cached>(&self, key: &T::Key) -> Option<T> {
        let bytes = match self.get(&full_key::<T>(key)).await {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!(prefix = T::PREFIX, %error, "cache read failed");
                return None;
            }
        };
        // What another version of the program left there is a miss, too.
        postcard::from_bytes(&bytes).ok()
    }

    /// Keeps the value. An error is logged, and the value is not kept.
    pub async fn store<T: Cached>(&self, key: &T::Key, value: &T) {
        let stored = match postcard::to_stdvec(value) {
            Ok(bytes) => self.set(&full_key::<T>(key), bytes.into(), T::TTL).await,
            Err(error) => Err(storage::Error::Backend(error.into())),
        };
        if let Err(error) = stored {
            tracing::warn!(prefix = T::PREFIX, %error, "cache write failed");
        }
    }

    /// Removes the value. An error is logged; the value then stays until its time is over.
    pub async fn evict<T: Cached>(&self, key: &T::Key) {
        if let Err(error) = self.delete(&full_key::<T>(key)).await {
            tracing::warn!(prefix = T::PREFIX, %error, "cache removal failed");
        }
    }
}

fn full_key<T: Cached>(key: &T::Key) -> String {
    format!("{}:{key}", T::PREFIX)
}
