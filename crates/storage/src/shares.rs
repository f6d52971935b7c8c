//! Whose mailboxes somebody should look for, since that would else be anybody's.
//!
//! A hint: the owner's shard says what is shared ([`crate::Grant`]). Who shares notes it here before and after, and who
//! ends it takes it away afterwards.

use async_trait::async_trait;
use types::AccountId;

use crate::Result;

/// A part of the [`Directory`](crate::Directory); past every cache.
#[async_trait]
pub trait Shares: Send + Sync {
    /// Notes that the owner may share something with the grantee.
    async fn add_share(&self, owner: AccountId, grantee: AccountId) -> Result<()>;

    /// Notes that there is nothing any more.
    async fn remove_share(&self, owner: AccountId, grantee: AccountId) -> Result<()>;

    /// Who may share something with this account, in order, at most `limit`.
    async fn sharers(&self, grantee: AccountId, limit: u32) -> Result<Vec<AccountId>>;
}
