//! App passwords: one for each mail program of an account, made by the service, shown once, and taken away by itself.

use async_trait::async_trait;
use types::{AccountId, AppPasswordId, Secret, Timestamp};

use crate::Result;

/// An app password as the directory keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppPassword {
    pub id: AppPasswordId,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of the password; the password itself is stored nowhere.
    pub digest: [u8; 32],
    /// Its keys for SCRAM, if there are any.
    pub keys: Option<Secret>,
    pub created_at: Timestamp,
    /// When somebody was last let in by it, as far as that is noted.
    pub used_at: Option<Timestamp>,
}

/// One that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAppPassword {
    pub account: AccountId,
    /// Of the account's password as it must be.
    pub password_hash: Secret,
    pub name: String,
    pub digest: [u8; 32],
    pub keys: Option<Secret>,
    pub created_at: Timestamp,
}

/// A part of the [`Directory`](crate::Directory); past every cache. They are good for as long as the account's password stays
/// what it was when they were made: whoever knew that may have made some.
#[async_trait]
pub trait AppPasswords: Send + Sync {
    /// `Err(Reached)` if the account has as many as `most`; `None` if there is no such account, or its password is another.
    async fn add_app_password(&self, new: NewAppPassword, most: u32) -> Result<Option<AppPassword>>;

    /// Those of these accounts, in order of account and age.
    async fn all_app_passwords(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, AppPassword)>>;

    /// Those of the account, the oldest first.
    async fn app_passwords(&self, account: AccountId) -> Result<Vec<AppPassword>> {
        Ok(self.all_app_passwords(&[account]).await?.into_iter().map(|(_, one)| one).collect())
    }

    /// Whether it is there, and the account is open.
    async fn lets_in(&self, account: AccountId, id: AppPasswordId) -> Result<bool>;

    /// Notes that it was used.
    async fn use_app_password(&self, account: AccountId, id: AppPasswordId, now: Timestamp) -> Result<()>;

    /// Removes it, and notes that a way in has ended; returns the note's number, or `None` if it is not there.
    async fn remove_app_password(&self, account: AccountId, id: AppPasswordId) -> Result<Option<i64>>;
}
