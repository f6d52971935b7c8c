//! What all rate limits must do.

use std::time::Duration;

use cluster::{LocalLimits, Quota, RateLimits, Verdict};
use futures::future::join_all;
use tokio::time::sleep;

use crate::{limits_of, local_limits, node};

#[tokio::test]
async fn in_memory() {
    let limits: LocalLimits = local_limits();
    conforms(&limits, &limits).await;
}

#[tokio::test]
async fn over_redis() {
    let server = testkit::Redis::start().await.unwrap();
    let (first, second) = (node(&server, 1).await, node(&server, 2).await);
    conforms(&limits_of(&first), &limits_of(&second)).await;
}

const DAY: Duration = Duration::from_secs(86_400);

/// Both count together, whether they are two nodes or one.
async fn conforms(one: &dyn RateLimits, other: &dyn RateLimits) {
    let quota = Quota { burst: 4, count: 4, period: DAY };
    for (limits, remaining) in [(one, 3), (other, 2), (one, 1), (other, 0)] {
        assert_eq!(limits.check("login:1", quota).await, Verdict::Allowed { remaining });
    }
    for limits in [one, other] {
        let Verdict::Limited { retry_after } = limits.check("login:1", quota).await else {
            panic!("allowed")
        };
        assert!(retry_after <= DAY / 4 && retry_after > DAY / 5, "{retry_after:?}");
    }
    assert_eq!(one.check("login:2", quota).await, Verdict::Allowed { remaining: 3 });

    let at_once = join_all((0..50).map(|n| if n % 2 == 0 { one } else { other }.check("crowd", quota))).await;
    assert_eq!(at_once.iter().filter(|verdict| verdict.is_allowed()).count(), 4);

    let quick = Quota { burst: 1, count: 10, period: Duration::from_secs(2) };
    assert!(one.check("quick", quick).await.is_allowed());
    while let Verdict::Limited { retry_after } = other.check("quick", quick).await {
        assert!(retry_after <= Duration::from_millis(200), "{retry_after:?}");
        sleep(retry_after).await;
    }

    for (number, quota) in [
        Quota { burst: u32::MAX, count: u32::MAX, period: Duration::MAX },
        Quota { burst: u32::MAX, count: 1, period: Duration::MAX },
        Quota { burst: 0, count: 0, period: Duration::ZERO },
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("odd:{number}");
        assert!(one.check(&key, quota).await.is_allowed(), "{quota:?}");
        other.check(&key, quota).await;
    }
}
