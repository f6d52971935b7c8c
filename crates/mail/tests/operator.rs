//! What operators are told of the queue while a shard is not as it should be.

#![cfg(test)]

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use async_trait::async_trait;
use mail::{Error, Notice, QueueQuery};
use storage::Shards;
use testkit::{Call, House, Meddled, Meddler, house::PASSWORD};
use types::{EmailAddress, Secret, ShardId, Terms};

/// Shards of which the first one may be read, or is away, or broken.
struct Ailing {
    inner: Arc<dyn Shards>,
    state: Arc<AtomicU8>,
}

const AWAY: u8 = 1;
const BROKEN: u8 = 2;

#[async_trait]
impl Meddler for Ailing {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        match (call, shard, self.state.load(Ordering::SeqCst)) {
            (Call::Snapshot, ShardId(0), AWAY) => Err(storage::Error::Unavailable("no answer".into())),
            (Call::Snapshot, ShardId(0), BROKEN) => Err(storage::Error::Backend("no such table".into())),
            _ => Ok(shard),
        }
    }
}

#[tokio::test]
async fn a_shard_that_is_away_is_told_on_every_page_and_one_that_is_broken_is_an_error() {
    let state = Arc::new(AtomicU8::new(0));
    let house =
        House::open_on(|inner| Arc::new(Meddled(Ailing { inner, state: Arc::clone(&state) }))).await.unwrap();
    let admin = house.mail.admin();
    // Somebody whose queue is on the second shard.
    let mut from = None;
    for n in 0..50 {
        let domain = format!("d{n}.test");
        let address: EmailAddress = format!("postmaster@{domain}").parse().unwrap();
        admin.add_domain(&domain).await.unwrap();
        admin.add_account(&address, "", Secret::new(PASSWORD.into()), None).await.unwrap();
        if house.mail.shards().shard_of(admin.open(&address).await.unwrap().id()) == ShardId(1) {
            from = Some(address);
            break;
        }
    }
    let notice = || Notice {
        to: vec!["carol@far.test".parse().unwrap()],
        terms: Terms::default(),
        raw: b"Subject: x\r\n\r\n"[..].into(),
    };
    let notices = vec![notice(), notice(), notice()];
    assert!(house.mail.send_notices(&from.unwrap(), notices).await.unwrap());
    admin.set_admin(&"alice@demo.test".parse().unwrap(), true).await.unwrap();
    let operator = house.access("alice@demo.test").await.unwrap().operator().await.unwrap();

    let pages = async |away: &[u16]| {
        let (mut listed, mut cursor) = (0, None);
        loop {
            let query = QueueQuery { cursor, limit: Some(1), ..QueueQuery::default() };
            let page = operator.queue(&query).await.unwrap();
            assert_eq!(page.away, away);
            listed += page.entries.len();
            match page.next {
                Some(next) => cursor = Some(next),
                None => return listed,
            }
        }
    };
    assert_eq!(pages(&[]).await, 3);
    state.store(AWAY, Ordering::SeqCst);
    assert_eq!(pages(&[0]).await, 3);
    let (entries, absent) = admin.queue_there(10).await.unwrap();
    assert_eq!((entries.len(), absent.len()), (3, 1));
    state.store(BROKEN, Ordering::SeqCst);
    let is_broken = |error: &Error| matches!(error, Error::Storage(storage::Error::Backend(_)));
    assert!(operator.queue(&QueueQuery::default()).await.is_err_and(|error| is_broken(&error)));
    assert!(admin.queue_there(10).await.is_err_and(|error| is_broken(&error)));
    assert!(admin.queue_entry(types::QueueId(uuid::Uuid::nil())).await.is_err_and(|error| is_broken(&error)));
}
