//! What the directory knows for those who stand at the door: operators, groups, keys of passwords, limits, and who is kept out.

use std::net::IpAddr;

use async_trait::async_trait;
use types::{AccountId, EmailAddress, Network, Secret, Timestamp};

use crate::{Account, Result};

/// An address whose mail goes to several others, here or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub address: EmailAddress,
    /// The account that answers for it: it may send under the address, and mail on its way on is in its queue.
    pub owner: AccountId,
    /// In the order in which they were given; at least one.
    pub targets: Vec<EmailAddress>,
}

/// A network that is kept out for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// At least what one client has; see [`Network::of_clients`].
    pub network: Network,
    pub reason: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A part of the [`Directory`](crate::Directory); read through the same caches.
#[async_trait]
pub trait Door: Send + Sync {
    /// Whether the account is enabled and an operator's: past every cache.
    async fn is_admin(&self, account: AccountId) -> Result<bool>;

    /// False if there is no such account.
    async fn set_admin(&self, account: AccountId, admin: bool) -> Result<bool>;

    /// Enabled accounts of operators, in order. Looks at all accounts, so it is read through a cache that lives for half a
    /// minute.
    async fn admins(&self) -> Result<Vec<Account>>;

    /// The keys of the account's password, if any are kept; never older than its password.
    async fn password_keys(&self, account: AccountId) -> Result<Option<Secret>>;

    /// Keeps keys beside the password that has this hash; false if it has another by now. A new password takes its
    /// old keys away.
    async fn keep_password_keys(
        &self,
        account: AccountId,
        password_hash: &Secret,
        keys: &Secret,
    ) -> Result<bool>;

    /// The secret of this name; `fresh` becomes it if there is none yet. All nodes get the same.
    async fn secret(&self, name: &str, fresh: [u8; 32]) -> Result<[u8; 32]>;

    /// Makes the address a group of these, or changes the group that it is. `Err(Exists)` if it is an address of
    /// another kind, false if the owner or the address's domain is not there.
    async fn set_group(&self, group: &Group) -> Result<bool>;

    /// The group at this address. Taken away like an alias.
    async fn group(&self, address: &EmailAddress) -> Result<Option<Group>>;

    /// All groups, by address.
    async fn groups(&self) -> Result<Vec<Group>>;

    /// The bytes of a mail that an account or a domain takes or sends; `None`: as all others. The subject is the
    /// account's main address, or the domain's name.
    async fn set_message_limit(&self, subject: &str, max_bytes: Option<u64>) -> Result<()>;

    /// The smallest limit of these.
    async fn message_limit(&self, subjects: &[String]) -> Result<Option<u64>>;

    /// Keeps a network out, or keeps it out for longer; a ban that lasts longer stays as it is.
    async fn ban(&self, ban: &Ban) -> Result<()>;

    /// The ban on a network that this address is in, if one lasts: the one that lasts longest.
    async fn banned(&self, client: IpAddr, now: Timestamp) -> Result<Option<Ban>>;

    /// Bans that last, the newest first.
    async fn bans(&self, now: Timestamp) -> Result<Vec<Ban>>;

    /// False if there was none.
    async fn lift(&self, network: Network) -> Result<bool>;

    /// Forgets bans that are over; returns how many.
    async fn expire_bans(&self, now: Timestamp) -> Result<u64>;
}
