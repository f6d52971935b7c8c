//! Fences: who is kept away, and who is not.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use types::{
    AccountId, BlobId, BodyId, Bucket, Flags, MailboxId, MessageId, ModSeq, QueueId, Role, UploadId,
};

use super::kit::{Kit, NOW, body, random};
use crate::{
    Error, Fence, FlagChange, Lease, NewMessage, NewQueueEntry, Origin, QueueBody, Result, Shards,
    Transaction, Upload,
    replica::{Cursor, Record, digest},
};

const MOVER: &str = "the mover";

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    writers_are_kept_away(shards).await;
    new_accounts_are_kept_away(shards).await;
    only_the_mover_closes_a_fence(shards).await;
    copies_go_on(shards).await;
    a_bucket_is_not_received_where_it_lives(shards).await;
    accounts_are_cleared_little_by_little(shards).await;
    what_a_broken_off_copy_left_is_not_due(shards).await;
    buckets_tell_what_they_hold(shards).await;
}

fn bucket(kit: &Kit) -> Bucket {
    Bucket::of(kit.account)
}

async fn put_up(kit: &Kit) {
    let bucket = bucket(kit);
    let put = kit.write(move |tx| Box::pin(async move { tx.fence(bucket, MOVER).await }));
    assert!(put.await.unwrap());
}

async fn lift(kit: &Kit) {
    lift_as(kit, MOVER).await;
}

async fn lift_as(kit: &Kit, mover: &'static str) -> bool {
    let bucket = bucket(kit);
    kit.unnamed(move |tx| Box::pin(async move { tx.lift_fence(bucket, mover).await })).await.unwrap()
}

/// Something that a unit may want to do.
type Work = Box<dyn for<'a> Fn(&'a mut dyn Transaction) -> BoxFuture<'a, Result<()>> + Send + Sync>;

/// Work of one expression over `tx`.
macro_rules! work {
    ($tx:ident => $call:expr) => {
        Box::new(move |$tx: &mut dyn Transaction| Box::pin(async move { $call.await.map(|_| ()) }))
    };
}

fn with_mail(
    account: AccountId,
    id: MessageId,
    inbox: MailboxId,
    message: NewMessage,
) -> Vec<(&'static str, Work)> {
    let append: Work = Box::new(move |tx| {
        let message = message.clone();
        Box::pin(async move { tx.append(message).await.map(|_| ()) })
    });
    let flags: Work = Box::new(move |tx| {
        let seen = FlagChange { add: Flags::SEEN, ..FlagChange::default() };
        Box::pin(async move { tx.change_flags(account, &[id], &seen).await.map(|_| ()) })
    });
    vec![
        ("append", append),
        ("flags", flags),
        ("move", work!(tx => tx.move_messages(account, &[id], inbox, NOW))),
        ("renumber", work!(tx => tx.renumber_messages(account, &[id], NOW))),
        ("expunge", work!(tx => tx.expunge(account, &[id]))),
        ("delivery", work!(tx => tx.set_delivery(account, id, &[]))),
        ("rename", work!(tx => tx.rename_mailbox(account, inbox, "x"))),
        ("provision", work!(tx => tx.provision(account, NOW))),
        ("purge", work!(tx => tx.purge(account))),
    ]
}

fn with_queue(entry: NewQueueEntry, upload: Upload) -> Vec<(&'static str, Work)> {
    let (account, id, upload_id) = (entry.account, entry.id, upload.id);
    let enqueue: Work = Box::new(move |tx| {
        let entry = NewQueueEntry { id: QueueId::at(NOW, random()), ..entry.clone() };
        Box::pin(async move { tx.enqueue(entry).await })
    });
    let add: Work = Box::new(move |tx| {
        let upload = Upload { id: UploadId::at(NOW, random()), ..upload.clone() };
        Box::pin(async move { tx.add_upload(upload).await })
    });
    vec![
        ("enqueue", enqueue),
        ("settle", work!(tx => tx.settle(account, id, "w", &[], None))),
        ("renew", work!(tx => tx.renew(account, id, "w", NOW))),
        ("hold", work!(tx => tx.hold(account, id, true))),
        ("retry", work!(tx => tx.retry_now(account, id, NOW))),
        ("drop", work!(tx => tx.drop_entry(account, id))),
        ("upload", add),
        ("discard", work!(tx => tx.remove_upload(account, upload_id))),
    ]
}

fn entry(kit: &Kit) -> NewQueueEntry {
    NewQueueEntry {
        account: kit.account,
        id: QueueId::at(NOW, random()),
        message: None,
        body: QueueBody::Own(body("queued").pack(BodyId::at(NOW, random())).unwrap()),
        return_path: None,
        recipients: vec!["to@x.test".parse::<types::EmailAddress>().unwrap().into()],
        terms: types::Terms::default(),
        origin: Origin::Submission,
        created_at: NOW,
        not_before: NOW.minus(Duration::from_secs(10)),
        expires_at: NOW,
    }
}

fn upload(kit: &Kit) -> Upload {
    Upload {
        account: kit.account,
        id: UploadId::at(NOW, random()),
        filename: "a".to_owned(),
        content_type: "text/plain".to_owned(),
        size_bytes: 1,
        blob: BlobId([3; 32]),
        created_at: NOW.minus(Duration::from_secs(1_000_000)),
    }
}

async fn writers_are_kept_away(shards: &Arc<dyn Shards>) {
    let (kit, neighbour) = (Kit::new(shards).await, Kit::new(shards).await);
    let account = kit.account;
    let id = kit.add(1).await;
    let inbox = kit.mailbox(Role::Inbox).await.id;
    let (entry, upload) = (entry(&kit), upload(&kit));
    let (first, second) = (entry.clone(), upload.clone());
    kit.write(move |tx| {
        let (entry, upload) = (first.clone(), second.clone());
        Box::pin(async move {
            tx.enqueue(entry).await?;
            tx.add_upload(upload).await
        })
    })
    .await
    .unwrap();
    put_up(&kit).await;
    let before = digest(&mut *kit.read().await, account, ModSeq(0)).await.unwrap();
    let works = with_mail(account, id, inbox, kit.message(2)).into_iter().chain(with_queue(entry, upload));
    for (name, work) in works {
        let done = kit.write(work).await;
        assert!(matches!(done, Err(Error::Moving)), "{name}: {done:?}");
    }
    let shard = kit.shard;
    let leased = kit.unnamed(move |tx| {
        Box::pin(async move {
            let until = NOW.plus(Duration::from_secs(9));
            let lease = Lease { shard, worker: "w".to_owned(), now: NOW, until, limit: 999 };
            let leased = tx.lease(&lease).await?;
            tx.end_leases().await?;
            tx.expire_uploads(NOW.minus(Duration::from_secs(999_999))).await?;
            tx.set_indexed(account, ModSeq(1)).await?;
            Ok(leased)
        })
    });
    assert!(leased.await.unwrap().iter().all(|entry| entry.account != account), "its queue rests");
    assert!(!kit.read().await.unindexed(None, 10_000).await.unwrap().contains(&account));
    let after = digest(&mut *kit.read().await, account, ModSeq(0)).await.unwrap();
    assert_eq!(after, before, "nothing has changed, and everything can be read");
    neighbour.add(3).await;
    lift(&kit).await;
    kit.add(4).await;
}

async fn new_accounts_are_kept_away(shards: &Arc<dyn Shards>) {
    let kit = Kit::unused(shards);
    let account = kit.account;
    let bucket = bucket(&kit);
    kit.unnamed(move |tx| Box::pin(async move { tx.fence(bucket, MOVER).await })).await.unwrap();
    let made = kit.write(move |tx| Box::pin(async move { tx.provision(account, NOW).await })).await;
    assert!(matches!(made, Err(Error::Moving)), "{made:?}");
    assert_eq!(kit.read().await.account(account).await.unwrap(), None);
    lift(&kit).await;
    kit.write(move |tx| Box::pin(async move { tx.provision(account, NOW).await })).await.unwrap();
    let here = kit.read().await.bucket(bucket).await.unwrap();
    // Another test's account may be in the same bucket.
    assert!(here.iter().any(|state| state.id == account));
}

async fn only_the_mover_closes_a_fence(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let bucket = bucket(&kit);
    put_up(&kit).await;
    let close = async |mover: &'static str| {
        kit.unnamed(move |tx| Box::pin(async move { tx.close_fence(bucket, mover).await })).await.unwrap()
    };
    assert!(!close("another").await);
    assert!(close(MOVER).await);
    let expected = Fence { mover: MOVER.to_owned(), closed: true };
    assert_eq!(kit.read().await.fenced(bucket).await.unwrap(), Some(expected.clone()));
    assert!(kit.read().await.open_fences().await.unwrap().iter().all(|(open, _)| *open != bucket));
    lift(&kit).await;
    let again = kit.unnamed(move |tx| Box::pin(async move { tx.fence(bucket, "another").await }));
    assert!(!again.await.unwrap());
    assert_eq!(kit.read().await.fenced(bucket).await.unwrap(), Some(expected), "a closed fence stays");
    kit.unnamed(move |tx| Box::pin(async move { tx.receive(bucket, "another").await })).await.unwrap();
    assert!(kit.read().await.open_fences().await.unwrap().contains(&(bucket, "another".to_owned())));
    assert!(!lift_as(&kit, MOVER).await, "it is another's");
    assert!(kit.read().await.fenced(bucket).await.unwrap().is_some_and(|fence| fence.mover == "another"));
    assert!(lift_as(&kit, "another").await);
    assert!(!lift_as(&kit, "another").await, "it is gone");
    kit.add(1).await;
}

async fn copies_go_on(shards: &Arc<dyn Shards>) {
    let (kit, target) = (Kit::new(shards).await, Kit::unused(shards));
    kit.add(1).await;
    let (account, bucket) = (target.account, bucket(&target));
    target.unnamed(move |tx| Box::pin(async move { tx.receive(bucket, MOVER).await })).await.unwrap();
    let page = kit.read().await.export(kit.account, Cursor::after(ModSeq(0))).await.unwrap();
    target
        .unnamed(move |tx| {
            let records = page.records.clone();
            Box::pin(async move { tx.import(account, &records).await })
        })
        .await
        .unwrap();
    let message = target.message(2);
    let added = target.write(move |tx| {
        let message = message.clone();
        Box::pin(async move { tx.append(message).await })
    });
    assert!(matches!(added.await, Err(Error::Moving)));
    lift(&target).await;
    target.add(3).await;
    target.check_counts().await;
}

async fn a_bucket_is_not_received_where_it_lives(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let bucket = bucket(&kit);
    let receive = async || {
        kit.unnamed(move |tx| Box::pin(async move { tx.receive(bucket, MOVER).await })).await.unwrap()
    };
    assert!(!receive().await, "it lives here");
    assert_eq!(kit.read().await.fenced(bucket).await.unwrap(), None);
    kit.add(1).await;
    put_up(&kit).await;
    assert!(receive().await, "it is fenced here");
    lift(&kit).await;
}

async fn accounts_are_cleared_little_by_little(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    for number in 0..20 {
        kit.add(number).await;
    }
    let account = kit.account;
    let mut steps = 0;
    while kit.unnamed(move |tx| Box::pin(async move { tx.clear_some(account, 5).await })).await.unwrap() {
        steps += 1;
    }
    assert!(steps >= 8, "{steps}");
    let mut snapshot = kit.read().await;
    assert_eq!(snapshot.account(account).await.unwrap(), None);
    assert_eq!(snapshot.counts(account).await.unwrap(), crate::replica::Counts::default());
}

async fn what_a_broken_off_copy_left_is_not_due(shards: &Arc<dyn Shards>) {
    let (kit, target) = (Kit::new(shards).await, Kit::unused(shards));
    let long_ago = NOW.minus(Duration::from_secs(100_000_000));
    let entry = NewQueueEntry { not_before: long_ago, ..entry(&kit) };
    kit.write(move |tx| {
        let entry = entry.clone();
        Box::pin(async move { tx.enqueue(entry).await })
    })
    .await
    .unwrap();
    let due = kit.read().await.next_due().await.unwrap();
    assert_eq!(due, Some(long_ago), "where the account is");
    let mut page = kit.read().await.export(kit.account, Cursor::after(ModSeq(0))).await.unwrap();
    page.records.retain(|record| !matches!(record, Record::Account(_)));
    drop_queue(&kit).await;
    let (account, shard) = (target.account, target.shard);
    let records = page.records;
    let imported = target.unnamed(move |tx| {
        let records = records.clone();
        Box::pin(async move { tx.import(account, &records).await })
    });
    imported.await.unwrap();
    let bucket = bucket(&target);
    assert!(!target.read().await.bucket(bucket).await.unwrap().iter().any(|state| state.id == account));
    assert!(target.read().await.placed(bucket).await.unwrap().contains(&account), "but it is found");
    assert_ne!(target.read().await.next_due().await.unwrap(), Some(long_ago), "nobody is set up");
    let leased = target.unnamed(move |tx| {
        Box::pin(async move {
            let lease = Lease { shard, worker: "w".to_owned(), now: long_ago, until: NOW, limit: 9 };
            tx.lease(&lease).await
        })
    });
    assert_eq!(leased.await.unwrap(), []);
}

async fn drop_queue(kit: &Kit) {
    let account = kit.account;
    kit.write(move |tx| Box::pin(async move { tx.purge(account).await })).await.unwrap();
}

async fn buckets_tell_what_they_hold(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let (account, bucket) = (kit.account, bucket(&kit));
    let sum = async || {
        let loose = kit.read().await.loose(bucket).await.unwrap();
        loose.into_iter().find(|(owner, _)| *owner == account).map(|(_, sum)| sum)
    };
    assert!(kit.read().await.populated(Bucket(0), Bucket(16_383)).await.unwrap().contains(&bucket));
    assert_eq!(kit.read().await.populated(bucket, bucket).await.unwrap(), [bucket]);
    kit.add(1).await;
    assert_eq!(sum().await, None, "messages have modseqs");
    let (entry, upload) = (entry(&kit), upload(&kit));
    let (id, upload_id) = (entry.id, upload.id);
    kit.write(move |tx| {
        let upload = upload.clone();
        Box::pin(async move { tx.add_upload(upload).await })
    })
    .await
    .unwrap();
    let with_upload = sum().await;
    kit.write(move |tx| {
        let entry = entry.clone();
        Box::pin(async move { tx.enqueue(entry).await })
    })
    .await
    .unwrap();
    let with_both = sum().await;
    let retry = NOW.plus(Duration::from_secs(77));
    kit.write(move |tx| Box::pin(async move { tx.retry_now(account, id, retry).await })).await.unwrap();
    let retried = sum().await;
    kit.write(move |tx| Box::pin(async move { tx.remove_upload(account, upload_id).await })).await.unwrap();
    let without_upload = sum().await;
    let all = [None, with_upload, with_both, retried, without_upload];
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{all:?}");
    }
}
