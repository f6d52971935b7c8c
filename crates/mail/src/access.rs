//! Access to one account: what every use-case of a person must go through.

use std::fmt;

use storage::{AccountState, Directory, Snapshot};
use types::{AccountId, EmailAddress, Secret, ShardId, Timestamp, api};

use crate::warrant::Warrant;
use crate::{Error, Result, Service};

/// The right to use one account's mail. Whoever holds one was let in; there is no other way to an account.
#[derive(Clone)]
pub struct Access {
    pub(crate) service: Service,
    pub(crate) id: AccountId,
    pub(crate) email: EmailAddress,
    pub(crate) name: String,
    pub(crate) quota_bytes: Option<u64>,
    /// What let them in, if it was a password.
    pub(crate) password_hash: Option<Secret>,
    pub(crate) let_in_at: Timestamp,
    /// The newest note of ended sessions when they logged in; `None`: that is looked up whenever they come.
    pub(crate) let_in_after: Option<i64>,
    pub(crate) warrant: Warrant,
}

impl Access {
    pub(crate) fn new(service: &Service, account: storage::Account) -> Self {
        let storage::Account { id, email, name, quota_bytes, password_hash, .. } = account;
        let password_hash = Some(password_hash);
        let let_in_at = service.now();
        let warrant = Warrant::Owner;
        let (service, let_in_after) = (service.clone(), None);
        Self { service, id, email, name, quota_bytes, password_hash, let_in_at, let_in_after, warrant }
    }

    /// Whether [`Access::is_valid`] should be asked now, because somebody ended the account's sessions. Costs nothing.
    #[must_use]
    pub fn may_have_ended(&self) -> bool {
        self.service.endings.since(self.id, self.let_in_at)
    }

    /// Whether who was let in still may be here; looked up only when the account's sessions were ended. Where the
    /// directory is away, who is in stays.
    pub async fn is_still_theirs(&self) -> bool {
        !self.may_have_ended() || self.is_valid().await.unwrap_or(true)
    }

    /// Whether who was let in by a password still would be: the account is open, the password the same, and its sessions
    /// were not ended meanwhile. For connections that stay for long; asks the directory.
    pub async fn is_valid(&self) -> Result<bool> {
        if self.let_in_after.is_some_and(|number| self.service.endings.after(self.id, number)) {
            return Ok(false);
        }
        let account = self.service.parts.directory.account_now(self.id).await?;
        let is_same = |account: &storage::Account| {
            self.password_hash.as_ref().is_none_or(|hash| *hash == account.password_hash)
        };
        Ok(account.is_some_and(|account| account.enabled && is_same(&account)))
    }

    /// Bytes of a message, at most.
    #[must_use]
    pub fn max_message_bytes(&self) -> u64 {
        self.service.config().max_message_bytes
    }

    #[must_use]
    pub fn id(&self) -> AccountId {
        self.id
    }

    #[must_use]
    pub fn email(&self) -> &EmailAddress {
        &self.email
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.service.shard_of(self.id)
    }

    /// `None` before the account is set up.
    pub(crate) async fn state(&self) -> Result<Option<AccountState>> {
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.account(account).await };
        self.service.look(account, look).await
    }

    /// Who this is, and how much room is taken.
    pub async fn account(&self) -> Result<api::Account> {
        let state = self.state().await?;
        Ok(api::Account {
            id: self.id,
            email: self.email.to_string(),
            name: self.name.clone(),
            used_bytes: state.map_or(0, |state| state.used_bytes),
            quota_bytes: self.quota_bytes,
        })
    }

    /// Whether so many bytes more fit into the account's quota, and its domain's.
    pub(crate) async fn check_room(&self, bytes: u64) -> Result<()> {
        if self.service.is_domain_full(&self.email.domain_key(), bytes).await? {
            return Err(Error::Quota);
        }
        let Some(quota_bytes) = self.quota_bytes else { return Ok(()) };
        let state = self.state().await?;
        let used_bytes = state.map_or(0, |state| state.used_bytes);
        if used_bytes.saturating_add(bytes) > quota_bytes { Err(Error::Quota) } else { Ok(()) }
    }

    /// Whether the account may send under this address: its own, an alias, or either with a `+tag`.
    pub async fn may_send_as(&self, address: &EmailAddress) -> Result<bool> {
        let directory = &self.service.parts.directory;
        if resolves_to(&**directory, address, self.id).await? {
            return Ok(true);
        }
        let separator = self.service.config().subaddress_separator;
        match separator.and_then(|separator| address.split_tag(separator)) {
            Some((untagged, _)) => resolves_to(&**directory, &untagged, self.id).await,
            None => Ok(false),
        }
    }
}

async fn resolves_to(directory: &dyn Directory, address: &EmailAddress, account: AccountId) -> Result<bool> {
    Ok(directory.resolve(address).await? == Some(account))
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("id", &self.id).finish_non_exhaustive()
    }
}
