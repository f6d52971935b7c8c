//! Logging in: by password once, by token afterwards.

use std::net::IpAddr;
use std::sync::{Arc, atomic::AtomicI64};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cluster::{Cached, Quota, Verdict};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use storage::{Account, Ending, Session};
use types::{AccountId, EmailAddress, Secret, Timestamp, client_network};

use crate::{Access, Error, Offence, Result, Service, access::Credential, password::Match, warrant::Warrant};

/// Who is asking, for rate limits and the list of sessions.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub ip: Option<IpAddr>,
    /// What it calls itself.
    pub name: String,
}

/// An attempt to log in, and what it took from the limits.
pub(crate) struct Attempt {
    taken: Vec<(String, Quota)>,
    began_at: Timestamp,
    /// The newest note of ended sessions when it began: whatever ends while it goes on counts.
    began_after: i64,
}

/// Which passwords will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    OwnPassword,
    AppPasswordsToo,
}

/// What the directory said of a token, so that it need not be asked for each request: a pass, revoked when the session
/// ends. The key is the token's hash. That there is none says nothing; then the directory is asked.
#[derive(Serialize, Deserialize)]
struct Grant {
    account: AccountId,
    email: EmailAddress,
    name: String,
    quota_bytes: Option<u64>,
    expires_at: Timestamp,
    /// When the directory was asked; by this clock a grant is good for no longer than its time, whatever became of it
    /// on its way.
    asked_at: Timestamp,
}

impl Cached for Grant {
    type Key = str;
    const PREFIX: &'static str = "session-1";
    /// So long a session may outlast its end where a node does not hear of it: neither by the cache nor by the
    /// directory's notes ([`crate::endings`]).
    const TTL: Duration = Duration::from_secs(30);
}

/// Longer ones are refused unhashed: nobody types them, and hashing costs.
const MAX_PASSWORD_BYTES: usize = 1_024;
const CLIENT_NAME_CHARS: usize = 200;

impl Service {
    /// Lets a mail program in by address and password, the account's or one of its app passwords. Unknown address and wrong
    /// password look and take the same.
    pub async fn authenticate(&self, email: &str, password: &Secret, client: &Client) -> Result<Access> {
        let (account, credential, attempt) =
            self.verified(email, password, client, Taken::AppPasswordsToo).await?;
        Ok(attempt.let_in(self, account, credential).await)
    }

    /// The account as it is now, if this is its own password.
    pub(crate) async fn confirm(
        &self,
        access: &Access,
        password: &Secret,
        client: &Client,
    ) -> Result<Account> {
        let (account, credential, attempt) =
            self.verified(&access.email.to_string(), password, client, Taken::OwnPassword).await?;
        attempt.let_in(self, account.clone(), credential).await;
        if account.id == access.id { Ok(account) } else { Err(Error::Credentials) }
    }

    /// The account whose password this is.
    async fn verified(
        &self,
        email: &str,
        password: &Secret,
        client: &Client,
        taken: Taken,
    ) -> Result<(Account, Credential, Attempt)> {
        // What is no address never becomes a key of the limits: those are kept in memory.
        let address = email.trim().parse::<EmailAddress>().ok();
        let attempt = self.limit_logins(address.as_ref(), client).await?;
        let Some(address) = address.filter(|_| password.expose().len() <= MAX_PASSWORD_BYTES) else {
            return Err(Error::Credentials);
        };
        let account = self.account_of(&address).await?;
        if taken == Taken::AppPasswordsToo
            && let Some(id) = self.app_password(account.as_ref(), password).await?
            && let Some(account) = account
        {
            metrics::counter!("magpie_logins_total", "outcome" => "ok").increment(1);
            return Ok((account, Credential::AppPassword(id), attempt));
        }
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let compared = self.passwords.compare(password.clone(), hash).await?;
        match account {
            Some(account) if compared != Match::Wrong => {
                metrics::counter!("magpie_logins_total", "outcome" => "ok").increment(1);
                if compared == Match::Right {
                    self.keep_keys(account.id, &account.password_hash, password).await;
                }
                let credential = Credential::Password(account.password_hash.clone());
                Ok((account, credential, attempt))
            }
            _ => {
                if self.passwords.is_new_mistake(&address, password, client.ip) {
                    self.refused_login(client).await;
                } else {
                    note_refusal(client);
                }
                Err(Error::Credentials)
            }
        }
    }

    /// Lets somebody in and begins a session; the token is shown here once and kept nowhere.
    pub async fn login(&self, email: &str, password: &Secret, client: &Client) -> Result<(Access, Secret)> {
        // Counts although it succeeds: each leaves a session behind.
        let (account, _, attempt) = self.verified(email, password, client, Taken::OwnPassword).await?;
        let token = URL_SAFE_NO_PAD.encode(self.random_bytes::<32>());
        let now = self.now();
        let token_hash = hash(&token);
        let session = Session {
            token_hash,
            account: account.id,
            created_at: now,
            expires_at: now.plus(self.config().session_lifetime),
            client: client.name.chars().filter(|c| !c.is_control()).take(CLIENT_NAME_CHARS).collect(),
        };
        match self.parts.directory.add_session(session).await {
            Err(storage::Error::Full(_)) => {
                self.begin_stopgap(&key(&token_hash), &account, attempt.began_after).await;
                return Ok((Access::new(self, account), Secret::new(token)));
            }
            added => added?,
        }
        // Changing a password ends all sessions: one that began with the old one, on a node that had not heard of the
        // change, must not outlive it.
        let fresh = self.parts.directory.session(&token_hash, now).await?;
        if !fresh.is_some_and(|(_, fresh)| fresh.enabled && fresh.password_hash == account.password_hash) {
            self.parts.directory.end_session(&token_hash).await?;
            return Err(Error::Credentials);
        }
        Ok((Access::new(self, account), Secret::new(token)))
    }

    /// Lets the holder of a session's token in.
    pub async fn access(&self, token: &Secret) -> Result<Access> {
        let (hash, now) = (hash(token.expose()), self.now());
        let (cache, key) = (&self.parts.cache, key(&hash));
        if let Some(grant) = cache.load_pass::<Grant>(&key).await
            && grant.is_good(now)
            && !self.endings.since(grant.account, grant.asked_at)
        {
            let Grant { account, email, name, quota_bytes, .. } = grant;
            return Ok(Access {
                service: self.clone(),
                id: account,
                email,
                name,
                quota_bytes,
                credential: Credential::Session(hash),
                known_at: Arc::new(AtomicI64::new(now.millis())),
                let_in_after: None,
                warrant: Warrant::Owner,
            });
        }
        let found = self.parts.directory.session(&hash, now).await?;
        let Some((session, account)) = found.filter(|(_, account)| account.enabled) else {
            let account = self.stopgap(&key).await?.ok_or(Error::Unauthenticated)?;
            return Ok(Access::by(self, account, Credential::Session(hash)));
        };
        let grant = Grant {
            account: account.id,
            email: account.email.clone(),
            name: account.name.clone(),
            quota_bytes: account.quota_bytes,
            expires_at: session.expires_at,
            asked_at: now,
        };
        cache.issue_pass(key.as_str(), &grant).await;
        Ok(Access::by(self, account, Credential::Session(hash)))
    }

    /// Whose session it is whose token has this hash, as the directory has it now, whatever is known here.
    pub(crate) async fn holder_of(&self, token_hash: &[u8; 32]) -> Result<Option<Account>> {
        match self.parts.directory.session(token_hash, self.now()).await? {
            Some((_, account)) if account.enabled => Ok(Some(account)),
            _ => self.stopgap(&key(token_hash)).await,
        }
    }

    /// Ends a session, also for the mail programs that came by its token.
    pub async fn logout(&self, token: &Secret) -> Result<()> {
        let hash = hash(token.expose());
        // First, so that no node misses it should this be given up half way: then the directory is asked again.
        self.parts.cache.revoke_pass::<Grant>(&key(&hash)).await;
        self.end_stopgap(&key(&hash)).await;
        if let Some(ended) = self.parts.directory.end_session(&hash).await? {
            self.endings.note(ended, self.now());
        }
        Ok(())
    }

    /// Ends all sessions of an account.
    pub(crate) async fn end_sessions(&self, account: AccountId) -> Result<()> {
        let (number, ended) = self.parts.directory.end_sessions(account).await?;
        self.endings.note(Ending { number, account, whole: true }, self.now());
        for hash in ended {
            self.parts.cache.revoke_pass::<Grant>(&key(&hash)).await;
        }
        Ok(())
    }

    /// Notes that a login was refused, and blames the client for it.
    pub async fn refused_login(&self, client: &Client) {
        note_refusal(client);
        if let Some(ip) = client.ip {
            self.blame(ip, Offence::Login).await;
        }
    }

    pub(crate) async fn limit_logins(
        &self,
        address: Option<&EmailAddress>,
        client: &Client,
    ) -> Result<Attempt> {
        if let Some(ip) = client.ip
            && self.is_banned(ip).await
        {
            return Err(Error::Limited { retry_after: Duration::from_secs(60) });
        }
        let per_minute = self.config().login_attempts_per_minute;
        let minute = Duration::from_secs(60);
        let quota = Quota { burst: per_minute, count: per_minute, period: minute };
        let wide = per_minute.saturating_mul(10);
        let from = client.ip.map_or_else(|| "local".to_owned(), |ip| client_network(ip).to_string());
        // Both together: nobody locks another out from elsewhere, and nobody tries many accounts from one place.
        let everything = (format!("login:from:{from}"), Quota { burst: wide, count: wide, period: minute });
        let pair = address.map(|address| (format!("login:pair:{from}:{}", address.key()), quota));
        let mut taken = Vec::new();
        for (name, quota) in std::iter::once(everything).chain(pair) {
            if let Verdict::Limited { retry_after } = self.parts.limits.check(&name, quota).await {
                return Err(Error::Limited { retry_after });
            }
            taken.push((name, quota));
        }
        let began_at = self.now();
        Ok(Attempt { taken, began_at, began_after: self.newest_ending().await? })
    }
}

impl Attempt {
    /// Gives back what it took: mail programs hold many connections and open them all at once.
    pub(crate) async fn let_in(self, service: &Service, account: Account, credential: Credential) -> Access {
        for (name, quota) in self.taken {
            service.parts.limits.give_back(&name, quota).await;
        }
        // What ended while it went on has to be asked for.
        let known_at = Arc::new(AtomicI64::new(self.began_at.millis()));
        let let_in_after = Some(self.began_after);
        Access { known_at, let_in_after, ..Access::by(service, account, credential) }
    }
}

impl Grant {
    fn is_good(&self, now: Timestamp) -> bool {
        now < self.expires_at && now < self.asked_at.plus(Self::TTL)
    }
}

fn key(hash: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(hash)
}

fn note_refusal(client: &Client) {
    metrics::counter!("magpie_logins_total", "outcome" => "refused").increment(1);
    tracing::info!(client = ?client.ip, "login refused");
}

pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
