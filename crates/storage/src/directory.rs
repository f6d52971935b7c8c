//! The directory: domains, accounts, addresses, sessions and the bucket map. One for the whole service.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use types::{AccountId, Bucket, DomainId, EmailAddress, Secret, ShardId, Timestamp};

use crate::{AppPasswords, DkimKeys, Door, Moves, Quotas, Reports, Result, Shares};

/// A domain that mail is received for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: DomainId,
    /// In the form of [`EmailAddress::domain_key`]; what was added by an earlier version may be in U-labels.
    pub name: String,
    pub created_at: Timestamp,
}

/// An account as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    /// Its main address, as written when it was added.
    pub email: EmailAddress,
    pub name: String,
    /// In the PHC string format; compared by `mail` alone.
    pub password_hash: Secret,
    pub enabled: bool,
    /// Looks after the queue over REST. Who lets somebody do so asks [`Door::is_admin`].
    pub admin: bool,
    /// Bytes that its mail may take; `None`: no limit.
    pub quota_bytes: Option<u64>,
    /// The same as it was set for this account; `None`: it has what all have, [`UNLIMITED`]: no limit.
    pub own_quota_bytes: Option<u64>,
    pub created_at: Timestamp,
}

/// A quota of an account's own that is none.
pub const UNLIMITED: u64 = i64::MAX.unsigned_abs();

/// An account to be added. Its domain must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    pub email: EmailAddress,
    pub name: String,
    pub password_hash: Secret,
    pub own_quota_bytes: Option<u64>,
    pub created_at: Timestamp,
}

/// A logged-in browser or program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the token; the token itself is stored nowhere.
    pub token_hash: [u8; 32],
    pub account: AccountId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// What the client called itself, cut to 200 characters.
    pub client: String,
}

/// A note that somebody may not be let in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// In the order of the notes.
    pub number: i64,
    pub account: AccountId,
    /// Whether all that were let in are to go; else those that came by a session or an app password that has ended.
    pub whole: bool,
}

/// Which shard each bucket lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketMap {
    /// One for each of [`Bucket::COUNT`].
    pub shards: Vec<ShardId>,
}

impl BucketMap {
    /// The buckets dealt out evenly, in runs.
    #[must_use]
    pub fn even(shards: &[ShardId]) -> Self {
        let count = shards.len().max(1);
        let of = |bucket: usize| {
            shards.get(bucket * count / usize::from(Bucket::COUNT)).copied().unwrap_or_default()
        };
        Self { shards: (0..usize::from(Bucket::COUNT)).map(of).collect() }
    }

    /// Where the account lives.
    #[must_use]
    pub fn shard_of(&self, account: AccountId) -> ShardId {
        self.shards.get(usize::from(Bucket::of(account).0)).copied().unwrap_or_default()
    }
}

/// A running node of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Made anew at every start.
    pub instance: String,
    pub claimed_at: Timestamp,
    /// When the claim ends by itself, should the node not renew it.
    pub expires_at: Timestamp,
}

/// Strongly consistent, small, read through caches. Names are compared by [`EmailAddress::key`]; what an earlier
/// version kept in U-labels is found by either form.
#[async_trait]
pub trait Directory: Moves + Door + DkimKeys + Reports + Quotas + Shares + AppPasswords {
    /// `Err(Exists)` if it is there.
    async fn add_domain(&self, name: &str, now: Timestamp) -> Result<Domain>;
    async fn domain(&self, name: &str) -> Result<Option<Domain>>;
    async fn domains(&self) -> Result<Vec<Domain>>;

    /// Adds the account and its address. `Err(Exists)` if the address is taken, `Err(Reached)` if the domain has as
    /// many accounts as it may have, `Ok(None)` if it is not ours.
    async fn add_account(&self, account: NewAccount) -> Result<Option<Account>>;
    /// Adds an account as it was once, under its old id, with these aliases. `Err(Exists)` if the id or an address is
    /// taken, false if the domain of an address is not ours; then nothing is added. Ids given later are higher. The
    /// domain's limits do not keep it away.
    async fn restore_account(&self, account: &Account, aliases: &[EmailAddress]) -> Result<bool>;
    async fn account(&self, id: AccountId) -> Result<Option<Account>>;
    /// The account as it is now: one query, past every cache. For whoever asks whether somebody may come in.
    async fn account_now(&self, id: AccountId) -> Result<Option<Account>>;
    /// Accounts after this one, in order, at most `limit`.
    async fn accounts(&self, after: Option<AccountId>, limit: u32) -> Result<Vec<Account>>;
    /// Also takes away its app passwords. False if there is no such account.
    async fn set_password(&self, id: AccountId, password_hash: Secret) -> Result<bool>;
    /// False if there is no such account. Disabled accounts keep receiving; nobody can log in.
    async fn set_enabled(&self, id: AccountId, enabled: bool) -> Result<bool>;
    /// Sets the quota of its own; see [`Account::own_quota_bytes`]. False if there is no such account.
    async fn set_quota(&self, id: AccountId, own_quota_bytes: Option<u64>) -> Result<bool>;
    /// Removes the account, its addresses, sessions, app passwords and shares. False if there is no such account.
    async fn remove_account(&self, id: AccountId) -> Result<bool>;

    /// Gives the account another address. `Err(Exists)` if it is taken, false if account or domain is not there.
    async fn add_alias(&self, account: AccountId, alias: &EmailAddress) -> Result<bool>;
    /// False if it is no alias (main addresses stay).
    async fn remove_alias(&self, alias: &EmailAddress) -> Result<bool>;
    /// Every address of the account, the main one first.
    async fn addresses(&self, account: AccountId) -> Result<Vec<EmailAddress>>;
    /// The aliases of these accounts, in order of account and address.
    async fn aliases(&self, accounts: &[AccountId]) -> Result<Vec<(AccountId, EmailAddress)>>;
    /// Whose address this is, exactly (no `+tag` rule here).
    async fn resolve(&self, address: &EmailAddress) -> Result<Option<AccountId>>;

    async fn add_session(&self, session: Session) -> Result<()>;
    /// The session, if it has not expired, and its account as it is now: one query, past every cache.
    async fn session(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<Option<(Session, Account)>>;
    /// Ends the session, and notes that; `None` if there is none.
    async fn end_session(&self, token_hash: &[u8; 32]) -> Result<Option<Ending>>;
    /// Ends all sessions of the account, and notes that; returns the note's number and the hashes of their tokens.
    async fn end_sessions(&self, account: AccountId) -> Result<(i64, Vec<[u8; 32]>)>;
    /// The notes after this number, in order, and the number of the last one; `None`: no notes, and the number of the
    /// newest one. One small query.
    async fn ended_since(&self, number: Option<i64>) -> Result<(i64, Vec<Ending>)>;
    /// Removes expired sessions; returns how many.
    async fn expire_sessions(&self, now: Timestamp) -> Result<u64>;

    /// The bucket map; on first use the buckets are dealt evenly over `shards`, and that is kept.
    /// Shards that the map does not know take part when buckets are moved to them.
    async fn bucket_map(&self, shards: &[ShardId]) -> Result<Arc<BucketMap>>;

    /// The time by the directory's own clock, which all nodes share.
    async fn server_time(&self) -> Result<Timestamp>;

    /// Claims a name for a running node, or renews its claim, for `ttl` from now by the directory's clock. False if
    /// another instance has claimed it and lives.
    async fn claim_node(&self, name: &str, instance: &str, ttl: Duration) -> Result<bool>;
    /// Gives the name back; nothing happens if another instance has it.
    async fn release_node(&self, name: &str, instance: &str) -> Result<()>;
    /// Nodes whose claim has not ended, by name.
    async fn nodes(&self) -> Result<Vec<Node>>;

    /// Checks that the directory answers; for readiness.
    async fn ping(&self) -> Result<()>;
}
