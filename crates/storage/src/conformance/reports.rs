//! What [`Reports`](crate::Reports) promises.

use std::time::Duration;

use types::Timestamp;

use crate::{Counted, Directory, ReportKind};

pub(super) async fn run(directory: &dyn Directory, now: Timestamp) {
    counts_add_up(directory).await;
    a_turn_is_ones_until_it_ends(directory, now).await;
}

fn counted(kind: ReportKind, day: i32, domain: &str, detail: &str, count: u64) -> Counted {
    let mut digest = [0; 16];
    digest.iter_mut().zip(detail.bytes()).for_each(|(to, from)| *to = from);
    Counted { kind, day, domain: domain.to_owned(), detail: detail.to_owned(), digest, count }
}

async fn counts_add_up(directory: &dyn Directory) {
    use ReportKind::{Dmarc, Tls};
    let first = [
        counted(Dmarc, 7, "a.test", "one", 1),
        counted(Dmarc, 7, "a.test", "two", 2),
        counted(Dmarc, 8, "b.test", "one", 3),
        counted(Tls, 7, "a.test", "one", 4),
    ];
    assert_eq!(directory.add_counts(&first, 100).await.unwrap(), 0);
    assert_eq!(directory.add_counts(&[counted(Dmarc, 7, "a.test", "one", 9)], 100).await.unwrap(), 0);
    let of = async |kind, day, domain: &str| directory.counts(kind, day, domain, 10).await.unwrap();
    let rows =
        |rows: &[(&str, u64)]| rows.iter().map(|(detail, n)| ((*detail).to_owned(), *n)).collect::<Vec<_>>();
    assert_eq!(of(Dmarc, 7, "a.test").await, rows(&[("one", 10), ("two", 2)]));
    assert_eq!(directory.counts(Dmarc, 7, "a.test", 1).await.unwrap(), rows(&[("one", 10)]));
    assert_eq!(of(Tls, 7, "a.test").await, rows(&[("one", 4)]));
    let days =
        |days: &[(i32, &str)]| days.iter().map(|(day, name)| (*day, (*name).to_owned())).collect::<Vec<_>>();
    assert_eq!(directory.counted_before(Dmarc, 9).await.unwrap(), days(&[(7, "a.test"), (8, "b.test")]));
    assert_eq!(directory.counted_before(Dmarc, 8).await.unwrap(), days(&[(7, "a.test")]));

    // 18 bytes of this kind and day are there already.
    let more = [counted(Dmarc, 7, "c.test", "x", 1), counted(Dmarc, 8, "c.test", "x", 1)];
    assert_eq!(directory.add_counts(&more, 18).await.unwrap(), 1);
    assert_eq!(of(Dmarc, 7, "c.test").await, []);
    assert_eq!(of(Dmarc, 8, "c.test").await, rows(&[("x", 1)]));

    directory.forget_counts(Dmarc, 7, "a.test").await.unwrap();
    assert_eq!(of(Dmarc, 7, "a.test").await, []);
    assert_eq!(of(Tls, 7, "a.test").await, rows(&[("one", 4)]));
}

async fn a_turn_is_ones_until_it_ends(directory: &dyn Directory, now: Timestamp) {
    let at = |seconds| now.plus(Duration::from_secs(seconds));
    let take = async |holder: &str, from, until| {
        directory.take_turn("reports", holder, at(from), at(until)).await.unwrap()
    };
    assert!(take("one", 0, 10).await);
    assert!(!take("two", 5, 15).await);
    assert!(take("one", 6, 20).await, "it is kept");
    assert!(!take("two", 12, 30).await);
    assert!(take("two", 20, 30).await, "it has ended");
    assert!(!take("one", 21, 40).await);
}
