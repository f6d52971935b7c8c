//! Uploads: files that wait to be attached.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use storage::{ByteStream, Needs, Result as StorageResult, Transaction, Unit, Upload};
use types::{AccountId, UploadId, api};

use crate::{Access, Error, Result};

const MAX_TYPE_CHARS: usize = 120;

impl Access {
    /// Keeps a file until it is attached, or its time is over. Streams: a piece of it is in memory at a time.
    pub async fn upload(
        &self,
        filename: &str,
        content_type: &str,
        bytes: ByteStream,
    ) -> Result<api::Uploaded> {
        self.check_room(1).await?;
        let limit = self.service.config().max_upload_bytes;
        let too_large = || storage::Error::Backend(Box::new(OverLimit));
        let mut seen = 0_u64;
        let limited: ByteStream = Box::pin(bytes.and_then(move |piece| {
            seen += piece.len() as u64;
            std::future::ready(if seen > limit { Err(too_large()) } else { Ok(piece) })
        }));
        let shard = self.shard();
        let (blob, size_bytes) =
            self.service.parts.blobs.put_stream(shard, limited).await.map_err(|error| match error {
                storage::Error::Backend(source) if source.is::<OverLimit>() => {
                    Error::TooLarge(format!("a file to attach has at most {limit} bytes"))
                }
                other => other.into(),
            })?;
        let now = self.service.now();
        let upload = Upload {
            account: self.id,
            id: UploadId::at(now, self.service.random_bytes()),
            filename: message::filename::sanitize(filename).unwrap_or_else(|| "attachment".into()),
            content_type: valid_type(content_type),
            size_bytes,
            blob,
            created_at: now,
        };
        let answer = api::Uploaded {
            id: upload.id,
            filename: upload.filename.clone(),
            content_type: upload.content_type.clone(),
            size: size_bytes,
        };
        self.service.write(shard, Add(upload)).await?;
        Ok(answer)
    }

    /// Gives an upload up.
    pub async fn discard_upload(&self, id: UploadId) -> Result<()> {
        self.write(Discard { account: self.id, id }).await
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more bytes than allowed")]
struct OverLimit;

/// The media type without parameters, or the one for anything if it is none.
fn valid_type(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    let is_token = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c))
    };
    let valid = essence.len() <= MAX_TYPE_CHARS
        && essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    // A file called multipart/… or message/… would change the structure of the mail it is attached to.
    if valid && !essence.starts_with("multipart/") && !essence.starts_with("message/") {
        essence
    } else {
        "application/octet-stream".into()
    }
}

struct Add(Upload);

#[async_trait]
impl Unit for Add {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0.account], blobs: vec![self.0.blob], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.add_upload(self.0.clone()).await
    }
}

struct Discard {
    account: AccountId,
    id: UploadId,
}

#[async_trait]
impl Unit for Discard {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.remove_upload(self.account, self.id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_types_become_plain_bytes() {
        for (given, kept) in [
            ("image/PNG; x=y", "image/png"),
            ("text/html", "text/html"),
            ("message/rfc822", "application/octet-stream"),
            ("multipart/mixed", "application/octet-stream"),
            ("x", "application/octet-stream"),
            ("a/b\r\nBcc: x", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(valid_type(given), kept, "{given}");
        }
    }
}
