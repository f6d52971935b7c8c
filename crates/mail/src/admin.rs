//! The operator's use-cases: domains, accounts, aliases, the queue. Reached from the command line only;
//! what of it is reached over the network, `operator` says.

use std::collections::HashSet;
use std::net::IpAddr;

use async_trait::async_trait;
use storage::{Account, Domain, Error as StorageError, Group, Needs, NewAccount, QueueEntry, QueueFilter};
use storage::{Result as StorageResult, Transaction, Unit};
use types::address::{self, key_of};
use types::api::{self, Delivery, DeliveryState};
use types::{AccountId, AppPasswordId, EmailAddress, QueueId, Secret, ShardId, Timestamp};

use crate::folders::Provision;
use crate::relocate::why;
use crate::{Access, Error, Result, Service};

/// The operator's view of the service. Whoever has the data folder may have one.
#[derive(Clone)]
pub struct Admin {
    pub(crate) service: Service,
}

/// A shard that could not be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    pub shard: ShardId,
    /// Its database, without a password.
    pub name: String,
    pub reason: String,
}

impl Absent {
    fn all(absent: Vec<Self>) -> Error {
        let lines: Vec<_> = absent.iter().map(ToString::to_string).collect();
        Error::Storage(StorageError::Unavailable(lines.join("; ").into()))
    }
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shard {} ({}) is away: {}", self.shard, self.name, self.reason.replace('\n', " "))
    }
}

/// What to do with a queue entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueAction {
    Hold,
    Release,
    /// Tries every pending recipient at once.
    Retry,
    /// Sends it by way of this host, `HOST:PORT`, and now; `None`: as its recipients' domains say.
    Reroute(Option<String>),
    /// Removes it without notifying anybody.
    Drop,
}

const MIN_PASSWORD_CHARS: usize = 8;

impl Service {
    /// The operator's use-cases.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin { service: self.clone() }
    }
}

impl Admin {
    /// Takes mail for another domain from now on.
    pub async fn add_domain(&self, name: &str) -> Result<Domain> {
        if !address::is_domain(name) || name.starts_with('[') || name.parse::<IpAddr>().is_ok() {
            return Err(Error::invalid("domain", format!("`{name}` is not a domain name")));
        }
        if let Some(why) = unreachable(&address::domain_key(name)) {
            return Err(Error::invalid("domain", format!("no mail can come to `{name}`: {why}")));
        }
        let added = self.directory().add_domain(name, self.service.now()).await;
        added.map_err(|error| exists(error, format!("the domain {name} is there already")))
    }

    pub async fn domains(&self) -> Result<Vec<Domain>> {
        Ok(self.directory().domains().await?)
    }

    /// Adds an account with the standard folders, and with a quota of its own if it is to have one.
    pub async fn add_account(
        &self,
        email: &EmailAddress,
        name: &str,
        password: Secret,
        own_quota_bytes: Option<u64>,
    ) -> Result<Account> {
        if name.chars().any(char::is_control) {
            return Err(Error::invalid("name", "a name is one line without control characters"));
        }
        let password_hash = self.hash(password.clone()).await?;
        let now = self.service.now();
        let new = NewAccount {
            email: email.with_domain_folded(),
            name: name.trim().to_owned(),
            password_hash: password_hash.clone(),
            own_quota_bytes,
            created_at: now,
        };
        let added = self.directory().add_account(new).await;
        let added = added.map_err(|error| match error {
            StorageError::Reached(_) => full(email.domain()),
            error => exists(error, format!("the address {email} is taken already")),
        })?;
        let account = added.ok_or_else(|| {
            let domain = email.domain();
            Error::invalid(
                "address",
                format!("{domain} is not a domain of this service; `magpie domain add {domain}` first"),
            )
        })?;
        self.service.keep_keys(account.id, &password_hash, &password).await;
        let shard = self.service.shard_of(account.id);
        self.service.write(shard, Provision { account: account.id, now }).await?;
        Ok(account)
    }

    /// Accounts after this one, in order.
    pub async fn accounts(&self, after: Option<AccountId>, limit: u32) -> Result<Vec<Account>> {
        Ok(self.directory().accounts(after, limit).await?)
    }

    /// The account that has this address.
    pub async fn account(&self, email: &EmailAddress) -> Result<Account> {
        let id = self.directory().resolve(email).await?.ok_or(Error::NotFound("account"))?;
        self.directory().account(id).await?.ok_or(Error::NotFound("account"))
    }

    /// Access to an account for importing and exporting.
    pub async fn open(&self, email: &EmailAddress) -> Result<Access> {
        Ok(Access::new(&self.service, self.account(email).await?))
    }

    /// Sets a new password, takes all app passwords away, and ends all sessions.
    pub async fn set_password(&self, email: &EmailAddress, password: Secret) -> Result<()> {
        let id = self.account(email).await?.id;
        let password_hash = self.hash(password.clone()).await?;
        self.directory().set_password(id, password_hash.clone()).await?;
        self.service.keep_keys(id, &password_hash, &password).await;
        self.service.end_sessions(id).await
    }

    /// The same as it is now, past every cache.
    async fn account_now(&self, email: &EmailAddress) -> Result<Account> {
        let id = self.account(email).await?.id;
        self.directory().account_now(id).await?.ok_or(Error::NotFound("account"))
    }

    /// The app passwords of an account, the oldest first.
    pub async fn app_passwords(&self, email: &EmailAddress) -> Result<Vec<api::AppPassword>> {
        self.service.app_passwords(self.account(email).await?.id).await
    }

    /// Makes one for the program of this name; it is told here once.
    pub async fn add_app_password(
        &self,
        email: &EmailAddress,
        name: &str,
    ) -> Result<(api::AppPassword, Secret)> {
        self.service.add_app_password(&self.account_now(email).await?, name).await
    }

    /// Takes one away; whoever came by it has to go.
    pub async fn remove_app_password(&self, email: &EmailAddress, id: AppPasswordId) -> Result<()> {
        self.service.remove_app_password(self.account(email).await?.id, id).await
    }

    /// Lets the account log in, or no more; disabling ends all sessions.
    pub async fn set_enabled(&self, email: &EmailAddress, enabled: bool) -> Result<()> {
        let id = self.account(email).await?.id;
        self.directory().set_enabled(id, enabled).await?;
        if !enabled {
            self.service.end_sessions(id).await?;
        }
        Ok(())
    }

    /// Makes the account an operator of the queue over REST, or no more. Asked anew for every request.
    pub async fn set_admin(&self, email: &EmailAddress, admin: bool) -> Result<()> {
        let id = self.account(email).await?.id;
        if self.directory().set_admin(id, admin).await? { Ok(()) } else { Err(Error::NotFound("account")) }
    }

    /// Removes an account and all its mail. There is no way back.
    pub async fn remove_account(&self, email: &EmailAddress) -> Result<()> {
        let id = self.account(email).await?.id;
        let shard = self.service.shard_of(id);
        // Nobody begins a session in between.
        self.set_enabled(email, false).await?;
        self.service.end_grants(id).await?;
        self.directory().remove_account(id).await?;
        self.service.write(shard, Purge(id)).await?;
        Ok(self.service.parts.search.forget(id).await?)
    }

    /// Gives an account another address.
    pub async fn add_alias(&self, alias: &EmailAddress, to: &EmailAddress) -> Result<()> {
        let id = self.account(to).await?.id;
        let added = self.directory().add_alias(id, &alias.with_domain_folded()).await;
        if !added.map_err(|error| exists(error, format!("the address {alias} is taken already")))? {
            let domain = alias.domain();
            return Err(Error::invalid("alias", format!("{domain} is not a domain of this service")));
        }
        Ok(())
    }

    /// Makes an address a group of these, or changes the group that it is. `owner` answers for it: may send under its
    /// address, and has mail on its way on in its queue.
    pub async fn set_group(
        &self,
        address: &EmailAddress,
        owner: &EmailAddress,
        targets: &[EmailAddress],
    ) -> Result<()> {
        if targets.is_empty() {
            return Err(Error::invalid("targets", "a group has at least one member"));
        }
        let most = self.service.config().max_group_members;
        if targets.len() > most {
            let text = format!("a group has at most {most} members (limits.group_members)");
            return Err(Error::invalid("targets", text));
        }
        let owner = self.account(owner).await?.id;
        let group = Group { address: address.with_domain_folded(), owner, targets: targets.to_vec() };
        let set = self.directory().set_group(&group).await;
        if !set.map_err(|error| exists(error, format!("the address {address} is taken already")))? {
            let domain = address.domain();
            return Err(Error::invalid("address", format!("{domain} is not a domain of this service")));
        }
        Ok(())
    }

    /// All groups, by address.
    pub async fn groups(&self) -> Result<Vec<Group>> {
        Ok(self.directory().groups().await?)
    }

    pub async fn remove_group(&self, address: &EmailAddress) -> Result<()> {
        if self.directory().group(address).await?.is_none() {
            return Err(Error::NotFound("group"));
        }
        self.remove_alias(address).await
    }

    /// How large a mail may be for this account, beyond what holds for all; `None`: as for all.
    pub async fn limit_account(&self, email: &EmailAddress, max_bytes: Option<u64>) -> Result<()> {
        let email = self.account(email).await?.email;
        self.limit(&email.key(), &email.keys(), max_bytes).await
    }

    /// The same for all accounts of a domain.
    pub async fn limit_domain(&self, name: &str, max_bytes: Option<u64>) -> Result<()> {
        let domain = self.directory().domain(name).await?.ok_or(Error::NotFound("domain"))?;
        self.limit(&address::domain_key(&domain.name), &address::domain_keys(&domain.name), max_bytes).await
    }

    /// Instead of what was set under another of its names.
    async fn limit(&self, subject: &str, names: &[String], max_bytes: Option<u64>) -> Result<()> {
        self.directory().set_message_limit(subject, max_bytes).await?;
        for older in names.iter().filter(|name| *name != subject) {
            self.directory().set_message_limit(older, None).await?;
        }
        Ok(())
    }

    pub async fn remove_alias(&self, alias: &EmailAddress) -> Result<()> {
        if self.directory().remove_alias(alias).await? { Ok(()) } else { Err(Error::NotFound("alias")) }
    }

    /// Every address of an account, the main one first.
    pub async fn addresses(&self, email: &EmailAddress) -> Result<Vec<EmailAddress>> {
        let id = self.account(email).await?.id;
        Ok(self.directory().addresses(id).await?)
    }

    /// Entries of all queues, at most `limit` of each shard; an error if a shard is away.
    pub async fn queue(&self, limit: u32) -> Result<Vec<QueueEntry>> {
        match self.queue_there(limit).await? {
            (entries, absent) if absent.is_empty() => Ok(entries),
            (_, absent) => Err(Absent::all(absent)),
        }
    }

    /// The same of those shards that answer, and those that do not.
    pub async fn queue_there(&self, limit: u32) -> Result<(Vec<QueueEntry>, Vec<Absent>)> {
        let (mut entries, mut absent) = (Vec::new(), Vec::new());
        for shard in self.service.parts.shards.all() {
            let filter = QueueFilter { limit, ..QueueFilter::default() };
            let read = async { self.service.parts.shards.snapshot(shard).await?.queue(&filter).await };
            match read.await {
                Ok(found) => entries.extend(found),
                Err(error) => absent.push(self.absent(shard, error)?),
            }
        }
        entries.sort_by_key(|entry| entry.id);
        Ok((entries, absent))
    }

    /// What is said of a shard that does not answer. Whatever else is wrong with it is an error: nobody would look for it
    /// behind one that comes back by itself.
    pub(crate) fn absent(&self, shard: ShardId, error: StorageError) -> Result<Absent> {
        match error {
            StorageError::Unavailable(_) => {
                Ok(Absent { shard, name: self.service.parts.shards.name(shard), reason: why(&error) })
            }
            other => Err(other.into()),
        }
    }

    /// A queue entry by its id, on whichever shard it is.
    pub async fn queue_entry(&self, id: QueueId) -> Result<QueueEntry> {
        self.find(id).await.map(|(_, entry)| entry)
    }

    /// Does this to a queue entry.
    pub async fn queue_action(&self, id: QueueId, action: QueueAction) -> Result<()> {
        if let QueueAction::Reroute(Some(host)) = &action {
            check_host(host)?;
        }
        let (shard, entry) = self.find(id).await?;
        if entry.held && action == QueueAction::Retry {
            return Err(Error::Conflict("the mail is held: release it first".to_owned()));
        }
        let unit = Act { entry, action, now: self.service.now() };
        if self.service.write(shard, unit).await? { Ok(()) } else { Err(Error::NotFound("queue entry")) }
    }

    async fn find(&self, id: QueueId) -> Result<(ShardId, QueueEntry)> {
        let mut absent = Vec::new();
        for shard in self.service.parts.shards.all() {
            match self.find_on(shard, id).await {
                Ok(Some(entry)) => return Ok((shard, entry)),
                Ok(None) => {}
                Err(error) => absent.push(self.absent(shard, error)?),
            }
        }
        // It may be where nobody answers.
        if absent.is_empty() { Err(Error::NotFound("queue entry")) } else { Err(Absent::all(absent)) }
    }

    async fn find_on(&self, shard: ShardId, id: QueueId) -> StorageResult<Option<QueueEntry>> {
        let mut snapshot = self.service.parts.shards.snapshot(shard).await?;
        let mut after = None;
        loop {
            let filter = QueueFilter { account: None, after, limit: QUEUE_PAGE };
            let entries = snapshot.queue(&filter).await?;
            after = entries.last().map(|entry| (entry.account, entry.id));
            let full = entries.len() >= QUEUE_PAGE as usize;
            // What moved away may be left here for a while.
            let is_it = |entry: &QueueEntry| {
                entry.id == id && self.service.parts.shards.shard_of(entry.account) == shard
            };
            match entries.into_iter().find(is_it) {
                Some(entry) => return Ok(Some(entry)),
                None if full => {}
                None => return Ok(None),
            }
        }
    }

    async fn hash(&self, password: Secret) -> Result<Secret> {
        if password.expose().chars().count() < MIN_PASSWORD_CHARS {
            let detail = format!("a password has at least {MIN_PASSWORD_CHARS} characters");
            return Err(Error::invalid("password", detail));
        }
        self.service.passwords.hash(password, &**self.service.random()).await
    }

    fn directory(&self) -> &dyn storage::Directory {
        &*self.service.parts.directory
    }
}

const QUEUE_PAGE: u32 = 500;

pub(crate) fn check_host(host: &str) -> Result<()> {
    if is_host_and_port(host) {
        return Ok(());
    }
    Err(Error::invalid("host", "the host must be like relay.example.com:25"))
}

fn is_host_and_port(host: &str) -> bool {
    let is_address = |name: &str| name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    host.rsplit_once(':')
        .is_some_and(|(name, port)| (address::is_domain(name) || is_address(name)) && is_port(port))
}

fn full(domain: &str) -> Error {
    Error::Conflict(format!(
        "{domain} has as many accounts as it may have; `magpie domain set {domain} --accounts NUMBER` allows more"
    ))
}

/// Why nobody could send mail to the domain. `.test` and `.example` are for trying out.
fn unreachable(key: &str) -> Option<&'static str> {
    let Some((_, top)) = key.rsplit_once('.') else {
        return Some("it is a single name; a domain has a dot, like example.com");
    };
    if top.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("no domain ends in a number"); // RFC 3696 §2
    }
    // RFC 6761 §6.3 and §6.4, RFC 7686.
    match top {
        "localhost" => Some("names under localhost mean the machine that asks"),
        "invalid" => Some("names under invalid never exist"),
        "onion" => Some("names under onion have no mail servers in DNS"),
        _ => None,
    }
}

fn exists(error: StorageError, detail: String) -> Error {
    match error {
        StorageError::Exists(_) => Error::Conflict(detail),
        other => other.into(),
    }
}

struct Purge(AccountId);

#[async_trait]
impl Unit for Purge {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.purge(self.0).await
    }
}

struct Act {
    /// As it was a moment ago.
    entry: QueueEntry,
    action: QueueAction,
    now: Timestamp,
}

impl Act {
    /// The Sent copy says what became of those who were still to get it.
    async fn tell(&self, tx: &mut dyn Transaction, dropped: &QueueEntry) -> StorageResult<()> {
        let QueueEntry { account, message: Some(message), recipients, .. } = dropped else {
            return Ok(());
        };
        let Some(mut told) = tx.delivery(*account, *message).await? else { return Ok(()) };
        let removed = if dropped.is_sending(self.now) { Delivery::CUT_OFF } else { Delivery::DROPPED };
        let keys: HashSet<_> = recipients.iter().map(|to| to.address.key()).collect();
        let is_open = |to: &Delivery| matches!(to.state, DeliveryState::Queued | DeliveryState::Deferred);
        for to in told.iter_mut().filter(|to| is_open(to) && keys.contains(&key_of(&to.recipient))) {
            to.state = DeliveryState::Failed;
            to.reply = Some(removed.to_owned());
            to.next_attempt_at = None;
        }
        tx.set_delivery(*account, *message, &told).await
    }
}

#[async_trait]
impl Unit for Act {
    type Output = bool;

    fn needs(&self) -> Needs {
        let QueueEntry { account, id, message, .. } = self.entry;
        let sent = message.map(|message| (account, message)).into_iter().collect();
        Needs { accounts: vec![account], entries: vec![(account, id)], sent, ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<bool> {
        let QueueEntry { account, id, .. } = self.entry;
        match &self.action {
            QueueAction::Reroute(via) => {
                Ok(tx.reroute(account, id, via.clone()).await? && tx.retry_now(account, id, self.now).await?)
            }
            QueueAction::Hold => tx.hold(account, id, true).await,
            QueueAction::Release => tx.hold(account, id, false).await,
            QueueAction::Retry => tx.retry_now(account, id, self.now).await,
            QueueAction::Drop => {
                // Somebody may have begun to send it meanwhile.
                let Some(entry) = tx.queue_entry(account, id).await? else { return Ok(false) };
                self.tell(tx, &entry).await?;
                tx.drop_entry(account, id).await
            }
        }
    }
}
