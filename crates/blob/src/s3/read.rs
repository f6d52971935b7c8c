//! Reading a blob piece by piece. A connection that breaks is taken up again where it broke; a blob that was read
//! whole is compared with its name.

use std::ops::Range;

use aws_sdk_s3::primitives::ByteStream as Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use storage::{ByteStream, Error, Result};
use types::BlobId;

use super::bucket::{Bucket, Read};

/// A read under way.
struct Reader {
    bucket: Bucket,
    key: String,
    id: BlobId,
    body: Body,
    /// What is still to come.
    left: Range<u64>,
    /// Of a blob that is read whole.
    hash: Option<Box<blake3::Hasher>>,
    /// How often the connection may break before the next piece.
    tries: u32,
}

const TRIES: u32 = 4;

/// The bytes of this range, cut at the end; `None` if there is no such blob.
pub(crate) async fn open(
    bucket: &Bucket,
    key: String,
    id: BlobId,
    range: Range<u64>,
) -> Result<Option<ByteStream>> {
    if range.is_empty() {
        return Ok(bucket.head(&key).await?.map(|_| stream::empty().boxed()));
    }
    let (body, total_bytes) = match bucket.read(&key, range.start, range.end).await? {
        Read::Missing => return Ok(None),
        Read::Beyond => return Ok(Some(stream::empty().boxed())),
        Read::Content { body, total_bytes } => (body, total_bytes),
    };
    let left = range.start..range.end.min(total_bytes);
    let hash = (left == (0..total_bytes)).then(Box::default);
    let reader = Reader { bucket: bucket.clone(), key, id, body, left, hash, tries: TRIES };
    Ok(Some(stream::try_unfold(reader, Reader::next).boxed()))
}

impl Reader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if self.left.is_empty() {
                return self.check().map(|()| None);
            }
            let cause = match self.body.next().await {
                Some(Ok(piece)) if piece.is_empty() => continue,
                Some(Ok(piece)) => {
                    self.took(&piece)?;
                    return Ok(Some((piece, self)));
                }
                Some(Err(error)) => error.to_string(),
                None => "it ended early".to_owned(),
            };
            self = self.again(cause).await?;
        }
    }

    fn took(&mut self, piece: &Bytes) -> Result<()> {
        self.left.start += piece.len() as u64;
        if self.left.start > self.left.end {
            return Err(Error::Corrupt(format!("blob {}: S3 sent more than was asked for", self.id)));
        }
        if let Some(hash) = &mut self.hash {
            hash.update(piece);
        }
        self.tries = TRIES;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        match &self.hash {
            Some(hash) if BlobId(hash.finalize().into()) != self.id => {
                Err(Error::Corrupt(format!("blob {}: its bytes are not those that were stored", self.id)))
            }
            _ => Ok(()),
        }
    }

    /// Asks for the rest.
    async fn again(mut self, cause: String) -> Result<Self> {
        let Some(tries) = self.tries.checked_sub(1) else {
            return Err(Error::Unavailable(format!("blob {}: reading broke off: {cause}", self.id).into()));
        };
        self.tries = tries;
        match self.bucket.read(&self.key, self.left.start, self.left.end).await? {
            Read::Content { body, .. } => self.body = body,
            Read::Missing | Read::Beyond => {
                return Err(Error::Corrupt(format!(
                    "blob {} went away or shrank while it was read",
                    self.id
                )));
            }
        }
        Ok(self)
    }
}
