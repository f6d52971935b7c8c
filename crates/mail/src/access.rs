//! Access to one account: what every use-case of a person must go through.

use std::fmt;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use storage::{AccountState, Directory, Snapshot};
use types::{AccountId, AppPasswordId, EmailAddress, Secret, ShardId, Timestamp, api};

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
    pub(crate) credential: Credential,
    /// In milliseconds, when it was last known that they may be here.
    pub(crate) known_at: Arc<AtomicI64>,
    /// The newest note of ended sessions when they logged in; `None`: that is looked up whenever they come.
    pub(crate) let_in_after: Option<i64>,
    pub(crate) warrant: Warrant,
}

/// What let somebody in, and must be good for as long as they are here.
#[derive(Clone)]
pub(crate) enum Credential {
    /// The account's password, which has this hash; or what counts for as long as that does.
    Password(Secret),
    AppPassword(AppPasswordId),
    /// A session whose token has this hash.
    Session([u8; 32]),
}

impl Access {
    pub(crate) fn new(service: &Service, account: storage::Account) -> Self {
        let credential = Credential::Password(account.password_hash.clone());
        Self::by(service, account, credential)
    }

    pub(crate) fn by(service: &Service, account: storage::Account, credential: Credential) -> Self {
        let storage::Account { id, email, name, quota_bytes, .. } = account;
        let known_at = Arc::new(AtomicI64::new(service.now().millis()));
        let (service, let_in_after, warrant) = (service.clone(), None, Warrant::Owner);
        Self { service, id, email, name, quota_bytes, credential, known_at, let_in_after, warrant }
    }

    /// Whether [`Access::is_valid`] should be asked now, because something that lets somebody into the account has ended.
    /// Costs nothing.
    #[must_use]
    pub fn may_have_ended(&self) -> bool {
        let known_at = Timestamp::from_millis(self.known_at.load(Ordering::Relaxed));
        self.service.endings.since(self.id, known_at)
    }

    /// Whether who was let in still may be here; looked up only when something of the account's has ended. Where the
    /// directory is away, who is in stays.
    pub async fn is_still_theirs(&self) -> bool {
        !self.may_have_ended() || self.is_valid().await.unwrap_or(true)
    }

    /// Whether who was let in still would be: the account is open, what let them in is still good, and not all were told to
    /// go meanwhile. For connections that stay for long; asks the directory.
    pub async fn is_valid(&self) -> Result<bool> {
        if self.let_in_after.is_some_and(|number| self.service.endings.after(self.id, number)) {
            return Ok(false);
        }
        let now = self.service.now();
        let is_valid = self.would_be_let_in().await?;
        if is_valid {
            self.known_at.store(now.millis(), Ordering::Relaxed);
        }
        Ok(is_valid)
    }

    async fn would_be_let_in(&self) -> Result<bool> {
        let directory = &self.service.parts.directory;
        match &self.credential {
            Credential::Password(hash) => {
                let account = directory.account_now(self.id).await?.filter(|account| account.enabled);
                Ok(account.is_some_and(|account| account.password_hash == *hash))
            }
            Credential::AppPassword(id) => Ok(directory.lets_in(self.id, *id).await?),
            Credential::Session(token_hash) => {
                let holder = self.service.holder_of(token_hash).await?;
                Ok(holder.is_some_and(|account| account.id == self.id))
            }
        }
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
