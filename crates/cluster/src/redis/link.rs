//! The connection that commands go over, and who keeps it.
//!
//! It is either there or away. Whoever finds it broken or slow says so, and from then on nobody waits for it: calls
//! come back at once with [`NoAnswer::Away`] until the keeper has found it again. So an outage costs those calls that
//! are on their way when it begins, and each of them no more than its time-out.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, RedisError as Failure, RedisResult, ServerErrorKind,
    aio::{MultiplexedConnection, PubSub},
    cmd,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::{RedisError, address::Address, limits};

/// The way to one Redis.
pub(super) struct Link {
    way: Arc<Way>,
    _keeper: AbortOnDropHandle<()>,
}

/// What the keeper shares with those who call.
struct Way {
    client: Client,
    name: String,
    prefix: String,
    node: u64,
    live: watch::Sender<Option<Live>>,
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    since: Instant,
}

/// Why a call has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It is not there now; it will be looked for.
    Away,
    /// It is there and says no.
    Refused,
}

/// Why it could not be reached.
enum Trouble {
    /// It may be there later.
    Away(String),
    /// Somebody must change something first.
    Refused(String),
}

/// Connecting, signing in and the first questions.
const CONNECT: Duration = Duration::from_secs(2);
/// A connection that lasted so long was a good one: the next is made without waiting.
const STEADY: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl Link {
    /// Reaches for it once, and keeps at it from then on.
    pub(super) async fn open(address: Address, prefix: String, node: u64) -> Result<Arc<Self>, RedisError> {
        let Address { client, name } = address;
        let way = Arc::new(Way { client, name, prefix, node, live: watch::Sender::new(None) });
        match way.reach().await {
            Ok(connection) => way.found(connection),
            Err(Trouble::Away(reason)) => {
                tracing::warn!(server = way.name, %reason, "Redis is away; starting without it");
            }
            Err(Trouble::Refused(reason)) => {
                return Err(RedisError::Refused { server: way.name.clone(), reason });
            }
        }
        let keeper = TaskTracker::new().spawn(keep(Arc::clone(&way)));
        Ok(Arc::new(Self { way, _keeper: AbortOnDropHandle::new(keeper) }))
    }

    /// Asks it something, waiting no longer than this.
    pub(super) async fn call<T, F>(
        &self,
        longest: Duration,
        ask: impl FnOnce(MultiplexedConnection) -> F + Send,
    ) -> Result<T, NoAnswer>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let live = self.way.live.borrow().clone().ok_or(NoAnswer::Away)?;
        let failure = match timeout(longest, ask(live.connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => {
                self.way.lost(live.since, "no answer in time");
                return Err(NoAnswer::Away);
            }
        };
        metrics::counter!("magpie_redis_failures_total").increment(1);
        if is_lost(&failure) {
            self.way.lost(live.since, &failure.to_string());
            Err(NoAnswer::Away)
        } else {
            tracing::debug!(server = self.way.name, error = %failure, "Redis refused");
            Err(NoAnswer::Refused)
        }
    }

    pub(super) fn is_there(&self) -> bool {
        self.way.live.borrow().is_some()
    }

    /// Waits until it is there.
    pub(super) async fn there(&self) {
        // The sender is in `self`, so waiting cannot fail.
        let _ = self.way.live.subscribe().wait_for(Option::is_some).await;
    }

    /// A connection of its own for listening.
    pub(super) async fn listener(&self) -> Result<PubSub, String> {
        match timeout(CONNECT, self.way.client.get_async_pubsub()).await {
            Ok(Ok(listener)) => Ok(listener),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    /// The name of a key or channel, of the part of the service that it belongs to.
    pub(super) fn key(&self, part: &str, name: impl fmt::Display) -> String {
        format!("{}:{part}:{name}", self.way.prefix)
    }

    pub(super) fn node(&self) -> u64 {
        self.way.node
    }

    pub(super) fn name(&self) -> &str {
        &self.way.name
    }

    /// How long to wait before trying once more.
    pub(super) fn wait(&self, attempt: u32) -> Duration {
        wait(self.way.node, attempt)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("server", &self.way.name)
            .field("prefix", &self.way.prefix)
            .field("there", &self.is_there())
            .finish_non_exhaustive()
    }
}

impl Way {
    /// Connects, and asks for all that will be asked later.
    async fn reach(&self) -> Result<MultiplexedConnection, Trouble> {
        // Each call has its own time-out, so the connection has none.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        let reach = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            limits::probe(&mut connection, &format!("{}:limit:probe", self.prefix)).await?;
            let channel = format!("{}:bus:probe", self.prefix);
            let _: i64 = cmd("PUBLISH").arg(channel).arg("").query_async(&mut connection).await?;
            let _: Option<Vec<u8>> =
                cmd("GET").arg(format!("{}:cache:probe", self.prefix)).query_async(&mut connection).await?;
            Ok(connection)
        };
        match timeout(CONNECT * 2, reach).await {
            Ok(reached) => reached.map_err(|failure| trouble(&failure)),
            Err(_) => Err(Trouble::Away("no answer in time".to_owned())),
        }
    }

    fn found(&self, connection: MultiplexedConnection) {
        self.live.send_replace(Some(Live { connection, since: Instant::now() }));
        metrics::gauge!("magpie_redis_up").set(1);
    }

    /// Gives up the connection made at `since`, if it is still the one in use.
    fn lost(&self, since: Instant, reason: &str) {
        let gone = self.live.send_if_modified(|live| {
            let ours = live.as_ref().is_some_and(|live| live.since == since);
            if ours {
                *live = None;
            }
            ours
        });
        if gone {
            metrics::gauge!("magpie_redis_up").set(0);
            tracing::warn!(server = self.name, %reason, "Redis is away; going on without it");
        }
    }
}

/// Finds it again whenever it was lost.
async fn keep(way: Arc<Way>) {
    let mut live = way.live.subscribe();
    let mut attempt = 0;
    loop {
        let since = live.borrow_and_update().as_ref().map(|live| live.since);
        if let Some(since) = since {
            let _ = live.wait_for(Option::is_none).await;
            attempt = if since.elapsed() < STEADY { attempt + 1 } else { 0 };
        }
        if attempt > 0 {
            sleep(wait(way.node, attempt)).await;
        }
        match way.reach().await {
            Ok(connection) => {
                tracing::info!(server = way.name, "Redis is there");
                way.found(connection);
            }
            Err(Trouble::Away(reason)) => {
                tracing::debug!(server = way.name, %reason, "Redis is still away");
                attempt += 1;
            }
            Err(Trouble::Refused(reason)) => {
                tracing::warn!(server = way.name, %reason, "Redis refuses us; going on without it");
                attempt += 1;
            }
        }
    }
}

/// Longer from attempt to attempt, and never the same for two nodes, so that they do not all come at once.
fn wait(node: u64, attempt: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    // Fibonacci hashing: the upper bits are as good as random.
    let mixed = (node ^ u64::from(attempt)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    let percent = 50 + u32::try_from(mixed % 51).unwrap_or(0);
    longest * percent / 100
}

/// Whether the connection is of no more use, or what it leads to.
fn is_lost(failure: &Failure) -> bool {
    match failure.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::AuthenticationFailed => true,
        // After a fail-over the same name leads elsewhere.
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::BusyLoading
        ),
        _ => failure.is_unrecoverable_error() || failure.code() == Some("NOAUTH"),
    }
}

fn trouble(failure: &Failure) -> Trouble {
    let text = one_line(&failure.to_string());
    match failure.kind() {
        ErrorKind::Io if is_tls(failure) => Trouble::Refused(format!(
            "no TLS with it ({text}); use redis:// if it has none, or trust its certificate"
        )),
        ErrorKind::Io => Trouble::Away(text),
        ErrorKind::AuthenticationFailed => {
            Trouble::Refused(format!("wrong user or password in the URL ({text})"))
        }
        ErrorKind::Parse => Trouble::Refused("what answers there does not speak Redis' protocol".to_owned()),
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => Trouble::Away(text),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            Trouble::Refused("it is a replica; name the primary in the URL".to_owned())
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            Trouble::Refused(format!("its user lacks a right that is needed ({text})"))
        }
        _ if failure.code() == Some("NOAUTH") => {
            Trouble::Refused("it wants a password; put one into the URL".to_owned())
        }
        _ => Trouble::Refused(text),
    }
}

/// Whether the other side is there, but no TLS connection comes about.
fn is_tls(failure: &Failure) -> bool {
    let source = failure.source().and_then(|source| source.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| io.kind() == io::ErrorKind::InvalidData)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
