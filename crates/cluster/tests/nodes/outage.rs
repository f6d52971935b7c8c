//! Redis goes, hangs and comes back while nodes use it.

use std::time::Duration;

use bytes::Bytes;
use cluster::{Bus as _, Cache as _, FeedHint, Hint, Quota, RateLimits as _, Verdict};
use futures::FutureExt as _;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    time::Instant,
};
use types::ModSeq;

use crate::{
    bus::{Between, committed, feed_hint, heard, subscribed},
    cache_of, limits_of, node, until,
};

const HOUR: Duration = Duration::from_secs(3_600);
const QUOTA: Quota = Quota { burst: 3, count: 3, period: HOUR };
/// More than any one call may take, and far less than the outage lasts.
const A_MOMENT: Duration = Duration::from_millis(600);

/// Asks as requests do, and says how long the slowest of them took.
async fn slowest(cache: &cluster::RedisCache, limits: &cluster::RedisLimits, times: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..times {
        let start = Instant::now();
        let (_, _) = tokio::join!(cache.get("far"), limits.check("steady", QUOTA));
        cache.set("new", Bytes::from_static(b"new"), HOUR).await;
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

#[tokio::test]
async fn cache_and_limits_go_on_without_it_and_find_it_again() {
    let mut server = testkit::Redis::start().await.unwrap();
    let (one, other) = (node(&server, 1).await, node(&server, 2).await);
    let (cache, limits) = (cache_of(&one), limits_of(&one));
    cache.set("near", Bytes::from_static(b"near"), HOUR).await;
    for remaining in [2, 1, 0] {
        assert_eq!(limits.check("key", QUOTA).await, Verdict::Allowed { remaining });
    }

    server.stop().await.unwrap();
    assert!(slowest(&cache, &limits, 1).await < A_MOMENT);
    assert!(!one.is_there());
    assert!(slowest(&cache, &limits, 200).await < Duration::from_millis(100), "nobody waits for it any more");
    assert_eq!(cache.get("near").await, Some(Bytes::from_static(b"near")));
    // Neither everything nor nothing: what this node allows alone.
    let allowed = async |key: String| {
        let mut allowed = 0;
        while limits.check(&key, QUOTA).await.is_allowed() {
            allowed += 1;
        }
        allowed
    };
    assert_eq!(allowed("key".into()).await, 3);

    server.again().await.unwrap();
    until("it is found again", async || one.is_there()).await;
    until("it is found by who did not miss it, too", async || {
        cache_of(&other).get("far").await;
        other.is_there()
    })
    .await;
    cache.set("shared", Bytes::from_static(b"again"), HOUR).await;
    assert_eq!(cache_of(&other).get("shared").await, Some(Bytes::from_static(b"again")));
    let theirs = limits_of(&other);
    assert!(theirs.check("together", QUOTA).await.is_allowed());
    assert_eq!(allowed("together".into()).await, 2, "counted together again");
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_moment_once() {
    let mut server = testkit::Redis::with(&["--enable-debug-command", "local"]).await.unwrap();
    let node = node(&server, 1).await;
    let (cache, limits) = (cache_of(&node), limits_of(&node));
    cache.get("far").await;
    let mut debugger = TcpStream::connect(server.address()).await.unwrap();
    debugger.write_all(b"DEBUG SLEEP 3\r\n").await.unwrap();
    until("it hangs", async || {
        cache.get("far").await;
        !node.is_there()
    })
    .await;
    assert!(slowest(&cache, &limits, 100).await < Duration::from_millis(100));
    until("it is found again", async || node.is_there()).await;
    assert!(slowest(&cache, &limits, 10).await < A_MOMENT);

    // Something that takes connections and never says a word.
    server.stop().await.unwrap();
    let silent = TcpListener::bind(server.address()).await.unwrap();
    assert!(slowest(&cache, &limits, 1).await < A_MOMENT);
    let (_connection, _) = silent.accept().await.unwrap();
    assert!(slowest(&cache, &limits, 100).await < Duration::from_millis(100));
}

#[tokio::test]
async fn the_bus_says_what_was_lost() {
    let mut server = testkit::Redis::start().await.unwrap();
    let (one, other) = (node(&server, 1).await.bus(), node(&server, 2).await.bus());
    let mut far = subscribed(&other, 1, Between::Nodes).await;
    let mut near = subscribed(&one, 1, Between::Nodes).await;
    let mut feed = other.subscribe_all();
    assert_eq!(feed_hint(&mut feed).await, FeedHint::Lagged);

    server.stop().await.unwrap();
    for modseq in 1..=100 {
        one.publish(&committed(0, &[(1, modseq)], true));
        assert_eq!(near.next().now_or_never(), Some(Hint::ChangedTo(ModSeq(modseq))), "at home it is heard");
    }
    assert_eq!(far.next().now_or_never(), None);

    server.again().await.unwrap();
    heard(&mut far, Hint::Lagged).await;
    while feed_hint(&mut feed).await != FeedHint::Lagged {}
    one.publish(&committed(0, &[(1, 101)], true));
    heard(&mut far, Hint::ChangedTo(ModSeq(101))).await;
}
