//! Blobs: large encoded attachments, content-addressed and immutable, shared within a shard.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use types::{BlobId, ShardId, Timestamp};

use crate::Result;

/// Bytes that arrive piece by piece.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// What a listing says of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    pub id: BlobId,
    pub size_bytes: u64,
    /// When it was last put. A blob that is put again counts as new, so that the collector's grace time protects
    /// a row that is about to name it.
    pub put_at: Timestamp,
}

/// Keeps blobs, each under the shard whose rows name it.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores these bytes under their BLAKE3 hash. Durable when it returns; storing them again only renews `put_at`.
    async fn put(&self, shard: ShardId, bytes: Bytes) -> Result<BlobId>;

    /// Stores what the stream yields, holding only a piece of it in memory. If the stream or the store fails,
    /// nothing is left behind. Returns the id and the size in bytes.
    async fn put_stream(&self, shard: ShardId, stream: ByteStream) -> Result<(BlobId, u64)>;

    /// The bytes of this range (cut at the blob's end); `None` if there is no such blob.
    async fn open(&self, shard: ShardId, id: BlobId, range: Range<u64>) -> Result<Option<ByteStream>>;

    /// Its size in bytes; `None` if there is no such blob.
    async fn size(&self, shard: ShardId, id: BlobId) -> Result<Option<u64>>;

    /// Removes those of these blobs that were last put before this; how many it removed. Only collectors call this,
    /// also several at once. A put that runs at the same time either keeps the blob or stores it anew, so whoever is
    /// told that it is stored finds it.
    async fn delete(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<u64>;

    /// Every blob of the shard, in no order.
    async fn list(&self, shard: ShardId) -> Result<BoxStream<'static, Result<BlobInfo>>>;
}
