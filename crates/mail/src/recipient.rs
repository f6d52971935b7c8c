//! Where mail for an address goes.

use storage::Account;
use types::{AccountId, EmailAddress};

use crate::{Result, Service};

/// What an address is to this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    Local(AccountId),
    /// Of a domain of ours, but nobody's.
    Unknown,
    /// An account of ours without room.
    Full,
    /// Of a domain that is not ours.
    Elsewhere,
}

impl Service {
    /// Looks an address up: the address itself, then without its `+tag` (RFC 5233). `postmaster` of a domain of
    /// ours without such an account is looked up as the domain's `admin` (RFC 5321 §4.5.1).
    pub async fn recipient(&self, address: &EmailAddress) -> Result<Recipient> {
        let directory = &self.parts.directory;
        if directory.domain(&address.domain_key()).await?.is_none() {
            return Ok(Recipient::Elsewhere);
        }
        let mut found = directory.resolve(address).await?;
        if let (None, Some(untagged)) = (found, address.without_tag()) {
            found = directory.resolve(&untagged).await?;
        }
        if found.is_none()
            && address.local().eq_ignore_ascii_case("postmaster")
            && let Ok(admin) = format!("admin@{}", address.domain()).parse()
        {
            found = directory.resolve(&admin).await?;
        }
        let Some(account) = found else {
            return Ok(Recipient::Unknown);
        };
        match directory.account(account).await? {
            Some(account) if self.is_full(&account).await? => Ok(Recipient::Full),
            Some(account) => Ok(Recipient::Local(account.id)),
            None => Ok(Recipient::Unknown),
        }
    }

    async fn is_full(&self, account: &Account) -> Result<bool> {
        let Some(quota_bytes) = account.quota_bytes else {
            return Ok(false);
        };
        let state = self.latest(account.id).await?.account(account.id).await?;
        Ok(state.is_some_and(|state| state.used_bytes >= quota_bytes))
    }
}
