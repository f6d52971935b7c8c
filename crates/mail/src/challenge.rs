//! Logging in by SCRAM (RFC 5802): the password never comes here, only proof that the client knows it.
//!
//! The keys are kept beside the password's hash: made when it is set, and for older ones when it is next used. Whoever
//! has no account gets keys too, always the same for the same name.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sasl::{Keys, Mechanism};
use storage::Account;
use types::{AccountId, EmailAddress, Secret, Timestamp};

use crate::{
    Access, Client, Error, Result, Service,
    access::Credential,
    login::{Attempt, hash},
    prepare::off_thread,
    random,
};

/// What a client must prove to know.
pub struct Challenge {
    pub nonce: String,
    account: Option<Account>,
    ways: Vec<Way>,
    attempt: Attempt,
}

/// A password that may be proven.
struct Way {
    keys: Keys,
    /// `None`: nobody's.
    credential: Option<Credential>,
    /// Of an app password.
    used_at: Option<Timestamp>,
}

impl Challenge {
    /// The keys of the passwords that will do.
    #[must_use]
    pub fn keys(&self) -> Vec<Keys> {
        self.ways.iter().map(|way| way.keys.clone()).collect()
    }
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
        let mut ways = match &account {
            Some(account) => self.ways(account).await?,
            None => Vec::new(),
        };
        if ways.is_empty() {
            let fresh = random::bytes(&*self.parts.random);
            let secret = self.parts.directory.secret("nobody", fresh).await?;
            let name = address.as_ref().map_or_else(|| user.to_owned(), EmailAddress::key);
            let iterations = self.iterations().unwrap_or(NonZeroU32::MIN);
            let keys = Keys::of_nobody(&secret, &name, iterations);
            ways.push(Way { keys, credential: None, used_at: None });
        }
        let nonce = URL_SAFE_NO_PAD.encode(self.random_bytes::<18>());
        Ok(Challenge { nonce, account, ways, attempt })
    }

    /// The keys that are kept for the account: its password's first, since a client is told the salt of the first alone.
    async fn ways(&self, account: &Account) -> Result<Vec<Way>> {
        let directory = &self.parts.directory;
        let own = directory.password_keys(account.id).await?;
        let own = (own, Credential::Password(account.password_hash.clone()), None);
        let apps = directory.app_passwords(account.id).await?.into_iter();
        let apps = apps.map(|one| (one.keys, Credential::AppPassword(one.id), one.used_at));
        let way = |(keys, credential, used_at): (Option<Secret>, _, _)| {
            let keys = keys?.expose().parse::<Keys>().ok()?;
            Some(Way { keys, credential: Some(credential), used_at })
        };
        Ok(std::iter::once(own).chain(apps).filter_map(way).collect())
    }

    /// Lets in whoever has proven to know the password of these of the challenge's keys.
    pub async fn proven(&self, challenge: Challenge, which: usize) -> Result<Access> {
        let Challenge { account: Some(account), mut ways, attempt, .. } = challenge else {
            return Err(Error::Credentials);
        };
        let way = (which < ways.len()).then(|| ways.swap_remove(which));
        let Some(Way { credential: Some(credential), used_at, .. }) = way else {
            return Err(Error::Credentials);
        };
        if let Credential::AppPassword(id) = credential {
            self.note_use(account.id, id, used_at);
        }
        let access = attempt.let_in(self, account, credential).await;
        // It may have been changed since, or the account disabled.
        if !access.is_valid().await? {
            return Err(Error::Credentials);
        }
        metrics::counter!("magpie_logins_total", "outcome" => "ok").increment(1);
        Ok(access)
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
        let token_hash = hash(token.expose());
        let account = match (self.holder_of(&token_hash).await?, &address) {
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
        Ok(attempt.let_in(self, account, Credential::Session(token_hash)).await)
    }

    /// Keeps keys of a password that was just set or used, if there are none yet.
    pub(crate) async fn keep_keys(&self, account: AccountId, password_hash: &Secret, password: &Secret) {
        let Some(iterations) = self.iterations() else { return };
        let directory = &self.parts.directory;
        let keep = async {
            if directory.password_keys(account).await?.is_some() {
                return Ok(());
            }
            let keys = self.derived(account, password, iterations).await?;
            directory.keep_password_keys(account, password_hash, &keys).await?;
            Ok::<_, Error>(())
        };
        if let Err(error) = keep.await {
            tracing::warn!(error = ?error, "the keys of a password are not kept this time");
        }
    }

    /// The keys of another password of the account's: with the salt of those that it has, so that one challenge asks for
    /// any of them.
    pub(crate) async fn derived(
        &self,
        account: AccountId,
        password: &Secret,
        iterations: NonZeroU32,
    ) -> Result<Secret> {
        let directory = &self.parts.directory;
        let own = directory.password_keys(account).await?;
        let apps = directory.app_passwords(account).await?.into_iter().filter_map(|one| one.keys);
        let known = own.into_iter().chain(apps).find_map(|keys| keys.expose().parse::<Keys>().ok());
        let (salt, iterations) = match known {
            Some(known) => (known.salt().to_vec(), known.iterations()),
            None => (self.random_bytes::<{ Keys::SALT_BYTES }>().to_vec(), iterations),
        };
        let password = password.clone();
        let derive = move || Keys::derive(password.expose(), &salt, iterations);
        Ok(Secret::new(off_thread(MUCH, derive).await?.to_string()))
    }

    /// The enabled account that has this address, as it is now: a password counts from the moment it is set.
    pub(crate) async fn account_of(&self, address: &EmailAddress) -> Result<Option<Account>> {
        match self.parts.directory.resolve(address).await? {
            Some(id) => Ok(self.parts.directory.account_now(id).await?.filter(|account| account.enabled)),
            None => Ok(None),
        }
    }

    pub(crate) fn iterations(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.config().scram_iterations)
    }
}
