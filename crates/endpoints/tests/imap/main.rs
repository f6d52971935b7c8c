//! IMAP over the real service: transcripts, of several connections at once where that matters.

#![cfg(test)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod attacks;
mod client;
mod model;
mod transcripts;
