//! Suites that every adapter runs in its own tests, on an empty store of its own making.
//!
//! A suite panics where the adapter breaks a promise. Each is an async function, so an adapter's test is one line.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "these are tests that live outside of test targets, for others to call"
)]

pub mod blobs;
pub mod directory;
mod dkim;
mod door;
pub mod moves;
mod quotas;
mod reports;
pub mod shards;
