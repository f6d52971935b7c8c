//! Reading stored bodies: whole, a range, or a part decoded on the way.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use message::{Decoder, Encoding};
use storage::{Body, ByteStream, Segment, Snapshot};
use types::{AccountId, BlobId, BodyId};

use crate::{Error, Result, Service};

/// The bytes of a file that is downloaded, or of a part of it.
pub struct Download {
    /// All bytes of it, whatever range is asked for.
    pub size_bytes: u64,
    pub content: Content,
}

/// A downloadable thing: any range of it can be had.
#[derive(Clone)]
pub struct Content {
    service: Service,
    account: AccountId,
    body: Body,
    /// Where in the body it lies.
    range: Range<u64>,
    encoding: Encoding,
}

impl Content {
    pub(crate) fn new(
        service: &Service,
        account: AccountId,
        body: Body,
        range: Range<u64>,
        encoding: Encoding,
    ) -> Self {
        Self { service: service.clone(), account, body, range, encoding }
    }

    /// The bytes of this range of the (decoded) content.
    #[must_use]
    pub fn bytes(self, wanted: Range<u64>) -> ByteStream {
        if self.encoding.is_identity() {
            let start = self.range.start.saturating_add(wanted.start).min(self.range.end);
            let end = self.range.start.saturating_add(wanted.end).min(self.range.end);
            return encoded(&self.service, self.account, &self.body, start..end);
        }
        let source = encoded(&self.service, self.account, &self.body, self.range.clone());
        let state = (source, Some(Decoder::new(self.encoding)), 0_u64);
        let decoded = stream::try_unfold(state, |(mut source, mut decoder, at)| async move {
            let Some(active) = decoder.as_mut() else { return Ok(None) };
            let bytes = match source.try_next().await? {
                Some(bytes) => active.push(&bytes),
                None => decoder.take().map(|mut last| last.finish()).unwrap_or_default(),
            };
            let next = at + bytes.len() as u64;
            Ok::<_, storage::Error>(Some(((at, Bytes::from(bytes)), (source, decoder, next))))
        });
        decoded
            .map_ok(move |(at, bytes)| within(&bytes, at, &wanted))
            .try_filter(|bytes| std::future::ready(!bytes.is_empty()))
            .boxed()
    }

    /// How many bytes it decodes to.
    pub async fn decoded_size(&self) -> Result<u64> {
        if self.encoding.is_identity() {
            return Ok(self.range.end - self.range.start);
        }
        let mut stream = self.clone().bytes(0..u64::MAX);
        let mut size = 0;
        while let Some(bytes) = stream.try_next().await? {
            size += bytes.len() as u64;
        }
        Ok(size)
    }

    /// All of it in memory, if it is not more than `limit` bytes.
    pub async fn collect(self, limit: u64) -> Result<Bytes> {
        collect(self.bytes(0..u64::MAX), limit).await
    }
}

/// The stream's bytes as one, if they are not more than `limit`.
pub(crate) async fn collect(mut stream: ByteStream, limit: u64) -> Result<Bytes> {
    // Most are one piece, which need not be copied.
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(bytes) = stream.try_next().await? {
        if (first.len() + all.len()) as u64 + bytes.len() as u64 > limit {
            return Err(Error::TooLarge(format!("this is more than {limit} bytes")));
        }
        if first.is_empty() && all.is_empty() {
            first = bytes;
            continue;
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&bytes);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The part of `bytes`, which begin at `at`, that lies in `wanted`.
fn within(bytes: &Bytes, at: u64, wanted: &Range<u64>) -> Bytes {
    let clamp =
        |offset: u64| usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (clamp(wanted.start), clamp(wanted.end));
    bytes.slice(start..end.max(start))
}

/// The raw bytes of a range of a body, segment by segment.
pub(crate) fn encoded(service: &Service, account: AccountId, body: &Body, range: Range<u64>) -> ByteStream {
    let mut at = 0;
    let mut pieces = Vec::new();
    for segment in &body.segments {
        let size = segment.size_bytes();
        let (start, end) = (range.start.max(at), range.end.min(at + size));
        if start < end {
            pieces.push((segment.clone(), start - at..end - at));
        }
        at += size;
    }
    let service = service.clone();
    stream::iter(pieces)
        .then(move |(segment, range)| {
            let service = service.clone();
            async move {
                match segment {
                    Segment::Inline(bytes) => {
                        Ok(stream::once(async move { Ok(within(&bytes, 0, &range)) }).boxed())
                    }
                    Segment::Blob { id, .. } => {
                        let missing = || storage::Error::Corrupt(format!("blob {id} is missing"));
                        service.open_blob(account, id, range).await?.ok_or_else(missing)
                    }
                }
            }
        })
        .try_flatten()
        .boxed()
}

impl Service {
    /// A stored body; an error if it is not there, since a row named it.
    pub(crate) async fn body(&self, account: AccountId, id: BodyId) -> Result<Body> {
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.body(account, id).await };
        let packed = self.look(account, look).await?;
        let missing = || Error::Storage(storage::Error::Corrupt(format!("body {id} is missing")));
        Ok(packed.ok_or_else(missing)?.unpack()?)
    }

    /// A blob of the account; `None` if it is not there.
    pub(crate) async fn open_blob(
        &self,
        account: AccountId,
        id: BlobId,
        range: Range<u64>,
    ) -> storage::Result<Option<ByteStream>> {
        let (blobs, shard) = (&self.parts.blobs, self.shard_of(account));
        if let Some(found) = blobs.open(shard, id, range.clone()).await? {
            return Ok(Some(found));
        }
        match self.moved(account, shard).await? {
            Some(home) => blobs.open(home, id, range).await,
            None => Ok(None),
        }
    }

    /// All bytes of a stored body, for the queue.
    pub async fn body_bytes(&self, account: AccountId, id: BodyId) -> Result<Bytes> {
        let body = self.body(account, id).await?;
        collect(encoded(self, account, &body, 0..body.size_bytes()), u64::MAX).await
    }

    /// The first `limit` bytes of a stored body: its header, for a notification.
    pub async fn body_start(&self, account: AccountId, id: BodyId, limit: u64) -> Result<Bytes> {
        let body = self.body(account, id).await?;
        let end = body.size_bytes().min(limit);
        collect(encoded(self, account, &body, 0..end), u64::MAX).await
    }
}

/// Bytes of a body that are kept in the shard; `None` where the range reaches into a blob or beyond the end.
pub(crate) fn inline(body: &Body, range: Range<u64>) -> Option<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    at_hand(body, range).filter(|bytes| bytes.len() as u64 == length).map(Vec::from)
}

/// As many bytes of the range as the body has; `None` where it reaches into a blob.
pub(crate) fn at_hand(body: &Body, range: Range<u64>) -> Option<Bytes> {
    let mut pieces = Vec::new();
    let mut at = 0;
    for segment in &body.segments {
        let end = at + segment.size_bytes();
        if range.start < end && at < range.end {
            let Segment::Inline(piece) = segment else { return None };
            pieces.push(within(piece, at, &range));
        }
        at = end;
    }
    // Most ranges lie in one segment, of which nothing need be copied.
    Some(match pieces.as_slice() {
        [] => Bytes::new(),
        [one] => one.clone(),
        more => more.concat().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_blob_is_not_at_hand() {
        let text = |text: &'static str| Segment::Inline(Bytes::from_static(text.as_bytes()));
        let blob = Segment::Blob { id: BlobId([1; 32]), size_bytes: 10 };
        let body = Body { segments: vec![text("one"), text("two"), text("three"), blob, text("four")] };
        let check = |range: Range<u64>, wanted: Option<&str>, is_whole: bool| {
            let found = at_hand(&body, range.clone());
            assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{range:?}");
            assert_eq!(inline(&body, range.clone()), found.filter(|_| is_whole).map(Vec::from), "{range:?}");
        };
        check(0..3, Some("one"), true);
        check(1..2, Some("n"), true);
        check(3..3, Some(""), true);
        check(2..5, Some("etw"), true);
        check(0..11, Some("onetwothree"), true);
        check(0..12, None, false);
        check(15..16, None, false);
        check(20..23, None, false);
        check(21..25, Some("four"), true);
        check(23..26, Some("ur"), false);
        check(26..30, Some(""), false);
    }
}
