//! Blobs in an S3 bucket. Keys, behind the prefix: `blobs/SHARD/ID`, `marks/SHARD/NAME` and `drafts/NAME`.
//!
//! **What is acknowledged stays.** S3 cannot remove an object only if it is old, and a blob that is put again has the
//! same key and the same ETag as before. So a collector and those who put agree by *marks*, objects that name what is
//! about to be removed. S3 must see its own writes at once in reads and listings, which Amazon's has done since 2020.
//!
//! | a put                                          | a removal                                              |
//! |------------------------------------------------|--------------------------------------------------------|
//! | 1. writes the blob, or renews its time          | 1. writes a mark, of a name never used before          |
//! | 2. lists the marks: none names the blob         | 2. asks for the blob's time: it is old                 |
//! | 3. asks for the blob: it is there               | 3. removes the blob, by one request, made once         |
//! | and is acknowledged; or begins again            | 4. when that is answered, removes its own mark         |
//!
//! Say a removal's third step came after a put's third. Its mark was there from its first step to its fourth, so also
//! at the put's second, unless the first came later than that. Then its second came later than the put's first, and
//! found a blob that was renewed: it would not have gone on. Several collectors have marks of their own and need not
//! know of each other. If a removal is not answered, it may still happen: its mark stays, and so does that of a
//! collector that died. Marks count for an hour by the clock of S3, and are cleared away then; a removal is begun
//! within a minute of its mark, its signature ends by itself after a quarter of an hour, and nobody waits for the
//! answer longer than [`S3Limits::request_time`]. While a mark is left over, only what it names cannot be put, and
//! that is what nothing had named for longer than the collector's grace.
//!
//! Requests, without retries: a new blob takes 4 (`HEAD`, `PUT`, `LIST`, `HEAD`), one that is there 4 (a copy onto
//! itself in place of the `PUT`); one of more than a part takes 5 and its parts; a stream of more than a part goes to a
//! draft first, since its name is known at its end only: 7 and its parts. A read takes 1, `size` 1, a page of
//! 1000 listed blobs 1, and a removal of up to 1000 blobs 4 and one for each blob.

mod bucket;
mod fault;
mod marks;
mod read;
#[cfg(test)]
mod tests;
mod upload;
mod url;

use std::{
    ops::Range,
    sync::{
        Arc,
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

use bucket::{Bucket, Object, Removal};
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
}

impl Default for S3Limits {
    fn default() -> Self {
        Self {
            attempts: 4,
            first_pause: Duration::from_millis(200),
            attempt_time: Duration::from_secs(10),
            request_time: Duration::from_secs(20),
        }
    }
}

/// Blobs in a bucket. Clones are the same store.
#[derive(Clone)]
pub struct S3Blobs {
    bucket: Bucket,
    prefix: Arc<str>,
    names: Arc<Names>,
}

/// Names that no other store uses, in no process.
struct Names {
    instance: u128,
    next: AtomicU64,
}

/// How often a put begins again because of a collector, and the first pause before it does.
const PUT_TRIES: u32 = 8;
const PUT_PAUSE: Duration = Duration::from_millis(20);
/// How many blobs one mark names: what S3 removes by one request.
const BATCH: usize = 1_000;
/// How many blobs a collector asks for at a time.
const HEADS_AT_ONCE: usize = 16;
/// Between a mark and the removal.
const REMOVE_WITHIN: Duration = Duration::from_secs(60);
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
        Self::open_with(url, Bucket::new(url, keys, limits, config)?, instance).await
    }

    async fn open_with(url: &S3Url, bucket: Bucket, instance: u128) -> Result<Self> {
        let blobs = Self {
            bucket,
            prefix: url.prefix.as_str().into(),
            names: Arc::new(Names { instance, next: AtomicU64::default() }),
        };
        blobs.prepare().await?;
        Ok(blobs)
    }

    async fn prepare(&self) -> Result<()> {
        // Listing comes first: its answer names what is wrong with the URL or the keys.
        let drafts = format!("{}drafts/", self.prefix);
        let left = self.bucket.list_all(&drafts).await?;
        let probe = self.draft();
        self.bucket.put(&probe, Bytes::new()).await?;
        let now = self.bucket.head(&probe).await?;
        self.bucket.remove(&probe).await?;
        if let Some(now) = now {
            for draft in left {
                if now.modified.seconds() - draft.modified.seconds() > DRAFT_SECONDS {
                    self.bucket.remove(&draft.key).await?;
                }
            }
            self.bucket.give_up_uploads(&self.prefix, now.modified.seconds() - DRAFT_SECONDS).await;
        }
        Ok(())
    }

    fn key(&self, shard: ShardId, id: BlobId) -> String {
        format!("{}{id}", self.folder(shard))
    }

    fn folder(&self, shard: ShardId) -> String {
        format!("{}blobs/{shard}/", self.prefix)
    }

    fn marks(&self, shard: ShardId) -> String {
        format!("{}marks/{shard}/", self.prefix)
    }

    fn draft(&self) -> String {
        format!("{}drafts/{}", self.prefix, self.names.next())
    }

    /// Stores it and makes sure that no collector removes it: see the head of this file.
    async fn keep(&self, shard: ShardId, id: BlobId, size_bytes: u64, source: Source<'_>) -> Result<()> {
        let key = self.key(shard, id);
        let mut pause = PUT_PAUSE;
        for _ in 0..PUT_TRIES {
            let there = self.bucket.head(&key).await?.is_some_and(|found| found.size_bytes == size_bytes);
            if !(there && self.bucket.copy(&key, &key).await?) {
                self.write(&key, &source).await?;
            }
            let marks = self.bucket.list_all(&self.marks(shard)).await?;
            if let Some(found) = self.bucket.head(&key).await?
                && !self.is_marked(&marks, &found, id).await?
            {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Error::Unavailable("the collector is removing the same blob".into()))
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

    async fn is_marked(&self, marks: &[Object], found: &Object, id: BlobId) -> Result<bool> {
        for mark in marks.iter().filter(|mark| !marks::is_over(mark, found)) {
            if marks::names(&self.bucket, mark, id).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes what of these is old. At most [`BATCH`].
    async fn remove(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<u64> {
        let mark = format!("{}{}", self.marks(shard), self.names.next());
        self.bucket.put(&mark, marks::content(ids)).await?;
        let marked = Instant::now();
        let removed = match self.old(shard, ids, put_before).await {
            Ok(old) if old.is_empty() => Ok(0),
            Ok(_) if marked.elapsed() > REMOVE_WITHIN => {
                Err(Error::Unavailable("S3 is too slow to collect".into()))
            }
            Ok(old) => {
                let count = old.len() as u64;
                match self.bucket.remove_all(old).await {
                    Removal::Done => Ok(count),
                    Removal::Refused(error) => Err(error),
                    Removal::Unknown(error) => return Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let cleared = self.clear_marks(shard, &mark).await;
        let removed = removed?;
        cleared?;
        Ok(removed)
    }

    /// The keys of those that were last put before this.
    async fn old(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<Vec<String>> {
        let keys: Vec<_> = ids.iter().map(|id| self.key(shard, *id)).collect();
        let heads = stream::iter(keys).map(|key| async move { self.bucket.head(&key).await });
        let found: Vec<_> = heads.buffer_unordered(HEADS_AT_ONCE).try_collect().await?;
        let old = |object: &Object| object.modified.plus(Duration::from_secs(1)) <= put_before;
        Ok(found.into_iter().flatten().filter(old).map(|object| object.key).collect())
    }

    /// Removes this mark and those that count no more.
    async fn clear_marks(&self, shard: ShardId, own: &str) -> Result<()> {
        let marks = self.bucket.list_all(&self.marks(shard)).await?;
        let now = marks.iter().find(|mark| mark.key == own).cloned();
        for mark in marks {
            if mark.key == own || now.as_ref().is_some_and(|now| marks::is_over(&mark, now)) {
                self.bucket.remove(&mark.key).await?;
            }
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
        let draft = Draft { bucket: self.bucket.clone(), key: self.draft() };
        let all = stream::iter([Ok(first)]).chain(parts).inspect_ok(|part| {
            hash.update(part);
        });
        upload(&self.bucket, &draft.key, all).await?;
        let (id, size_bytes) = (BlobId(hash.finalize().into()), hash.count());
        self.keep(shard, id, size_bytes, Source::Draft(&draft.key)).await?;
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
        for batch in ids.chunks(BATCH) {
            removed += self.remove(shard, batch, put_before).await?;
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

/// An object that holds a stream until its name is known. Removed when this is dropped.
struct Draft {
    bucket: Bucket,
    key: String,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let (bucket, key) = (self.bucket.clone(), std::mem::take(&mut self.key));
        self.bucket.clean(async move {
            if let Err(error) = bucket.remove(&key).await {
                tracing::warn!(key, %error, "draft of a blob not removed");
            }
        });
    }
}
