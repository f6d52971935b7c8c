//! Exact copies of accounts: rows to records and back, by the rules of [`storage::replica`].

pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod loose;
