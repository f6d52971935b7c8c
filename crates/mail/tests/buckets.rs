//! Buckets of many accounts, many buckets at once, and nodes that have not heard of a move.

#![cfg(test)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cluster::LocalCache;
use futures::TryStreamExt as _;
use mail::{Access, Incoming, PageQuery, Service, Step};
use storage::Shards;
use testkit::{Call, House, Meddled, Meddler, PostgresCluster, fixtures};
use tokio::{runtime::Handle, task::block_in_place, time::Instant};
use tokio_util::task::TaskTracker;
use types::{AccountId, Bucket, ModSeq, Role, ShardId, Terms, api};

const ALICE: &str = "alice@demo.test";

fn other(shard: ShardId) -> ShardId {
    ShardId(1 - shard.0)
}

/// So many accounts of a bucket.
fn accounts(bucket: Bucket, count: usize) -> Vec<AccountId> {
    (1_000..).map(AccountId).filter(|account| Bucket::of(*account) == bucket).take(count).collect()
}

async fn deliver(node: &Service, accounts: &[AccountId], subject: &str) {
    let to: types::EmailAddress = "many@demo.test".parse().unwrap();
    let incoming = Incoming {
        id: node.new_id(),
        return_path: None,
        recipients: accounts.iter().map(|account| (to.clone(), *account).into()).collect(),
        terms: Terms::default(),
        raw: fixtures::mail("x@y.test", "many@demo.test", subject, "Hello there").into(),
    };
    node.deliver(incoming).await.unwrap();
}

async fn fill(node: &Service, accounts: &[AccountId]) {
    for some in accounts.chunks(100) {
        deliver(node, some, "first").await;
        deliver(node, some, "second").await;
    }
}

/// Counts what is asked of the shards.
struct Counted {
    inner: Arc<dyn Shards>,
    calls: Arc<AtomicU64>,
}

#[async_trait]
impl Meddler for Counted {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, _: Call, shard: ShardId) -> storage::Result<ShardId> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(shard)
    }
}

#[tokio::test]
async fn what_is_done_behind_the_fence_does_not_grow_with_the_bucket() {
    let calls = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&calls);
    let house = House::open_on(|inner| Arc::new(Meddled(Counted { inner, calls: count }))).await.unwrap();
    let bucket = Bucket(77);
    let accounts = accounts(bucket, 150);
    fill(&house.mail, &accounts).await;
    let from = house.mail.shards().shard_of(accounts[0]);
    let (mut before, mut behind) = (0, 0);
    let mut watch = |step| match step {
        Step::Fenced(_) => before = calls.load(Ordering::SeqCst),
        Step::Closed(_) => behind = calls.load(Ordering::SeqCst) - before,
        _ => {}
    };
    let moved = house.mail.admin().move_buckets(&[bucket], other(from), &mut watch).await.unwrap();
    assert_eq!((moved.buckets, moved.accounts), (1, 150));
    assert!((1..10).contains(&behind), "{behind}");
    let mut shard = house.mail.shards().latest(other(from)).await.unwrap();
    for account in accounts {
        assert_eq!(shard.account(account).await.unwrap().unwrap().messages, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_bucket_moves_while_its_users_are_busy() {
    let cluster = PostgresCluster::start().await.unwrap();
    let house = House::open_on_postgres(&cluster).await.unwrap();
    let count = std::env::var("MAGPIE_TEST_ACCOUNTS").map_or(200, |count| count.parse().unwrap());
    busy(Arc::new(house), count).await;
}

/// Accounts that get mail all the time.
const BUSY: usize = 5;

/// Some of the accounts get mail all the time.
async fn busy(house: Arc<House>, count: usize) {
    let bucket = Bucket(77);
    let accounts = accounts(bucket, count);
    fill(&house.mail, &accounts).await;
    let (stop, slowest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = TaskTracker::new().spawn({
        let (node, accounts) = (house.mail.clone(), accounts.clone());
        let (stop, slowest) = (Arc::clone(&stop), Arc::clone(&slowest));
        async move {
            let mut written = 0_u64;
            for account in accounts.iter().take(BUSY).cycle() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let started = Instant::now();
                deliver(&node, &[*account], "busy").await;
                slowest.fetch_max(u64::try_from(started.elapsed().as_millis()).unwrap(), Ordering::SeqCst);
                written += 1;
            }
            written
        }
    });
    let from = house.mail.shards().shard_of(accounts[0]);
    let started = Instant::now();
    let mut steps = Vec::new();
    let mut watch = |step| steps.push((step, started.elapsed()));
    let moved = house.mail.admin().move_buckets(&[bucket], other(from), &mut watch).await.unwrap();
    let took = started.elapsed();
    let fenced = steps.iter().rposition(|(step, _)| matches!(step, Step::Fenced(_))).unwrap();
    println!("{:?}", &steps[fenced - 1..]);
    stop.store(true, Ordering::SeqCst);
    let written = writing.await.unwrap();
    println!(
        "{count} accounts in {took:?}, {written} mails meanwhile; writers waited {:?}, the slowest mail took {slowest:?} ms",
        moved.longest_pause
    );
    let mut shard = house.mail.shards().latest(other(from)).await.unwrap();
    let mut messages = 0;
    for account in &accounts {
        messages += shard.account(*account).await.unwrap().unwrap().messages;
    }
    assert_eq!(messages, 2 * accounts.len() as u64 + written);
}

#[tokio::test]
async fn empty_buckets_move_together() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house.mail, &[alice.id()], "hello").await;
    let from = house.mail.shards().shard_of(alice.id());
    let (home, to) = (Bucket::of(alice.id()), other(from));
    let first = home.0.saturating_sub(500);
    let buckets: Vec<_> = (first..=home.0.saturating_add(500).min(Bucket::COUNT - 1)).map(Bucket).collect();
    let admin = house.mail.admin();
    let started = Instant::now();
    let moved = admin.move_buckets(&buckets, to, &mut |_| {}).await.unwrap();
    println!("{} buckets in {:?}", moved.buckets, started.elapsed());
    assert!(moved.accounts >= 1 && moved.buckets > 100, "{moved:?}");
    let homes = house.mail.admin().shards().await.unwrap();
    assert_eq!(homes.iter().map(|shard| u32::from(shard.buckets)).sum::<u32>(), u32::from(Bucket::COUNT));
    let again = admin.move_buckets(&buckets, to, &mut |_| {}).await.unwrap();
    assert_eq!(again.buckets, 0, "all are there");
    let left: Vec<_> = admin.moves().await.unwrap().iter().map(|left| left.bucket).collect();
    assert!(left.contains(&home));
    assert_eq!(left.len() as u64, moved.accounts, "only where somebody lived is something to be removed");
    deliver(&house.mail, &accounts(buckets[0], 1), "set up there").await;
}

/// Others take back the move of an empty bucket while its mover stalls behind the fences: it begins anew, and whoever is
/// set up there afterwards can write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_bucket_whose_move_was_taken_back_may_move() {
    let house = House::open().await.unwrap();
    let bucket = Bucket(77);
    let accounts = accounts(bucket, 1);
    let from = house.mail.shards().shard_of(accounts[0]);
    let mut stalls = 1..;
    let mut watch = |step| {
        if matches!(step, Step::Fenced(_)) && stalls.next() == Some(1) {
            house.clock.advance(Duration::from_secs(31));
            block_in_place(|| Handle::current().block_on(house.mail.tend_moves())).unwrap();
        }
    };
    house.mail.admin().move_buckets(&[bucket], other(from), &mut watch).await.unwrap();
    assert_eq!(stalls.next(), Some(3), "it began anew");
    deliver(&house.mail, &accounts, "set up").await;
    let mut there = house.mail.shards().latest(other(from)).await.unwrap();
    assert_eq!(there.account(accounts[0]).await.unwrap().unwrap().messages, 1);
    assert_eq!(there.fenced(bucket).await.unwrap(), None);
}

#[tokio::test]
async fn a_bucket_may_go_on_after_a_minute() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house.mail, &[alice.id()], "hello").await;
    let from = house.mail.shards().shard_of(alice.id());
    let (buckets, to) = ([Bucket::of(alice.id())], other(from));
    let admin = house.mail.admin();
    admin.move_buckets(&buckets, to, &mut |_| {}).await.unwrap();
    house.clock.advance(Duration::from_secs(20));
    let error = admin.move_buckets(&buckets, from, &mut |_| {}).await.unwrap_err().to_string();
    assert!(error.contains(&format!("a moment ago: {};", buckets[0].0)), "{error}");
    assert!(error.contains("try again in 41 s (after 20"), "{error}");
    assert_eq!(error.lines().count(), 1);
    house.clock.advance(Duration::from_secs(41));
    deliver(&house.mail, &[alice.id()], "there").await;
    let back = admin.move_buckets(&buckets, from, &mut |_| {}).await.unwrap();
    assert_eq!((back.buckets, back.accounts), (1, 1));
    assert_eq!(house.list(ALICE, Role::Inbox).await.unwrap().len(), 2);
}

/// A node whose bucket map is as it was, until it looks at it again.
struct Stale {
    inner: Arc<dyn Shards>,
    frozen: Arc<Mutex<Option<ShardId>>>,
}

impl Meddler for Stale {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    fn home(&self, account: AccountId) -> ShardId {
        self.frozen.lock().unwrap().unwrap_or_else(|| self.inner.shard_of(account))
    }

    fn refreshed(&self) {
        *self.frozen.lock().unwrap() = None;
    }
}

async fn bytes(access: &Access, id: types::MessageId) -> usize {
    let pieces = access.raw(id).await.unwrap().content.bytes(0..u64::MAX);
    pieces.try_fold(0, async |sum, piece| Ok(sum + piece.len())).await.unwrap()
}

#[tokio::test]
async fn who_has_not_heard_of_a_move_finds_what_is_there() {
    let house = House::open().await.unwrap();
    let frozen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&frozen);
    let cache = Arc::new(LocalCache::new(1 << 20));
    let late = house.node_on(cache, |inner| Arc::new(Meddled(Stale { inner, frozen: keep }))).await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house.mail, &[alice.id()], "old").await;
    let from = house.mail.shards().shard_of(alice.id());
    house.mail.admin().move_buckets(&[Bucket::of(alice.id())], other(from), &mut |_| {}).await.unwrap();
    house.clock.advance(Duration::from_secs(1));
    let email = alice.email().to_string();
    let raw = fixtures::mail_with_attachment("x@y.test", &email, "new", &vec![7; 90_000]);
    let recipients = vec![(alice.email().clone(), alice.id()).into()];
    let (id, terms) = (house.mail.new_id(), Terms::default());
    let incoming = Incoming { id, return_path: None, recipients, terms, raw: raw.into() };
    house.mail.deliver(incoming).await.unwrap();
    let to = vec![types::Address { name: String::new(), email: "far@away.test".to_owned() }];
    alice.compose(api::Compose { to, subject: "out".to_owned(), ..api::Compose::default() }).await.unwrap();
    let queued = house.mail.admin().queue(10).await.unwrap().pop().unwrap();
    let new = house.list(ALICE, Role::Inbox).await.unwrap()[0].clone();
    assert_eq!(new.subject, "new");
    let there = late.admin().open(alice.email()).await.unwrap();
    let known = alice.modseq().await.unwrap();

    // While the old rows are still there, and afterwards.
    for rows in ["kept", "removed"] {
        let forget = || *frozen.lock().unwrap() = Some(from);
        forget();
        assert!(
            !late.body_bytes(queued.account, queued.body).await.unwrap().is_empty(),
            "{rows}: the worker"
        );
        forget();
        assert_eq!(there.message(new.id).await.unwrap().summary.subject, "new", "{rows}");
        forget();
        assert!(bytes(&there, new.id).await > 90_000, "{rows}");
        forget();
        assert_eq!(there.thread(new.thread_id).await.unwrap().messages.len(), 1, "{rows}");
        forget();
        let changes = there.changes(known).await.unwrap();
        assert!(!changes.reset && changes.change.modseq == known.0, "{rows}: {changes:?}");
        forget();
        assert!(!there.changes(ModSeq(1)).await.unwrap().change.created.is_empty(), "{rows}");
        if rows == "removed" {
            forget();
            let folders = house.access(ALICE).await.unwrap().folders().await.unwrap().folders;
            let inbox = folders.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
            assert_eq!(there.page(inbox.id, &PageQuery::default()).await.unwrap().messages.len(), 2);
            forget();
            assert_eq!(there.folders().await.unwrap().folders, folders);
            forget();
            assert!(there.account().await.unwrap().used_bytes > 0);
        }
        forget();
        late.index_all().await.unwrap();
        house.clock.advance(Duration::from_secs(700));
        house.mail.tend_moves().await.unwrap();
    }
    let found = house.access(ALICE).await.unwrap().search("new", None, None).await.unwrap();
    assert_eq!(found.messages.len(), 1, "the index has it");
}
