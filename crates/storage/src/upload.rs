//! Uploads: files that wait to be attached.

use types::{AccountId, BlobId, Timestamp, UploadId};

/// An uploaded file. Its bytes are a blob of the account's shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub account: AccountId,
    pub id: UploadId,
    pub filename: String,
    pub content_type: String,
    pub size_bytes: u64,
    pub blob: BlobId,
    pub created_at: Timestamp,
}
