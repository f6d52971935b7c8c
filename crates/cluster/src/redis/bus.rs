//! The bus between nodes: this node's own, and what others say over Redis' channels.
//!
//! Accounts are spread over a fixed number of channels, and a node listens to those that somebody in it listens to.
//! Two tasks: one sends what was published, all that came while the last packets were on their way at once; one
//! listens. Whenever a channel was not listened to for a while, who waits for its accounts hears that hints were
//! lost, and so looks at the log.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use ::redis::{
    Msg, RedisResult,
    aio::{PubSubSink, PubSubStream},
    pipe,
};
use async_trait::async_trait;
use futures::StreamExt as _;
use storage::Committed;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use types::AccountId;

use super::{
    link::{Link, NoAnswer},
    outbox::Outbox,
    packet::Packet,
};
use crate::{
    Bus, Feed, LocalBus, Subscription, Wakeups,
    local_bus::{STRIPES, stripe},
};

/// The bus over Redis. Sessions of the same node hear each other without it.
#[derive(Debug)]
pub struct RedisBus {
    lines: Arc<Lines>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Debug)]
struct Lines {
    link: Arc<Link>,
    local: LocalBus,
    outbox: Mutex<Outbox>,
    /// There is something in the outbox.
    published: Notify,
    /// Whether something was published that is not sent yet.
    unsent: watch::Sender<bool>,
    /// By stripe, whether its channel is listened to.
    open: [AtomicBool; STRIPES],
    /// Somebody came for a channel that is not.
    wanted: Notify,
}

/// For whoever sends or listens; nobody waits for them.
const LONGEST: Duration = Duration::from_secs(1);
/// How often a silent connection is tried, and channels that nobody needs any more are left.
const ROUND: Duration = Duration::from_secs(10);
/// Between two channels whose sessions are told that hints were lost: all of them in about a second, so that the
/// databases are not asked by everybody at once.
const PACE: Duration = Duration::from_millis(4);
/// A connection that lasted so long was a good one.
const STEADY: Duration = Duration::from_secs(10);

impl RedisBus {
    pub(super) fn new(link: Arc<Link>, local: LocalBus) -> Self {
        let lines = Arc::new(Lines {
            link,
            local,
            outbox: Mutex::default(),
            published: Notify::new(),
            unsent: watch::Sender::new(false),
            open: std::array::from_fn(|_| AtomicBool::new(false)),
            wanted: Notify::new(),
        });
        let tasks = TaskTracker::new();
        let send = tasks.spawn(send(Arc::clone(&lines)));
        let hear = tasks.spawn(hear(Arc::clone(&lines)));
        Self { lines, _tasks: [AbortOnDropHandle::new(send), AbortOnDropHandle::new(hear)] }
    }
}

#[async_trait]
impl Bus for RedisBus {
    fn publish(&self, committed: &Committed) {
        self.lines.local.publish(committed);
        self.lines.post(committed);
        self.lines.published.notify_one();
    }

    async fn sent(&self) {
        // Nobody waits longer for a Redis that is away.
        let _ = timeout(LONGEST, self.lines.unsent.subscribe().wait_for(|unsent| !unsent)).await;
    }

    fn subscribe(&self, account: AccountId) -> Subscription {
        let subscription = self.lines.local.subscribe(account);
        // After it is in the slots: see `Lines::leave_unheard`.
        if !self.lines.is_open(stripe(account)) {
            self.lines.wanted.notify_one();
        }
        subscription
    }

    fn subscribe_all(&self) -> Feed {
        let feed = self.lines.local.subscribe_all();
        self.lines.wanted.notify_one();
        feed
    }

    fn queue_wakeups(&self) -> Wakeups {
        self.lines.local.queue_wakeups()
    }
}

impl Lines {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, committed: &Committed) {
        let mut outbox = self.outbox();
        outbox.add(committed);
        self.unsent.send_replace(true);
    }

    /// What waits to be sent, once what was taken before is; `None` if nothing does.
    fn take(&self) -> Option<Outbox> {
        let mut outbox = self.outbox();
        if outbox.is_empty() {
            self.unsent.send_replace(false);
            return None;
        }
        Some(std::mem::take(&mut *outbox))
    }

    fn is_open(&self, stripe: usize) -> bool {
        self.open.get(stripe).is_some_and(|open| open.load(SeqCst))
    }

    fn set_open(&self, stripe: usize, is: bool) {
        if let Some(open) = self.open.get(stripe) {
            open.store(is, SeqCst);
        }
    }

    /// The channel of a stripe; that of all nodes for `None`.
    fn channel(&self, stripe: Option<usize>) -> String {
        match stripe {
            Some(stripe) => self.link.key("bus", stripe),
            None => self.link.key("bus", "all"),
        }
    }

    /// What a message says, for those in this node. Stripes that lost hints are told later.
    fn heard(&self, message: &Msg, lost: &mut VecDeque<usize>) {
        let Some(packet) = Packet::decode(message.get_payload_bytes()) else {
            // Another version's: that something changed is all that can be known.
            let channel = message.get_channel_name();
            let stripe = (0..STRIPES).find(|stripe| self.channel(Some(*stripe)) == channel);
            self.lost(stripe.map_or_else(|| (0..STRIPES).collect(), |stripe| vec![stripe]), lost);
            return;
        };
        if packet.node == self.link.node() {
            return;
        }
        for (shard, account, modseq) in packet.changes() {
            self.local.changed(shard, account, modseq);
        }
        for shard in &packet.queued {
            self.local.queued(types::ShardId(*shard));
        }
        if packet.lost {
            self.lost((0..STRIPES).collect(), lost);
        }
    }

    fn lost(&self, stripes: Vec<usize>, lost: &mut VecDeque<usize>) {
        self.local.lost_feed();
        self.local.lost_wakeups();
        for stripe in stripes {
            if !lost.contains(&stripe) {
                lost.push_back(stripe);
            }
        }
    }

    /// Listens to the channels that somebody waits for.
    async fn open_wanted(&self, sink: &mut PubSubSink, lost: &mut VecDeque<usize>) -> Result<(), String> {
        let wanted: Vec<_> =
            (0..STRIPES).filter(|stripe| !self.is_open(*stripe) && self.local.is_heard(*stripe)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let channels: Vec<_> = wanted.iter().map(|stripe| self.channel(Some(*stripe))).collect();
        in_time(sink.subscribe(channels)).await?;
        for stripe in &wanted {
            self.set_open(*stripe, true);
        }
        // What was said before the channels were open is lost to those who waited already.
        if self.local.is_followed() {
            self.local.lost_feed();
        }
        lost.extend(wanted);
        Ok(())
    }

    /// Leaves the channels that nobody waits for any more.
    async fn leave_unheard(&self, sink: &mut PubSubSink) -> Result<(), String> {
        let mut left = Vec::new();
        for stripe in (0..STRIPES).filter(|stripe| self.is_open(*stripe)) {
            // Closed before it is looked at: who comes now either is seen here, or sees it closed and asks for it.
            self.set_open(stripe, false);
            if self.local.is_heard(stripe) {
                self.set_open(stripe, true);
            } else {
                left.push(self.channel(Some(stripe)));
            }
        }
        if left.is_empty() { Ok(()) } else { in_time(sink.unsubscribe(left)).await }
    }
}

/// Sends what is published.
async fn send(lines: Arc<Lines>) {
    loop {
        lines.published.notified().await;
        loop {
            lines.link.there().await;
            let Some(batch) = lines.take() else { break };
            let mut publish = pipe();
            for (stripe, packet) in batch.packets(lines.link.node()) {
                publish.cmd("PUBLISH").arg(lines.channel(stripe)).arg(packet.encode()).ignore();
            }
            let sent = lines.link.call(LONGEST, |mut connection| async move {
                let sent: RedisResult<()> = publish.query_async(&mut connection).await;
                sent
            });
            match sent.await {
                Ok(()) => metrics::counter!("magpie_bus_packets_sent_total").increment(1),
                // Hints may come twice, so what perhaps was sent is sent again.
                Err(NoAnswer::Away) => lines.outbox().merge(batch),
                Err(NoAnswer::Refused) => {
                    metrics::counter!("magpie_bus_hints_dropped_total").increment(1);
                }
            }
        }
    }
}

/// Listens to other nodes, and starts anew whenever the connection is lost.
async fn hear(lines: Arc<Lines>) {
    let mut attempt = 0;
    loop {
        let since = Instant::now();
        let Err(reason) = listen(&lines).await;
        for stripe in 0..STRIPES {
            lines.set_open(stripe, false);
        }
        tracing::info!(server = lines.link.name(), %reason, "hints of other nodes are not heard");
        attempt = if since.elapsed() < STEADY { attempt + 1 } else { 1 };
        sleep(lines.link.wait(attempt)).await;
    }
}

/// Listens over one connection until it is lost; says why.
async fn listen(lines: &Lines) -> Result<std::convert::Infallible, String> {
    let (mut sink, mut messages) = lines.link.listener().await?.split();
    in_time(sink.subscribe(lines.channel(None))).await?;
    let mut lost = VecDeque::new();
    lines.open_wanted(&mut sink, &mut lost).await?;
    // Other nodes' hints of queues were not heard until now.
    lines.local.lost_wakeups();
    let mut round = interval(ROUND);
    let mut pace = interval(PACE);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = next(&mut messages) => lines.heard(&message?, &mut lost),
            () = lines.wanted.notified() => lines.open_wanted(&mut sink, &mut lost).await?,
            _ = pace.tick(), if !lost.is_empty() => {
                if let Some(stripe) = lost.pop_front() {
                    lines.local.lost(stripe);
                }
            }
            _ = round.tick() => {
                in_time(sink.ping::<::redis::Value>()).await?;
                lines.leave_unheard(&mut sink).await?;
                lines.open_wanted(&mut sink, &mut lost).await?;
            }
        }
    }
}

async fn next(messages: &mut PubSubStream) -> Result<Msg, String> {
    messages.next().await.ok_or_else(|| "the connection was closed".to_owned())
}

async fn in_time<T>(asked: impl Future<Output = RedisResult<T>>) -> Result<T, String> {
    match timeout(LONGEST, asked).await {
        Ok(answer) => answer.map_err(|failure| failure.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}
