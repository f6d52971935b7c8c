//! Logging in by SCRAM (RFC 5802): the password never comes here, only proof that the client knows it.
//!
//! The keys are kept beside the password's hash: made when it is set, and for older ones when it is next used. Whoever
//! has no account gets keys too, always the same for the same name.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sasl::{Keys, Mechanism};
use storage::Account;
use types::{AccountId, EmailAddress, Secret};

use crate::{Access, Client, Error, Result, Service, login::Attempt, prepare::off_thread, random};

/// What a client must prove to know.
pub struct Challenge {
    pub keys: Keys,
    pub nonce: String,
    account: Option<Account>,
    attempt: Attempt,
}

/// Work for another thread.
const MUCH: u64 = u64::MAX;

impl Service {
    /// How people may show who they are, the best first.
    #[must_use]
    pub fn mechanisms(&self) -> Vec<Mechanism> {
        let keeps_keys = self.iterations().is_some();
        Mechanism::ALL.into_iter().filter(|mechanism| keeps_keys || !mechanism.needs_keys()).collect()
    }

    /// What somebody of this name would have to prove. Counts as an attempt to log in.
    pub async fn challenge(&self, user: &str, client: &Client) -> Result<Challenge> {
        let address = user.trim().parse::<EmailAddress>().ok();
        let attempt = self.limit_logins(address.as_ref(), client).await?;
        let account = match &address {
            Some(address) => self.account_of(address).await?,
            None => None,
        };
        let kept = match &account {
            Some(account) => self.parts.directory.password_keys(account.id).await?,
            None => None,
        };
        let kept = kept.and_then(|keys| keys.expose().parse::<Keys>().ok());
        let known = kept.is_some();
        let keys = match kept {
            Some(keys) => keys,
            None => {
                let fresh = random::bytes(&*self.parts.random);
                let secret = self.parts.directory.secret("nobody", fresh).await?;
                let name = address.as_ref().map_or_else(|| user.to_owned(), EmailAddress::key);
                Keys::of_nobody(&secret, &name, self.iterations().unwrap_or(NonZeroU32::MIN))
            }
        };
        let nonce = URL_SAFE_NO_PAD.encode(self.random_bytes::<18>());
        Ok(Challenge { keys, nonce, account: account.filter(|_| known), attempt })
    }

    /// Lets in whoever has proven to know the password of the challenge.
    pub async fn proven(&self, challenge: Challenge) -> Result<Access> {
        let Some(before) = challenge.account else { return Err(Error::Credentials) };
        // It may have been changed since, or the account disabled.
        let now = self.parts.directory.account_now(before.id).await?;
        let same = now.filter(|now| now.enabled && now.password_hash == before.password_hash);
        let account = same.ok_or(Error::Credentials)?;
        metrics::counter!("magpie_logins_total", "outcome" => "ok").increment(1);
        Ok(challenge.attempt.let_in(self, account).await)
    }

    /// Lets the holder of a session's token in, if it is theirs who is named, where somebody is.
    pub async fn access_as(&self, user: Option<&str>, token: &Secret, client: &Client) -> Result<Access> {
        let address = match user {
            Some(user) => Some(user.trim().parse::<EmailAddress>().map_err(|_| Error::Credentials)?),
            None => None,
        };
        let attempt = self.limit_logins(address.as_ref(), client).await?;
        // Not by what is known here: a session that ended before the newest note, which the attempt has seen, must not
        // let anybody in for good. (Nobody is to blame for what could not be looked up.)
        let account = match (self.holder(token).await?, &address) {
            (Some(account), Some(address)) => {
                let named = self.parts.directory.resolve(address).await?;
                (named == Some(account.id)).then_some(account)
            }
            (account, _) => account,
        };
        let Some(account) = account else {
            self.refused_login(client).await;
            return Err(Error::Credentials);
        };
        Ok(attempt.let_in(self, account).await)
    }

    /// Lets in whom a certificate names that is to be believed: the first of its addresses that is an account's own. An
    /// alias is nobody's own, since all that a domain does not know may be one. Who else is named must be the same.
    pub async fn certified(
        &self,
        addresses: &[String],
        named: Option<&str>,
        client: &Client,
    ) -> Result<Access> {
        let attempt = self.limit_logins(None, client).await?;
        let named = named.map(|named| named.trim().parse::<EmailAddress>());
        for address in addresses.iter().filter_map(|address| address.parse::<EmailAddress>().ok()) {
            let is_named = |account: &Account| match &named {
                Some(Ok(named)) => named.key() == account.email.key(),
                Some(Err(_)) => false,
                None => true,
            };
            let account = self.account_of(&address).await?;
            let own = account.filter(|account| account.email.key() == address.key() && is_named(account));
            if let Some(account) = own {
                metrics::counter!("magpie_logins_total", "outcome" => "ok").increment(1);
                return Ok(attempt.let_in(self, account).await);
            }
        }
        self.refused_login(client).await;
        Err(Error::Credentials)
    }

    /// Keeps keys of a password that was just set or used, if there are none yet.
    pub(crate) async fn keep_keys(&self, account: AccountId, password_hash: &Secret, password: &Secret) {
        let Some(iterations) = self.iterations() else { return };
        let directory = &self.parts.directory;
        let keep = async {
            if directory.password_keys(account).await?.is_some() {
                return Ok(());
            }
            let (salt, password) = (self.random_bytes::<{ Keys::SALT_BYTES }>(), password.clone());
            let derive = move || Keys::derive(password.expose(), &salt, iterations);
            let keys = Secret::new(off_thread(MUCH, derive).await?.to_string());
            directory.keep_password_keys(account, password_hash, &keys).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = keep.await {
            tracing::warn!(error = ?error, "the keys of a password are not kept this time");
        }
    }

    /// The enabled account that has this address, as it is now: a password counts from the moment it is set.
    pub(crate) async fn account_of(&self, address: &EmailAddress) -> Result<Option<Account>> {
        match self.parts.directory.resolve(address).await? {
            Some(id) => Ok(self.parts.directory.account_now(id).await?.filter(|account| account.enabled)),
            None => Ok(None),
        }
    }

    fn iterations(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.config().scram_iterations)
    }
}
