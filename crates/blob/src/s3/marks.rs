//! Marks: what a collector is about to remove, one object for each batch.

use bytes::Bytes;
use storage::{Error, Result};
use types::BlobId;

use super::bucket::{Bucket, Object, Read};

/// How long a mark counts, by the clock of S3. A collector that died leaves one behind, and until then nobody can put
/// what it names; one that is only slow must have ended long before.
const MARK_SECONDS: i64 = 3_600;

/// The content of a mark.
pub(crate) fn content(ids: &[BlobId]) -> Bytes {
    ids.iter().flat_map(|id| id.0).collect()
}

/// Whether the mark has nobody any more, when something else was modified just now.
pub(crate) fn is_over(mark: &Object, now: &Object) -> bool {
    now.modified.seconds() - mark.modified.seconds() > MARK_SECONDS
}

/// Whether the mark names this blob. A mark that went away meanwhile may have.
pub(crate) async fn names(bucket: &Bucket, mark: &Object, id: BlobId) -> Result<bool> {
    match bucket.read(&mark.key, 0, u64::MAX).await? {
        Read::Missing => Ok(true),
        Read::Beyond => Ok(false),
        Read::Content { body, .. } => {
            let bytes = body.collect().await.map_err(|error| Error::Unavailable(error.into()))?.into_bytes();
            Ok(bytes.chunks(id.0.len()).any(|named| named == id.0))
        }
    }
}
