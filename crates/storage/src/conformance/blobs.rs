//! What [`Blobs`] promises. Call [`run`] with an empty store.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use types::{BlobId, ShardId, Timestamp};

use crate::{BlobInfo, Blobs, ByteStream, Error, Result};

const SHARD: ShardId = ShardId(0);
const OTHER: ShardId = ShardId(1);

/// Runs the whole suite. The store must serve shards 0 and 1 and is left with some blobs in it.
pub async fn run(blobs: Arc<dyn Blobs>) {
    let blobs = blobs.as_ref();
    names_are_blake3(blobs).await;
    bytes_come_back_in_ranges(blobs).await;
    streams_are_put_whole_or_not_at_all(blobs).await;
    putting_again_is_harmless(blobs).await;
    shards_are_apart(blobs).await;
    what_is_deleted_is_gone(blobs).await;
}

/// The test vectors that the BLAKE3 project publishes for no bytes and for `abc`.
async fn names_are_blake3(blobs: &dyn Blobs) {
    for (bytes, id) in [
        ("", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        ("abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
    ] {
        assert_eq!(blobs.put(SHARD, Bytes::from(bytes)).await.unwrap().to_string(), id);
    }
}

async fn bytes_come_back_in_ranges(blobs: &dyn Blobs) {
    let bytes = sample(1, 300_007);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    assert_eq!(blobs.size(SHARD, id).await.unwrap(), Some(300_007));
    for range in [0..300_007, 0..u64::MAX, 0..1, 1..1, 65_535..131_073, 300_006..300_007, 299_000..999_999] {
        let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
        let start = usize::try_from(range.start).unwrap();
        let read = read(blobs, SHARD, id, range.clone()).await;
        assert!(read.as_deref() == Some(&bytes[start..end]), "range {range:?}");
    }
    let beyond = read(blobs, SHARD, id, 300_007..400_000).await;
    assert_eq!(beyond.as_deref(), Some(&b""[..]), "beyond the end there is nothing");
    let unknown = BlobId([7; 32]);
    assert!(blobs.open(SHARD, unknown, 0..1).await.unwrap().is_none());
    assert_eq!(blobs.size(SHARD, unknown).await.unwrap(), None);
}

async fn streams_are_put_whole_or_not_at_all(blobs: &dyn Blobs) {
    let bytes = sample(2, 200_000);
    let pieces: Vec<Result<Bytes>> =
        bytes.chunks(7_777).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let (id, size) = blobs.put_stream(SHARD, stream::iter(pieces).boxed()).await.unwrap();
    assert_eq!(size, 200_000);
    assert_eq!(read(blobs, SHARD, id, 0..size).await, Some(bytes.to_vec()));
    assert_eq!(blobs.put(SHARD, bytes).await.unwrap(), id, "the way in does not matter");
    let empty: ByteStream = stream::empty().boxed();
    assert_eq!(blobs.put_stream(SHARD, empty).await.unwrap().1, 0);

    let before = listed(blobs, SHARD).await;
    let broken: Vec<Result<Bytes>> =
        vec![Ok(sample(3, 100_000)), Err(Error::Unavailable("the sender went away".into()))];
    let error = blobs.put_stream(SHARD, stream::iter(broken).boxed()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "the stream's own error comes back: {error:?}");
    assert_eq!(ids(&listed(blobs, SHARD).await), ids(&before));
}

async fn putting_again_is_harmless(blobs: &dyn Blobs) {
    let bytes = sample(4, 150_000);
    let puts = future::join_all((0..8).map(|_| blobs.put(SHARD, bytes.clone()))).await;
    let id = *puts[0].as_ref().unwrap();
    assert!(puts.iter().all(|put| *put.as_ref().unwrap() == id));
    let first = info(blobs, SHARD, id).await.unwrap();
    assert_eq!(first.size_bytes, 150_000);
    assert_eq!(blobs.put(SHARD, bytes.clone()).await.unwrap(), id);
    let again = info(blobs, SHARD, id).await.unwrap();
    assert!(again.put_at >= first.put_at);
    assert_eq!(read(blobs, SHARD, id, 0..150_000).await, Some(bytes.to_vec()));
}

/// After everything.
const LATER: Timestamp = Timestamp::from_seconds(i64::MAX);

async fn shards_are_apart(blobs: &dyn Blobs) {
    let bytes = sample(5, 70_000);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    assert_eq!(blobs.size(OTHER, id).await.unwrap(), None);
    assert!(info(blobs, OTHER, id).await.is_none());
    assert_eq!(blobs.put(OTHER, bytes.clone()).await.unwrap(), id);
    assert_eq!(blobs.delete(SHARD, &[id], LATER).await.unwrap(), 1);
    assert_eq!(blobs.size(SHARD, id).await.unwrap(), None);
    assert_eq!(read(blobs, OTHER, id, 0..70_000).await, Some(bytes.to_vec()));
}

async fn what_is_deleted_is_gone(blobs: &dyn Blobs) {
    let bytes = sample(6, 90_000);
    let id = blobs.put(SHARD, bytes.clone()).await.unwrap();
    let put_at = info(blobs, SHARD, id).await.unwrap().put_at;
    assert_eq!(blobs.delete(SHARD, &[id], put_at).await.unwrap(), 0, "it was not put before it was put");
    assert_eq!(read(blobs, SHARD, id, 0..90_000).await, Some(bytes.to_vec()));
    let unknown = BlobId([8; 32]);
    assert_eq!(blobs.delete(SHARD, &[id, unknown], LATER).await.unwrap(), 1);
    assert_eq!(blobs.delete(SHARD, &[id, unknown], LATER).await.unwrap(), 0);
    assert_eq!(blobs.delete(SHARD, &[], LATER).await.unwrap(), 0);
    assert!(blobs.open(SHARD, id, 0..1).await.unwrap().is_none());
    assert!(info(blobs, SHARD, id).await.is_none());
    assert_eq!(blobs.put(SHARD, bytes).await.unwrap(), id, "and can come again");
    assert_eq!(blobs.size(SHARD, id).await.unwrap(), Some(90_000));
}

async fn read(blobs: &dyn Blobs, shard: ShardId, id: BlobId, range: std::ops::Range<u64>) -> Option<Vec<u8>> {
    let stream = blobs.open(shard, id, range).await.unwrap()?;
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    Some(pieces.concat())
}

async fn listed(blobs: &dyn Blobs, shard: ShardId) -> Vec<BlobInfo> {
    let mut all: Vec<BlobInfo> = blobs.list(shard).await.unwrap().try_collect().await.unwrap();
    all.sort_by_key(|info| info.id);
    all
}

async fn info(blobs: &dyn Blobs, shard: ShardId, id: BlobId) -> Option<BlobInfo> {
    let mut found = listed(blobs, shard).await.into_iter().filter(|info| info.id == id);
    let info = found.next();
    assert!(found.next().is_none(), "a blob is listed once");
    info
}

fn ids(infos: &[BlobInfo]) -> Vec<BlobId> {
    infos.iter().map(|info| info.id).collect()
}

/// Bytes without a pattern that a store could hide a mistake in.
fn sample(seed: u32, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..len).map(|_| next()).collect()
}
