//! The cache: bytes under a key for a while, and a typed front so that a key cannot be used for the wrong value.

use std::{fmt::Display, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// Bytes under keys, each for a time. May forget anything at any moment, and whatever goes wrong is a miss.
///
/// **What is kept under a key never changes**: what can change has its version in its key. So no node ever has to
/// take anything back from another's memory, and nothing that is found is ever stale.
///
/// **Passes** are the exception, for what is asked all the time, seldom taken back, and then at once. They have keys
/// of their own. Nodes that share a cache ask it each time, so a pass that is revoked on one is revoked on all. Where
/// they cannot ask, each goes by what it knows itself, and a revoked pass is good until its time is over: make that
/// short.
///
/// Values of our own types go through [`Cached`]: [`load`](trait.Cache.html#method.load) and
/// [`store`](trait.Cache.html#method.store), [`load_pass`](trait.Cache.html#method.load_pass),
/// [`issue_pass`](trait.Cache.html#method.issue_pass) and [`revoke_pass`](trait.Cache.html#method.revoke_pass).
#[async_trait]
pub trait Cache: Send + Sync {
    async fn get(&self, key: &str) -> Option<Bytes>;

    async fn set(&self, key: &str, value: Bytes, ttl: Duration);

    /// The pass, if one was issued and not revoked.
    async fn pass(&self, key: &str) -> Option<Bytes>;

    /// Issues a pass. Nothing happens if there is one, or it was revoked and the time of that is not over: so whoever
    /// looked at the truth before it changed cannot bring back what was true then.
    async fn issue(&self, key: &str, value: Bytes, ttl: Duration);

    /// Takes the pass back, whether there is one or not; for this long no other is issued under the key.
    async fn revoke(&self, key: &str, ttl: Duration);
}

/// A type whose values are cached: what they are found by, and how long they are worth their room.
pub trait Cached: Serialize + DeserializeOwned + Send + Sync {
    type Key: Display + Sync + ?Sized;
    /// Unlike that of any other cached type. Change it when the type's fields change.
    const PREFIX: &'static str;
    const TTL: Duration;
}

impl dyn Cache + '_ {
    /// The value, if it is there.
    pub async fn load<T: Cached>(&self, key: &T::Key) -> Option<T> {
        let bytes = self.get(&full_key::<T>(key)).await?;
        // What another version of the program left there is a miss, too.
        postcard::from_bytes(&bytes).ok()
    }

    /// Keeps the value.
    pub async fn store<T: Cached>(&self, key: &T::Key, value: &T) {
        match postcard::to_stdvec(value) {
            Ok(bytes) => self.set(&full_key::<T>(key), bytes.into(), T::TTL).await,
            Err(error) => tracing::warn!(prefix = T::PREFIX, %error, "a value cannot be cached"),
        }
    }

    /// The value that was issued as a pass, if it is good.
    pub async fn load_pass<T: Cached>(&self, key: &T::Key) -> Option<T> {
        let bytes = self.pass(&full_key::<T>(key)).await?;
        postcard::from_bytes(&bytes).ok()
    }

    /// Issues the value as a pass.
    pub async fn issue_pass<T: Cached>(&self, key: &T::Key, value: &T) {
        match postcard::to_stdvec(value) {
            Ok(bytes) => self.issue(&full_key::<T>(key), bytes.into(), T::TTL).await,
            Err(error) => tracing::warn!(prefix = T::PREFIX, %error, "a value cannot be cached"),
        }
    }

    /// Takes back the pass of this type.
    pub async fn revoke_pass<T: Cached>(&self, key: &T::Key) {
        self.revoke(&full_key::<T>(key), T::TTL).await;
    }
}

fn full_key<T: Cached>(key: &T::Key) -> String {
    format!("{}:{key}", T::PREFIX)
}
