//! Blobs in an S3 bucket. Keys, behind the prefix: `blobs/SHARD/ID`, `marks/SHARD/NAME` and `drafts/NAME`.
//!
//! **What is acknowledged stays.** S3 cannot remove an object only if it is old, and a blob that is put again has the
//! same key and the same ETag as before. So a collector and those who put agree by *marks*, objects that name what is
//! about to be removed. S3 must see its own writes at once in reads and listings, which Amazon's has done since 2020.
//!
//! | a put                                                   | a removal                                         |
//! |---------------------------------------------------------|---------------------------------------------------|
//! | 1. has a listing of the marks: none names the blob       | 1. writes a mark, of a name never used before      |
//! | 2. writes the blob, or renews its time                   | 2. waits, longer than a put may take               |
//! | 3. is acknowledged if [`S3Limits::put_time`] has not     | 3. asks for the blob's time: it is old             |
//! |    passed since the listing began; or begins again       | 4. removes the blob, by one request, made once     |
//! |                                                          | 5. when that is answered, removes its own mark     |
//!
//! Say a removal's fourth step came after a put's second. Its mark was not there when the put's listing began, since
//! it stays until its fifth step and the put would have seen it. So it was written later, and its third step came more
//! than `put_time` after the listing began, when the put had written: it found a blob that was renewed, and would not
//! have gone on. So one listing serves all puts of its time. All nodes of a service need the same `put_time`; what
//! counts is how long things take, not what clocks show. Several collectors have marks of their own and need not know
//! of each other. If a removal is not answered, it may still happen: its mark stays, and so does that of a collector
//! that died. Marks count for an hour by the clock of S3, and are cleared away then; a removal is begun within five
//! minutes of its mark, its signature ends by itself after a quarter of an hour, and nobody waits for the answer longer
//! than [`S3Limits::request_time`]. While a mark counts, only what it names cannot be put, and that is what nothing had
//! named for longer than the collector's grace; and a put that comes before the collector has asked goes ahead.
//!
//! Requests, without retries: a blob takes 1 (`PUT`), whether it is there or not, and a `LIST` now and then. One of a
//! MiB or more is asked for first, and copied onto itself if it is there: 2; one of more than a part takes 3 and its
//! parts; a stream of more than a part goes to a draft first, since its name is known at its end only: 5 and its parts.
//! A read takes 1, `size` 1, a page of 1000 listed blobs 1, and a removal of up to 1000 blobs 4 and one for each blob.

mod breaker;
mod bucket;
mod fault;
mod marks;
mod read;
#[cfg(test)]
mod tests;
mod upload;
mod url;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::config::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use storage::{BlobInfo, Blobs, ByteStream, Error, Result};
use tokio::time::Instant;
use types::{BlobId, ShardId, Timestamp};

use bucket::{Bucket, Object, Removal, Temporary};
use marks::Marks;
use upload::{PART_BYTES, upload};
pub use url::{S3Keys, S3Url};

/// How long to try.
#[derive(Debug, Clone)]
pub struct S3Limits {
    /// How often a request is made until it is served.
    pub attempts: u32,
    /// Before the second attempt; doubled each time, and shortened at random.
    pub first_pause: Duration,
    /// For the answer to one attempt to begin.
    pub attempt_time: Duration,
    /// For all attempts of a request.
    pub request_time: Duration,
    /// Of an S3 that gave no answer several times nobody asks anything for so long; then one request tries.
    pub away_time: Duration,
    /// From a listing of the marks to the end of a put that goes by it. The same for all nodes of a service.
    pub put_time: Duration,
}

impl Default for S3Limits {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(200),
            attempt_time: Duration::from_secs(10),
            request_time: Duration::from_secs(20),
            away_time: Duration::from_secs(5),
            put_time: Duration::from_secs(30),
        }
    }
}

impl S3Limits {
    /// For how long puts begin with a listing: what is left is enough for a request.
    fn listing_time(&self) -> Duration {
        self.put_time / 3
    }

    /// Between a mark and the look at what it names.
    fn mark_wait(&self) -> Duration {
        self.put_time + self.put_time / 3
    }
}

/// Blobs in a bucket. Clones are the same store.
#[derive(Clone)]
pub struct S3Blobs {
    bucket: Bucket,
    prefix: Arc<str>,
    names: Arc<Names>,
    limits: S3Limits,
    /// What was listed last.
    marks: Arc<Mutex<HashMap<ShardId, Arc<Marks>>>>,
}

/// Names that no other store uses, in no process.
struct Names {
    instance: u128,
    next: AtomicU64,
}

/// Before a put begins again because of a collector; doubled each time.
const PUT_PAUSE: Duration = Duration::from_millis(20);
/// Larger blobs are asked for first, since sending them takes longer than asking.
const ASK_FROM_BYTES: u64 = 1 << 20;
/// How many blobs one mark names: what S3 removes by one request.
const BATCH: usize = 1_000;
/// How many marks wait together.
const MARKS_AT_ONCE: usize = 10;
/// How many blobs a collector asks for at a time.
const HEADS_AT_ONCE: usize = 16;
/// Between a mark and the removal.
const REMOVE_WITHIN: Duration = Duration::from_secs(300);
/// After this, by the clock of S3, a draft has no writer any more.
const DRAFT_SECONDS: i64 = 86_400;

/// What a put writes.
enum Source<'a> {
    Bytes(&'a Bytes),
    /// An object that has it.
    Draft(&'a str),
}

impl S3Blobs {
    /// Opens the bucket; fails, with a line that says why, unless it can be listed, written to and cleared. `instance`
    /// is a random number. Removes drafts that a crash left.
    pub async fn open(url: &S3Url, keys: &S3Keys, limits: &S3Limits, instance: u128) -> Result<Self> {
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let config = Builder::new().http_client(http.build_https());
        Self::open_with(url, Bucket::new(url, keys, limits, config)?, limits, instance).await
    }

    async fn open_with(url: &S3Url, bucket: Bucket, limits: &S3Limits, instance: u128) -> Result<Self> {
        let blobs = Self {
            bucket,
            prefix: url.prefix.as_str().into(),
            names: Arc::new(Names { instance, next: AtomicU64::default() }),
            limits: limits.clone(),
            marks: Arc::default(),
        };
        blobs.prepare().await?;
        Ok(blobs)
    }

    async fn prepare(&self) -> Result<()> {
        // Listing comes first: its answer names what is wrong with the URL or the keys.
        let drafts = format!("{}drafts/", self.prefix);
        let left = self.bucket.list_all(&drafts).await?;
        let now = self.time().await?.seconds();
        for draft in left.iter().filter(|draft| now - draft.modified.seconds() > DRAFT_SECONDS) {
            self.bucket.remove(&draft.key).await?;
        }
        self.bucket.give_up_uploads(&self.prefix, now - DRAFT_SECONDS).await;
        Ok(())
    }

    /// What time it is by the clock of S3, in whole seconds.
    async fn time(&self) -> Result<Timestamp> {
        let probe = self.bucket.temporary(self.draft());
        self.bucket.put(probe.key(), Bytes::new()).await?;
        let found = self.bucket.head(probe.key()).await?;
        probe.remove().await?;
        let found =
            found.ok_or_else(|| Error::Backend("S3 does not find what was stored just now".into()))?;
        Ok(found.modified)
    }

    fn key(&self, shard: ShardId, id: BlobId) -> String {
        format!("{}{id}", self.folder(shard))
    }

    fn folder(&self, shard: ShardId) -> String {
        format!("{}blobs/{shard}/", self.prefix)
    }

    fn mark_folder(&self, shard: ShardId) -> String {
        format!("{}marks/{shard}/", self.prefix)
    }

    fn draft(&self) -> String {
        format!("{}drafts/{}", self.prefix, self.names.next())
    }

    /// Stores it and makes sure that no collector removes it: see the head of this file.
    async fn keep(&self, shard: ShardId, id: BlobId, size_bytes: u64, source: Source<'_>) -> Result<()> {
        let key = self.key(shard, id);
        let (begun, mut pause) = (Instant::now(), PUT_PAUSE);
        loop {
            let marks = self.marks(shard).await?;
            if !(size_bytes >= ASK_FROM_BYTES && self.renew(&key, size_bytes).await?) {
                self.write(&key, &source).await?;
            }
            let in_time = marks.listed.elapsed() <= self.limits.put_time;
            if in_time
                && (!marks.name(id) || marks.are_harmless(id, self.time().await?, self.limits.mark_wait()))
            {
                return Ok(());
            }
            self.known_marks().remove(&shard);
            // What took long to send need only be renewed now.
            if pause > PUT_PAUSE && begun.elapsed() > self.limits.request_time {
                let why = if in_time { "the collector is removing the same blob" } else { "S3 is too slow" };
                return Err(Error::Unavailable(why.into()));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// The marks of a short while ago, or of now.
    async fn marks(&self, shard: ShardId) -> Result<Arc<Marks>> {
        let known = self.known_marks().get(&shard).cloned();
        if let Some(known) = known.filter(|known| known.listed.elapsed() < self.limits.listing_time()) {
            return Ok(known);
        }
        let marks = Arc::new(Marks::read(&self.bucket, &self.mark_folder(shard)).await?);
        self.known_marks().insert(shard, Arc::clone(&marks));
        Ok(marks)
    }

    fn known_marks(&self) -> MutexGuard<'_, HashMap<ShardId, Arc<Marks>>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was there, and is new now.
    async fn renew(&self, key: &str, size_bytes: u64) -> Result<bool> {
        let there = self.bucket.head(key).await?.is_some_and(|found| found.size_bytes == size_bytes);
        Ok(there && self.bucket.copy(key, key).await?)
    }

    async fn write(&self, key: &str, source: &Source<'_>) -> Result<()> {
        match source {
            Source::Bytes(bytes) if bytes.len() <= PART_BYTES => {
                self.bucket.put(key, Bytes::clone(bytes)).await
            }
            Source::Bytes(bytes) => {
                let starts = (0..bytes.len()).step_by(PART_BYTES);
                let parts = starts.map(|start| Ok(bytes.slice(start..bytes.len().min(start + PART_BYTES))));
                upload(&self.bucket, key, stream::iter(parts)).await
            }
            Source::Draft(draft) => {
                if self.bucket.copy(draft, key).await? {
                    return Ok(());
                }
                Err(Error::Backend(format!("S3 has lost {draft}, which was stored just now").into()))
            }
        }
    }

    /// Removes what of these is old. At most [`MARKS_AT_ONCE`] times [`BATCH`].
    async fn remove(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<u64> {
        let folder = self.mark_folder(shard);
        let mut marks = Vec::new();
        for batch in ids.chunks(BATCH) {
            let mark = self.bucket.temporary(format!("{folder}{}", self.names.next()));
            self.bucket.put(mark.key(), marks::content(batch)).await?;
            marks.push((mark, batch));
        }
        let marked = Instant::now();
        self.clear_marks(&folder, marks.last().map_or("", |(mark, _)| mark.key())).await?;
        tokio::time::sleep_until(marked + self.limits.mark_wait()).await;
        let mut removed = 0;
        for (mark, batch) in marks {
            let old = self.old(shard, batch, put_before).await?;
            if !old.is_empty() {
                if marked.elapsed() > REMOVE_WITHIN {
                    return Err(Error::Unavailable("S3 is too slow to collect".into()));
                }
                removed += self.remove_marked(&mark, old).await?;
            }
            mark.remove().await?;
        }
        Ok(removed)
    }

    /// The mark stays if nobody knows what became of the removal.
    async fn remove_marked(&self, mark: &Temporary, keys: Vec<String>) -> Result<u64> {
        let count = keys.len() as u64;
        mark.keep(true);
        match self.bucket.remove_all(keys).await {
            Removal::Done => {
                mark.keep(false);
                Ok(count)
            }
            Removal::Refused(error) => {
                mark.keep(false);
                Err(error)
            }
            Removal::Unknown(error) => Err(error),
        }
    }

    /// The keys of those that were last put before this.
    async fn old(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<Vec<String>> {
        let keys: Vec<_> = ids.iter().map(|id| self.key(shard, *id)).collect();
        let heads = stream::iter(keys).map(|key| async move { self.bucket.head(&key).await });
        let found: Vec<_> = heads.buffer_unordered(HEADS_AT_ONCE).try_collect().await?;
        let old = |object: &Object| object.modified.plus(Duration::from_secs(1)) <= put_before;
        Ok(found.into_iter().flatten().filter(old).map(|object| object.key).collect())
    }

    /// Removes marks that count no more, now that this one was written.
    async fn clear_marks(&self, folder: &str, own: &str) -> Result<()> {
        let marks = self.bucket.list_all(folder).await?;
        let Some(now) = marks.iter().find(|mark| mark.key == own).map(|mark| mark.modified) else {
            return Err(Error::Backend(
                "S3 does not list what was stored just now: collectors and puts could not agree".into(),
            ));
        };
        for mark in marks.iter().filter(|mark| marks::is_over(mark.modified, now)) {
            self.bucket.remove(&mark.key).await?;
        }
        Ok(())
    }
}

impl Names {
    fn next(&self) -> String {
        format!("{:032x}-{}", self.instance, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

#[async_trait]
impl Blobs for S3Blobs {
    async fn put(&self, shard: ShardId, bytes: Bytes) -> Result<BlobId> {
        let hashed = bytes.clone();
        let hash = tokio::task::spawn_blocking(move || blake3::hash(&hashed)).await;
        let id = BlobId(hash.map_err(|error| Error::Backend(error.into()))?.into());
        self.keep(shard, id, bytes.len() as u64, Source::Bytes(&bytes)).await?;
        Ok(id)
    }

    async fn put_stream(&self, shard: ShardId, stream: ByteStream) -> Result<(BlobId, u64)> {
        let mut parts = Box::pin(parts(stream));
        let first = parts.try_next().await?.unwrap_or_default();
        if first.len() < PART_BYTES {
            let size_bytes = first.len() as u64;
            return Ok((self.put(shard, first).await?, size_bytes));
        }
        let mut hash: Box<blake3::Hasher> = Box::default();
        let draft = self.bucket.temporary(self.draft());
        let all = stream::iter([Ok(first)]).chain(parts).inspect_ok(|part| {
            hash.update(part);
        });
        upload(&self.bucket, draft.key(), all).await?;
        let (id, size_bytes) = (BlobId(hash.finalize().into()), hash.count());
        self.keep(shard, id, size_bytes, Source::Draft(draft.key())).await?;
        Ok((id, size_bytes))
    }

    async fn open(&self, shard: ShardId, id: BlobId, range: Range<u64>) -> Result<Option<ByteStream>> {
        read::open(&self.bucket, self.key(shard, id), id, range).await
    }

    async fn size(&self, shard: ShardId, id: BlobId) -> Result<Option<u64>> {
        Ok(self.bucket.head(&self.key(shard, id)).await?.map(|found| found.size_bytes))
    }

    async fn delete(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<u64> {
        let mut removed = 0;
        for some in ids.chunks(BATCH * MARKS_AT_ONCE) {
            removed += self.remove(shard, some, put_before).await?;
        }
        Ok(removed)
    }

    async fn list(&self, shard: ShardId) -> Result<BoxStream<'static, Result<BlobInfo>>> {
        let (bucket, folder) = (self.bucket.clone(), self.folder(shard));
        let first = bucket.list(&folder, None).await?;
        let pages = stream::try_unfold((bucket, folder, Some(first)), |(bucket, folder, page)| async move {
            let Some(page) = page else { return Ok::<_, Error>(None) };
            let infos: Vec<_> =
                page.objects.iter().filter_map(|object| info(&folder, object)).map(Ok).collect();
            let next = match page.next {
                None => None,
                from => Some(bucket.list(&folder, from).await?),
            };
            Ok(Some((stream::iter(infos), (bucket, folder, next))))
        });
        Ok(pages.try_flatten().boxed())
    }
}

/// Other names are not ours.
fn info(folder: &str, object: &Object) -> Option<BlobInfo> {
    let id = object.key.strip_prefix(folder)?.parse().ok()?;
    Some(BlobInfo { id, size_bytes: object.size_bytes, put_at: object.modified })
}

/// The stream in pieces of a part's size; the last is what is left.
fn parts(stream: ByteStream) -> impl futures::Stream<Item = Result<Bytes>> + Send {
    stream::try_unfold(Some((stream, BytesMut::new())), |state| async move {
        let Some((mut stream, mut part)) = state else { return Ok(None) };
        while part.len() < PART_BYTES {
            match stream.try_next().await? {
                Some(piece) => part.extend_from_slice(&piece),
                None if part.is_empty() => return Ok(None),
                None => return Ok(Some((part.freeze(), None))),
            }
        }
        let rest = part.split_off(PART_BYTES);
        Ok(Some((part.freeze(), Some((stream, rest)))))
    })
}
