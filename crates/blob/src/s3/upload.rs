//! Large objects go up in parts, and are there at once when all of them are.

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use storage::{Error, Result};
use tokio_util::task::TaskTracker;

use super::{
    bucket::Bucket,
    fault::{answer, fault},
};

/// The size of a part: S3 takes 5 MiB and more, and 10,000 parts.
pub(crate) const PART_BYTES: usize = 8 << 20;
/// So that one part is read while another is sent.
const AT_ONCE: usize = 2;

/// An upload that has begun. Given up when it is dropped, unless it was finished.
struct Upload<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    id: Option<String>,
    /// Parts on their way. They get there whoever waits for them: S3 may keep one that an end of its upload overtakes.
    on_their_way: TaskTracker,
}

/// Stores these parts as one object. If a part fails to come, or to go, nothing is left after a while.
pub(crate) async fn upload(
    bucket: &Bucket,
    key: &str,
    parts: impl Stream<Item = Result<Bytes>>,
) -> Result<()> {
    let created = bucket.client.create_multipart_upload().bucket(bucket.name()).key(key);
    let created = created.checksum_algorithm(ChecksumAlgorithm::Crc32C).send();
    let created = bucket.ask(created).await.map_err(|error| fault(&bucket.place, &error))?;
    let Some(id) = created.upload_id else {
        return Err(Error::Backend("S3 began an upload without a name for it".into()));
    };
    let upload = Upload { bucket, key, id: Some(id), on_their_way: TaskTracker::new() };
    let sent = parts.zip(futures::stream::iter(1..)).map(|(part, number)| upload.send(number, part));
    let sent = sent.buffered(AT_ONCE).try_collect().await?;
    upload.finish(sent).await
}

impl Upload<'_> {
    async fn send(&self, number: i32, part: Result<Bytes>) -> Result<CompletedPart> {
        let request = self.bucket.client.upload_part().bucket(self.bucket.name()).key(self.key);
        let request = request.set_upload_id(self.id.clone()).part_number(number);
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32C).body(ByteStream::from(part?));
        let bucket = self.bucket.clone();
        let sent = self.on_their_way.spawn(async move { bucket.ask(request.send()).await }).await;
        let sent = sent.map_err(|error| Error::Backend(error.into()))?;
        let sent = sent.map_err(|error| fault(&self.bucket.place, &error))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        Ok(part.set_checksum_crc32_c(sent.checksum_crc32_c).build())
    }

    async fn finish(mut self, parts: Vec<CompletedPart>) -> Result<()> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.bucket.client.complete_multipart_upload().bucket(self.bucket.name()).key(self.key);
        let request = request.set_upload_id(self.id.clone()).multipart_upload(parts).send();
        match self.bucket.ask(request).await {
            Ok(_) => {}
            // An answer was lost and the request made again. Whoever needs the object looks whether it is there.
            Err(error) if answer(&error).is_some_and(|answer| answer.code == "NoSuchUpload") => {}
            Err(error) => return Err(fault(&self.bucket.place, &error)),
        }
        self.id = None;
        Ok(())
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (bucket, key) = (self.bucket.clone(), self.key.to_owned());
        let parts = self.on_their_way.clone();
        parts.close();
        self.bucket.clean(async move {
            parts.wait().await;
            give_up(&bucket, &key, id).await;
        });
    }
}

/// Removes the parts that are there.
pub(crate) async fn give_up(bucket: &Bucket, key: &str, id: String) {
    let request = bucket.client.abort_multipart_upload().bucket(bucket.name()).key(key).upload_id(id);
    if let Err(error) = bucket.ask(request.send()).await {
        tracing::warn!(key, error = %fault(&bucket.place, &error), "upload to S3 not given up");
    }
}
