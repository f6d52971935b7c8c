//! What a service for so many people takes, reckoned from measured figures, and what happens to the load when shards
//! are added.
//!
//! **Invariant:** pure: no clock, no randomness but a fixed seed, no I/O. The same program prints the same text, and
//! `docs/capacity.md` is that text.

mod figures;
mod mapfile;
mod moves;
mod need;
mod placement;
mod report;

pub use mapfile::{BadMap, MapFile};
pub use moves::{Move, Plan, plan};
pub use need::Wish;
pub use report::{document, tables};
