//! The tables as SeaORM entities; private to this crate.

pub(crate) mod directory;
pub(crate) mod shard;
