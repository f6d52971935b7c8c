//! Content-addressed, immutable blobs: as files, and in S3.
//!
//! **Invariant:** knows nothing of mail. A blob is there whole or not at all, and stays until the collector removes it.

mod draft;
mod files;
mod folders;
mod s3;

pub use files::FileBlobs;
pub use s3::{S3Blobs, S3Keys, S3Limits, S3Url};
