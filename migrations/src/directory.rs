//! Steps of the directory.

pub(crate) mod m20261122_000001_accounts;
pub(crate) mod m20261122_000002_moving;
pub(crate) mod m20261122_000003_nodes;
pub(crate) mod m20261126_000001_receiving;
pub(crate) mod m20261126_000002_dkim;
pub(crate) mod m20261127_000002_endings;
pub(crate) mod m20261127_000003_admin;
pub(crate) mod m20261127_000010_reports;
pub(crate) mod m20261127_000011_limits;
pub(crate) mod m20261127_000020_shares;
pub(crate) mod m20261128_000001_app_passwords;
