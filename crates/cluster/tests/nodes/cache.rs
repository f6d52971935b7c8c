//! What every cache must do.

use std::time::Duration;

use bytes::Bytes;
use cluster::{Cache, Cached, LocalCache, RedisOptions};
use serde::{Deserialize, Serialize};
use types::Secret;

use crate::{cache_of, node, until};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn in_memory() {
    let cache = LocalCache::new(1 << 20);
    conforms(&cache, &cache).await;
}

#[tokio::test]
async fn over_redis() {
    let server = testkit::Redis::start().await.unwrap();
    let node = node(&server, 1).await;
    let (first, second) = (cache_of(&node), cache_of(&node));
    conforms(&first, &first).await;
    conforms(&first, &second).await;
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
    one.set("short", Bytes::from_static(b"x"), Duration::from_millis(30)).await;
    until("its time is over", async || one.get("short").await.is_none()).await;
    assert_eq!(other.get("short").await, None);
    one.set("over", Bytes::from_static(b"x"), Duration::ZERO).await;
    assert_eq!(other.get("over").await, None);
    one.store("7", &Name("alice".into())).await;
    assert_eq!(other.load::<Name>("7").await, Some(Name("alice".into())));
    assert_eq!(other.load::<Name>("8").await, None);
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
