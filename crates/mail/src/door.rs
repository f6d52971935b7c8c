//! Who may come in, how often: bans, rates, and the greylist. Whatever cannot be looked up keeps nobody out.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use cluster::{Quota, Verdict};
use storage::Ban;
use tokio_util::sync::CancellationToken;
use types::{AccountId, EmailAddress, Network, Timestamp, client_network, neighbourhood};

use crate::{Admin, Error, Result, Service};

/// Limits at the door; see the server's `config.default.toml` for what each is for. 0: no limit.
#[derive(Debug, Clone, Default)]
pub struct DoorConfig {
    pub connections_per_minute: u32,
    pub mails_per_hour_per_address: u32,
    pub mails_per_hour_per_network: u32,
    pub mails_per_hour_per_domain: u32,
    /// Of mail programs, over IMAP and POP3.
    pub commands_per_minute_per_account: u32,
    pub commands_per_minute_per_address: u32,
    /// So long a mail from somebody unknown has to wait; `None`: nobody waits.
    pub greylist: Option<Duration>,
    /// Offences within [`DoorConfig::ban_within`] that lead to a ban.
    pub ban_after: u32,
    pub ban_within: Duration,
    pub ban_for: Duration,
}

/// What somebody is blamed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offence {
    /// The wrong password.
    Login,
    /// A conversation that was ended for its errors.
    Abuse,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub enum Rate<'a> {
    Connection,
    /// A mail that begins.
    Mail,
    /// A mail for this domain.
    To(&'a EmailAddress),
}

/// Who came back once is known for so long.
const KNOWN_FOR: Duration = Duration::from_secs(35 * 86_400);
/// Who does not come back within this begins anew.
const WAITED_FOR: Duration = Duration::from_secs(2 * 86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a command is held up: programs give up what takes a minute, and what came with it is in memory.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Whoever keeps out more than this has mistyped.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

impl Service {
    /// Whether the client is kept out.
    pub async fn is_banned(&self, client: IpAddr) -> bool {
        match self.parts.directory.banned(client, self.now()).await {
            Ok(ban) => ban.is_some(),
            Err(error) => {
                tracing::warn!(%error, "bans cannot be looked up");
                false
            }
        }
    }

    /// Counts an offence; one too many and the client is kept out for a while. This machine and private networks never
    /// are: a load balancer that does not say for whom it connects would take everybody with it.
    pub async fn blame(&self, client: IpAddr, offence: Offence) {
        let DoorConfig { ban_after, ban_within, ban_for, .. } = self.config().door;
        if ban_after == 0 || is_near(client) {
            return;
        }
        let network = Network::of_client(client);
        let quota = Quota { burst: ban_after, count: ban_after, period: ban_within };
        // One token is left for the last that is let pass.
        match self.parts.limits.check(&format!("offence:{}", network.first()), quota).await {
            Verdict::Allowed { remaining: 1.. } => return,
            Verdict::Allowed { remaining: 0 } | Verdict::Limited { .. } => {}
        }
        let (reason, now) = (offence.reason().to_owned(), self.now());
        let ban = Ban { network, reason, created_at: now, expires_at: now.plus(ban_for) };
        metrics::counter!("magpie_bans_total").increment(1);
        tracing::warn!(network = %ban.network, reason = ban.reason, until = %ban.expires_at, "a client is kept out");
        if let Err(error) = self.parts.directory.ban(&ban).await {
            tracing::warn!(%error, "the ban cannot be kept");
        }
    }

    /// Counts something against the client's address and network, or says when it may come back.
    pub async fn check_rate(&self, client: IpAddr, rate: Rate<'_>) -> Result<()> {
        let door = &self.config().door;
        let address = client_network(client);
        let counted: &[(String, u32, Duration)] = &match rate {
            Rate::Connection => vec![(format!("connect:{address}"), door.connections_per_minute, MINUTE)],
            Rate::Mail => vec![
                (format!("mail:{address}"), door.mails_per_hour_per_address, HOUR),
                (format!("mail:{}", neighbourhood(client)), door.mails_per_hour_per_network, HOUR),
            ],
            Rate::To(recipient) => {
                vec![(format!("mail-to:{}", recipient.domain_key()), door.mails_per_hour_per_domain, HOUR)]
            }
        };
        for (key, count, period) in counted.iter().filter(|(_, count, _)| *count > 0) {
            let quota = Quota { burst: *count, count: *count, period: *period };
            if let Verdict::Limited { retry_after } = self.parts.limits.check(key, quota).await {
                return Err(Error::Limited { retry_after });
            }
        }
        Ok(())
    }

    /// Whether commands of mail programs are held up.
    #[must_use]
    pub fn paces(&self) -> bool {
        let door = &self.config().door;
        door.commands_per_minute_per_account > 0 || door.commands_per_minute_per_address > 0
    }

    /// Counts a command of a mail program, and holds it up where there were more than there may be: programs take a wait
    /// better than a refusal. Whether it may go on: not if the service is to stop meanwhile. `before_wait` is called for
    /// what should not wait as well.
    pub async fn pace(
        &self,
        client: IpAddr,
        account: Option<AccountId>,
        stop: &CancellationToken,
        mut before_wait: impl FnMut() + Send,
    ) -> bool {
        let door = &self.config().door;
        let (by_account, by_address) =
            (door.commands_per_minute_per_account, door.commands_per_minute_per_address);
        let account = account.filter(|_| by_account > 0).map(|id| (format!("commands:{id}"), by_account));
        let address = (by_address > 0).then(|| (format!("commands:{}", client_network(client)), by_address));
        let mut patience = LONGEST_WAIT;
        for (key, count) in account.into_iter().chain(address) {
            while let Some(wait) = self.throttle(&key, count, MINUTE).await
                && !patience.is_zero()
            {
                before_wait();
                let wait = wait.max(SHORTEST_WAIT).min(patience);
                patience -= wait;
                if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    return false;
                }
            }
        }
        true
    }

    /// Whether a mail may come at once: not if its client, sender and recipient have never been seen together. Who
    /// comes back after a while is known from then on.
    pub async fn is_known(
        &self,
        client: IpAddr,
        sender: Option<&EmailAddress>,
        recipient: &EmailAddress,
    ) -> bool {
        let Some(wait) = self.config().door.greylist else { return true };
        let sender = sender.map(EmailAddress::key).unwrap_or_default();
        let triplet = format!("{}\0{sender}\0{}", neighbourhood(client), recipient.key());
        let triplet = blake3::hash(triplet.as_bytes()).to_hex();
        let (known, first) = (format!("grey-known:{triplet}"), format!("grey-first:{triplet}"));
        let (cache, now) = (&self.parts.cache, self.now());
        if cache.get(&known).await.is_some() {
            return true;
        }
        let seen = cache.get(&first).await.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok());
        match seen.map(|bytes| Timestamp::from_millis(i64::from_be_bytes(bytes))) {
            Some(seen) if seen.plus(wait) <= now => {
                cache.set(&known, Bytes::from_static(b"1"), KNOWN_FOR).await;
                true
            }
            Some(_) => false,
            None => {
                cache.set(&first, Bytes::copy_from_slice(&now.millis().to_be_bytes()), WAITED_FOR).await;
                false
            }
        }
    }
}

impl Admin {
    /// Who is kept out, the newest first.
    pub async fn bans(&self) -> Result<Vec<Ban>> {
        Ok(self.service.parts.directory.bans(self.service.now()).await?)
    }

    /// Whether a network of this size may be kept out.
    pub fn check_ban(network: Network) -> Result<()> {
        let network = network.of_clients();
        let widest = if network.first().is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
        if network.length() < widest {
            let detail = format!("{network} is too wide: a network to keep out is at least a /{widest}");
            return Err(Error::invalid("network", detail));
        }
        Ok(())
    }

    /// Keeps a network out for so long, or longer if it is already; returns the ban that holds from now on. (Nodes that
    /// have just let a client of it in may do so for some more seconds.)
    pub async fn add_ban(&self, network: Network, reason: &str, lasting: Duration) -> Result<Ban> {
        Self::check_ban(network)?;
        let network = network.of_clients();
        if lasting.is_zero() {
            return Err(Error::invalid("for", "a ban lasts for some time"));
        }
        if reason.trim().is_empty() || reason.chars().any(char::is_control) {
            return Err(Error::invalid("reason", "a reason is one line without control characters"));
        }
        let (directory, now) = (&self.service.parts.directory, self.service.now());
        let reason = reason.trim().to_owned();
        let new = Ban { network, reason, created_at: now, expires_at: now.plus(lasting) };
        directory.ban(&new).await?;
        let holds = directory.bans(now).await?.into_iter().find(|ban| ban.network == network);
        Ok(holds.unwrap_or(new))
    }

    /// Lets a network in again that is kept out as such.
    pub async fn lift_ban(&self, network: Network) -> Result<()> {
        let (directory, network) = (&self.service.parts.directory, network.of_clients());
        if directory.lift(network).await? {
            return Ok(());
        }
        match directory.banned(network.first(), self.service.now()).await? {
            Some(ban) => {
                Err(Error::Conflict(format!("there is no ban on {network}, but one on {}", ban.network)))
            }
            None => Err(Error::NotFound("ban")),
        }
    }
}

impl Offence {
    const fn reason(self) -> &'static str {
        match self {
            Self::Login => "wrong passwords",
            Self::Abuse => "errors",
        }
    }
}

/// Of this machine or a private network.
fn is_near(client: IpAddr) -> bool {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
