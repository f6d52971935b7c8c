//! What every cache must do.

use std::time::Duration;

use bytes::Bytes;
use cluster::{Cache, Cached, LocalCache, RedisOptions};
use serde::{Deserialize, Serialize};
use types::Secret;

use crate::{cache_of, node, until};

const HOUR: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(30);

#[tokio::test]
async fn in_memory() {
    let cache = LocalCache::new(1 << 20);
    conforms(&cache, &cache).await;
    passes_conform(&cache, &cache).await;
}

#[tokio::test]
async fn over_redis() {
    let server = testkit::Redis::start().await.unwrap();
    let node = node(&server, 1).await;
    let (first, second) = (cache_of(&node), cache_of(&node));
    conforms(&first, &first).await;
    conforms(&first, &second).await;
    passes_conform(&first, &second).await;
}

#[tokio::test]
async fn without_redis_each_node_goes_by_what_it_knows() {
    let mut server = testkit::Redis::start().await.unwrap();
    let (one, other) = (node(&server, 1).await, node(&server, 2).await);
    let (here, there) = (cache_of(&one), cache_of(&other));
    let good = Bytes::from_static(b"good");
    for key in ["kept", "ended before", "ended meanwhile"] {
        here.issue(key, good.clone(), HOUR).await;
    }
    there.revoke("ended before", HOUR).await;
    here.issue("ended before", good.clone(), HOUR).await;
    assert_eq!(here.pass("ended before").await, None);

    server.stop().await.unwrap();
    until("both have noticed", async || {
        (here.pass("x").await, there.pass("x").await) == (None, None) && !one.is_there() && !other.is_there()
    })
    .await;
    assert_eq!(here.pass("kept").await, Some(good.clone()));
    assert_eq!(there.pass("kept").await, None, "it never asked for it");
    here.revoke("ended meanwhile", HOUR).await;
    there.issue("ended meanwhile", good.clone(), HOUR).await;
    assert_eq!(here.pass("ended meanwhile").await, None);
    assert_eq!(there.pass("ended meanwhile").await, Some(good.clone()), "until its time is over");

    server.again().await.unwrap();
    until("both have found it", async || one.is_there() && other.is_there()).await;
    assert_eq!(there.pass("ended meanwhile").await, None, "Redis does not know it");
    there.issue("ended meanwhile", good.clone(), HOUR).await;
    assert_eq!(here.pass("ended meanwhile").await, None, "where it ended, it stays so");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Name(String);

impl Cached for Name {
    type Key = str;
    const PREFIX: &'static str = "name";
    const TTL: Duration = HOUR;
}

/// What one node keeps, another (or the same) finds, while its time lasts.
async fn conforms(one: &dyn Cache, other: &dyn Cache) {
    assert_eq!(other.get("nothing").await, None);
    for (key, value) in [
        ("text", Bytes::from_static(b"value")),
        ("empty", Bytes::new()),
        ("binary \r\n\0 \u{ac00}", Bytes::from_static(&[0, 255, 13, 10, 0])),
        ("large", vec![7; 200_000].into()),
    ] {
        one.set(key, value.clone(), HOUR).await;
        assert_eq!(other.get(key).await, Some(value), "{key}");
    }
    one.set("short", Bytes::from_static(b"x"), SHORT).await;
    until("its time is over", async || one.get("short").await.is_none()).await;
    assert_eq!(other.get("short").await, None);
    one.set("over", Bytes::from_static(b"x"), Duration::ZERO).await;
    assert_eq!(other.get("over").await, None);
    one.store("7", &Name("alice".into())).await;
    assert_eq!(other.load::<Name>("7").await, Some(Name("alice".into())));
    assert_eq!(other.load::<Name>("8").await, None);
}

/// What one node revokes, another (or the same) does not let through.
async fn passes_conform(one: &dyn Cache, other: &dyn Cache) {
    let good = Bytes::from_static(b"good");
    assert_eq!(one.pass("alice").await, None);
    one.issue("alice", good.clone(), HOUR).await;
    assert_eq!(one.pass("alice").await, Some(good.clone()));
    assert_eq!(other.pass("alice").await, Some(good.clone()));
    assert_eq!((other.pass("bob").await, other.get("alice").await), (None, None));
    other.issue("alice", Bytes::from_static(b"late"), HOUR).await;
    assert_eq!(one.pass("alice").await, Some(good.clone()), "the first one counts");

    one.revoke("alice", HOUR).await;
    for node in [one, other] {
        assert_eq!(node.pass("alice").await, None);
        node.issue("alice", good.clone(), HOUR).await;
        assert_eq!((one.pass("alice").await, other.pass("alice").await), (None, None), "what was true once");
    }
    for node in [one, other] {
        node.revoke("alice", SHORT).await;
    }
    until("it may be issued again", async || {
        one.issue("alice", good.clone(), HOUR).await;
        other.pass("alice").await == Some(good.clone())
    })
    .await;

    one.issue("empty", Bytes::new(), HOUR).await;
    assert_eq!(other.pass("empty").await, Some(Bytes::new()));
    one.issue("short", good.clone(), SHORT).await;
    until("its time is over", async || {
        one.pass("short").await.is_none() && other.pass("short").await.is_none()
    })
    .await;
    one.issue_pass("7", &Name("alice".into())).await;
    assert_eq!(other.load_pass::<Name>("7").await, Some(Name("alice".into())));
    other.revoke_pass::<Name>("7").await;
    assert_eq!(one.load_pass::<Name>("7").await, None);
}

#[tokio::test]
async fn services_that_share_a_redis_do_not_meet_and_huge_values_stay_home() {
    let server = testkit::Redis::start().await.unwrap();
    let ours = cache_of(&node(&server, 1).await);
    let options = RedisOptions { prefix: "other".into(), node: 2 };
    let other = cluster::Redis::connect(&Secret::new(server.url()), options).await.unwrap();
    ours.set("key", Bytes::from_static(b"ours"), HOUR).await;
    assert_eq!(cache_of(&other).get("key").await, None);
    ours.set("huge", vec![0; 300_000].into(), HOUR).await;
    assert!(ours.get("huge").await.is_some());
    assert_eq!(cache_of(&node(&server, 3).await).get("huge").await, None);
}
