//! Marks: what collectors are about to remove, one object for each batch.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use storage::{Error, Result};
use tokio::time::Instant;
use types::{BlobId, Timestamp};

use super::bucket::{Bucket, Read};

/// How long a mark counts, by the clock of S3. A collector that died leaves one behind, and until then nobody can put
/// what it names; one that is only slow must have ended long before.
const MARK_SECONDS: i64 = 3_600;
/// How far apart the clocks of a store's machines may be, and what whole seconds hide.
const APART: Duration = Duration::from_secs(4);

/// The marks of a shard.
pub(crate) struct Marks {
    /// When the listing began.
    pub(crate) listed: Instant,
    marks: Vec<Mark>,
}

struct Mark {
    made_at: Timestamp,
    names: HashSet<BlobId>,
}

impl Marks {
    pub(crate) async fn read(bucket: &Bucket, folder: &str) -> Result<Self> {
        let mut all = Self { listed: Instant::now(), marks: Vec::new() };
        for mark in bucket.list_all(folder).await? {
            // One that went away meanwhile belongs to a removal that is over.
            if let Read::Content { body, .. } = bucket.read(&mark.key, 0, u64::MAX).await? {
                let bytes =
                    body.collect().await.map_err(|error| Error::Unavailable(error.into()))?.into_bytes();
                let (names, _) = bytes.as_chunks();
                let names = names.iter().copied().map(BlobId).collect();
                all.marks.push(Mark { made_at: mark.modified, names });
            }
        }
        Ok(all)
    }

    /// Whether one of them names this blob.
    pub(crate) fn name(&self, id: BlobId) -> bool {
        self.marks.iter().any(|mark| mark.names.contains(&id))
    }

    /// Whether those that name this blob do nothing to one that was written before `now`, by the clock of S3: they
    /// are over, or their collectors have not looked at it yet, since they wait for so long.
    pub(crate) fn are_harmless(&self, id: BlobId, now: Timestamp, mark_wait: Duration) -> bool {
        let mut naming = self.marks.iter().filter(|mark| mark.names.contains(&id));
        naming.all(|mark| is_over(mark.made_at, now) || now.plus(APART) < mark.made_at.plus(mark_wait))
    }
}

/// The content of a mark.
pub(crate) fn content(ids: &[BlobId]) -> Bytes {
    ids.iter().flat_map(|id| id.0).collect()
}

/// Whether the mark has nobody any more.
pub(crate) fn is_over(made_at: Timestamp, now: Timestamp) -> bool {
    now.seconds() - made_at.seconds() > MARK_SECONDS
}
