//! What every bus must do, and how fast nodes hear of each other.

use std::{sync::Arc, time::Duration};

use cluster::{Bus, Feed, FeedHint, Hint, LocalBus, Subscription};
use futures::FutureExt as _;
use storage::Committed;
use tokio::time::{Instant, timeout};
use types::{AccountId, ModSeq, ShardId};

use crate::{PATIENCE, node};

pub(crate) fn committed(shard: u16, accounts: &[(i64, i64)], queued: bool) -> Committed {
    let accounts = accounts.iter().map(|(id, modseq)| (AccountId(*id), ModSeq(*modseq))).collect();
    Committed::hint(ShardId(shard), accounts, queued)
}

pub(crate) async fn hint(subscription: &mut Subscription) -> Hint {
    timeout(PATIENCE, subscription.next()).await.expect("a hint")
}

/// Until this one is heard.
pub(crate) async fn heard(subscription: &mut Subscription, expected: Hint) {
    while hint(subscription).await != expected {}
}

pub(crate) async fn feed_hint(feed: &mut Feed) -> FeedHint {
    timeout(PATIENCE, feed.next()).await.expect("a hint")
}

/// Subscribes, and waits until other nodes are heard, which a bus between nodes tells by `Lagged`.
pub(crate) async fn subscribed(bus: &dyn Bus, account: i64, between: Between) -> Subscription {
    let mut subscription = bus.subscribe(AccountId(account));
    if between == Between::Nodes {
        heard(&mut subscription, Hint::Lagged).await;
    }
    subscription
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    Sessions,
    Nodes,
}

#[tokio::test]
async fn within_a_node() {
    let bus = LocalBus::new();
    conforms(&bus, &bus, Between::Sessions).await;
}

#[tokio::test]
async fn between_nodes_over_redis() {
    let server = testkit::Redis::start().await.unwrap();
    let (one, other) = (node(&server, 1).await.bus(), node(&server, 2).await.bus());
    conforms(&one, &other, Between::Nodes).await;
}

#[tokio::test]
async fn within_a_node_of_several() {
    let server = testkit::Redis::start().await.unwrap();
    let bus = node(&server, 1).await.bus();
    conforms(&bus, &bus, Between::Nodes).await;
}

/// What is published at one, is heard at the other (or the same).
async fn conforms(one: &dyn Bus, other: &dyn Bus, between: Between) {
    let mut alice = subscribed(other, 1, between).await;
    let mut again = subscribed(other, 1, Between::Sessions).await;
    let mut bob = subscribed(other, 2, between).await;
    for modseq in [5, 7, 6] {
        one.publish(&committed(0, &[(1, modseq)], false));
    }
    heard(&mut alice, Hint::ChangedTo(ModSeq(7))).await;
    heard(&mut again, Hint::ChangedTo(ModSeq(7))).await;
    assert_eq!(bob.next().now_or_never(), None);
    one.publish(&committed(0, &[(1, 8), (2, 3)], false));
    assert_eq!(hint(&mut alice).await, Hint::ChangedTo(ModSeq(8)));
    assert_eq!(hint(&mut bob).await, Hint::ChangedTo(ModSeq(3)));

    let mut worker = other.queue_wakeups();
    one.publish(&committed(3, &[], true));
    assert_eq!(timeout(PATIENCE, worker.next()).await.unwrap(), ShardId(3));

    let mut feed = other.subscribe_all();
    if between == Between::Nodes {
        assert_eq!(feed_hint(&mut feed).await, FeedHint::Lagged);
    }
    one.publish(&committed(4, &[(77, 1), (78, 9)], false));
    let mut changes = [feed_hint(&mut feed).await, feed_hint(&mut feed).await];
    changes.sort_by_key(|change| matches!(change, FeedHint::Changed { account: AccountId(78), .. }));
    let changed = |account, modseq| FeedHint::Changed {
        shard: ShardId(4),
        account: AccountId(account),
        modseq: ModSeq(modseq),
    };
    assert_eq!(changes, [changed(77, 1), changed(78, 9)]);
}

#[tokio::test]
async fn a_node_hears_itself_at_once_and_only_once() {
    let server = testkit::Redis::start().await.unwrap();
    let (one, other) = (node(&server, 1).await.bus(), node(&server, 2).await.bus());
    let (mut near, mut far) = (one.subscribe_all(), other.subscribe_all());
    for feed in [&mut near, &mut far] {
        assert_eq!(feed_hint(feed).await, FeedHint::Lagged);
    }
    let changed =
        |account| FeedHint::Changed { shard: ShardId(0), account: AccountId(account), modseq: ModSeq(1) };
    // Each answers what it heard from the other, so an echo would have come before the answer.
    for account in 0..20 {
        one.publish(&committed(0, &[(account, 1)], false));
        assert_eq!(near.ready(), Some(changed(account)));
        assert_eq!(feed_hint(&mut far).await, changed(account));
        other.publish(&committed(0, &[(100 + account, 1)], false));
        assert_eq!(far.ready(), Some(changed(100 + account)));
        assert_eq!(feed_hint(&mut near).await, changed(100 + account));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_hear_each_other_within_milliseconds() {
    const ACCOUNTS: i64 = 500;
    let server = testkit::Redis::start().await.unwrap();
    let (one, other) = (Arc::new(node(&server, 1).await.bus()), node(&server, 2).await.bus());
    let mut subscriptions = Vec::new();
    for account in 0..ACCOUNTS {
        subscriptions.push(subscribed(&other, account, Between::Sessions).await);
    }
    let mut last = subscribed(&other, ACCOUNTS, Between::Nodes).await;
    for subscription in &mut subscriptions {
        heard(subscription, Hint::Lagged).await;
    }
    let mut times = Vec::new();
    for modseq in 1..=300 {
        let start = Instant::now();
        one.publish(&committed(0, &[(ACCOUNTS, modseq)], false));
        heard(&mut last, Hint::ChangedTo(ModSeq(modseq))).await;
        times.push(start.elapsed());
    }
    times.sort();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let start = Instant::now();
    for modseq in 1..=100 {
        for account in 0..ACCOUNTS {
            one.publish(&committed(0, &[(account, modseq)], false));
        }
    }
    for subscription in &mut subscriptions {
        heard(subscription, Hint::ChangedTo(ModSeq(100))).await;
    }
    eprintln!("wake across nodes: p50 {p50:?}, p99 {p99:?}; 50,000 commits in {:?}", start.elapsed());
    assert!(p50 < Duration::from_millis(20), "{p50:?}");
}
