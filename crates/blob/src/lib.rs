//! Content-addressed, immutable blobs: as files.
