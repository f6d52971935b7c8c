//! Content-addressed, immutable blobs: as files.
//!
//! **Invariant:** knows nothing of mail. A blob is there whole or not at all, and stays until the collector removes it.

mod draft;
mod files;
mod folders;

pub use files::FileBlobs;
