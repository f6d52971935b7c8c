//! Steps of a shard.

pub(crate) mod m20261122_000001_mail;
pub(crate) mod m20261122_000002_moving;
pub(crate) mod m20261122_000003_storage;
pub(crate) mod m20261126_000001_receiving;
pub(crate) mod m20261126_000002_sending;
pub(crate) mod m20261126_000004_writers;
pub(crate) mod m20261126_000005_imap;
pub(crate) mod m20261127_000001_signatures;
pub(crate) mod m20261127_000002_metadata;
pub(crate) mod m20261127_000003_patient;
pub(crate) mod m20261127_000020_grants;
pub(crate) mod m20261127_000050_body_share;
pub(crate) mod m20261128_000001_rolls;
pub(crate) mod m20261128_000010_deferred;
