//! Moving accounts between shards while they are used, and moves that die on the way.

#![cfg(test)]

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use cluster::LocalCache;
use futures::TryStreamExt as _;
use mail::{Access, Error, Incoming, PageQuery, Service, Step};
use storage::{Directory, Needs, Shards, Transaction, Unit, moves::Claim};
use testkit::{Call, House, Meddled, Meddler, PostgresCluster, fixtures};
use tokio::{
    runtime::Handle,
    task::block_in_place,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;
use types::{AccountId, Bucket, Flags, MessageId, Role, ShardId, Timestamp, api};

const ALICE: &str = "alice@demo.test";
const BOB: &str = "bob@demo.test";
const LONG: Duration = Duration::from_secs(700);

/// Delivers a mail of this subject; some have an attachment that is kept as a blob.
async fn deliver(node: &Service, access: &Access, subject: &str, attachment: Option<u8>) -> mail::Result<()> {
    let to = access.email().to_string();
    let raw = match attachment {
        Some(byte) => fixtures::mail_with_attachment("x@y.test", &to, subject, &vec![byte; 90_000]),
        None => fixtures::mail("x@y.test", &to, subject, "Hello there"),
    };
    let incoming = Incoming {
        id: node.new_id(),
        return_path: None,
        recipients: vec![(access.email().clone(), access.id()).into()],
        terms: types::Terms::default(),
        raw: raw.into(),
    };
    node.deliver(incoming).await
}

async fn inbox(access: &Access) -> Vec<api::Summary> {
    let folders = access.folders().await.unwrap().folders;
    let inbox = folders.iter().find(|folder| folder.role == Some(Role::Inbox)).unwrap();
    let mut all = Vec::new();
    let mut query = PageQuery { limit: Some(100), ..PageQuery::default() };
    loop {
        let page = access.page(inbox.id, &query).await.unwrap();
        all.extend(page.messages);
        query.cursor = page.next;
        if query.cursor.is_none() {
            assert_eq!(all.len() as u64, inbox.total.max(all.len() as u64));
            return all;
        }
    }
}

async fn bytes(access: &Access, id: MessageId) -> usize {
    let mut pieces = access.raw(id).await.unwrap().content.bytes(0..u64::MAX);
    let mut length = 0;
    while let Some(piece) = pieces.try_next().await.unwrap() {
        length += piece.len();
    }
    length
}

fn home(house: &House, access: &Access) -> ShardId {
    house.mail.shards().shard_of(access.id())
}

fn other(shard: ShardId) -> ShardId {
    ShardId(1 - shard.0)
}

/// Removes what moved away, and the blobs that nothing names any more.
async fn clean(house: &House) {
    house.clock.advance(LONG);
    house.mail.tend_moves().await.unwrap();
    assert!(house.mail.admin().moves().await.unwrap().is_empty());
    house.clock.advance(Duration::from_secs(100_000));
    house.mail.keep_house().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_read_and_receive_mail_while_they_are_moved() {
    used_while_moved(House::open().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_read_and_receive_mail_while_they_are_moved_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    used_while_moved(House::open_on_postgres(&cluster).await.unwrap()).await;
}

/// Two nodes: the second one is not told of the moves, which the first one makes.
async fn used_while_moved(house: House) {
    let house = Arc::new(house);
    let second = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let (alice, bob) = (house.access(ALICE).await.unwrap(), house.access(BOB).await.unwrap());
    for number in 0..150_u8 {
        let attachment = number.is_multiple_of(10).then_some(number);
        deliver(&house.mail, &alice, &format!("old {number}"), attachment).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let slowest = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    let first = &house.mail;
    for (name, node, access) in [("a", first, &alice), ("b", &second, &alice), ("c", first, &bob)] {
        let (node, access) = (node.clone(), access.clone());
        let (stop, slowest) = (Arc::clone(&stop), Arc::clone(&slowest));
        tasks.push(TaskTracker::new().spawn(async move {
            let mut count = 0_u64;
            while !stop.load(Ordering::SeqCst) {
                let started = Instant::now();
                let attachment = count.is_multiple_of(7).then(|| u8::try_from(count % 200).unwrap());
                deliver(&node, &access, &format!("{name} {count}"), attachment).await.unwrap();
                let took = u64::try_from(started.elapsed().as_millis()).unwrap();
                slowest.fetch_max(took, Ordering::SeqCst);
                count += 1;
            }
            count
        }));
    }
    let reader = second.admin().open(&ALICE.parse().unwrap()).await.unwrap();
    let stops = Arc::clone(&stop);
    let reading = TaskTracker::new().spawn(async move {
        let mut reads = 0_u64;
        while !stops.load(Ordering::SeqCst) {
            let messages = inbox(&reader).await;
            let newest = messages.first().unwrap();
            assert!(bytes(&reader, newest.id).await > 0);
            let patch = api::Patch { flagged: Some(reads.is_multiple_of(2)), ..api::Patch::default() };
            reader.patch(&[newest.id], &patch).await.unwrap();
            reads += 1;
        }
        reads
    });

    let buckets = [Bucket::of(alice.id())];
    let mut pause = Duration::ZERO;
    for _ in 0..4 {
        let to = other(home(&house, &alice));
        let moved = house.mail.admin().move_buckets(&buckets, to, &mut |_| {}).await.unwrap();
        assert_eq!((moved.buckets, moved.accounts), (1, 1));
        pause = pause.max(moved.longest_pause);
        assert_eq!(home(&house, &alice), to);
        house.clock.advance(LONG);
        house.mail.tend_moves().await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.unwrap());
    }
    let reads = reading.await.unwrap();
    println!(
        "delivered {counts:?}, read {reads} times, writers waited {pause:?} at most, the slowest delivery took {slowest:?} ms"
    );
    clean(&house).await;
    for (access, expected) in
        [(&alice, 150 + counts.first().unwrap() + counts.get(1).unwrap()), (&bob, *counts.last().unwrap())]
    {
        let all = inbox(access).await;
        let subjects: BTreeSet<_> = all.iter().map(|message| message.subject.clone()).collect();
        assert_eq!((all.len() as u64, subjects.len() as u64), (expected, expected), "each once");
        for message in all.iter().filter(|message| message.has_attachments) {
            assert!(
                bytes(access, message.id).await > 90_000,
                "the attachment of {} is there",
                message.subject
            );
        }
    }
    assert!(pause < Duration::from_secs(5), "{pause:?}");
}

/// The move dies at this step; `rescued` is whether others end its fence.
async fn dies(at: fn(&Step) -> bool, rescued: bool) {
    let house = Arc::new(House::open().await.unwrap());
    let alice = house.access(ALICE).await.unwrap();
    for number in 0..30_u8 {
        let attachment = number.is_multiple_of(10).then_some(number);
        deliver(&house.mail, &alice, &format!("old {number}"), attachment).await.unwrap();
    }
    let before = inbox(&alice).await;
    let (buckets, from) = ([Bucket::of(alice.id())], home(&house, &alice));
    let to = other(from);
    let dying = Arc::clone(&house);
    let died = TaskTracker::new().spawn(async move {
        let mut watch = |step| assert!(!at(&step), "the mover dies here");
        dying.mail.admin().move_buckets(&buckets, to, &mut watch).await
    });
    assert!(died.await.is_err());
    assert_eq!(inbox(&alice).await, before, "readers notice nothing");

    let admin = house.mail.admin();
    let busy = admin.move_buckets(&buckets, to, &mut |_| {}).await.unwrap_err();
    assert!(busy.to_string().contains("by another process"), "{busy}");
    house.clock.advance(Duration::from_secs(31));
    if rescued {
        let mut waits = Box::pin(deliver(&house.mail, &alice, "meanwhile", None));
        assert!(timeout(Duration::from_millis(300), &mut waits).await.is_err(), "it waits at the fence");
        house.mail.tend_moves().await.unwrap();
        waits.await.unwrap();
    } else {
        deliver(&house.mail, &alice, "meanwhile", None).await.unwrap();
    }
    admin.move_buckets(&buckets, to, &mut |_| {}).await.unwrap();
    assert_eq!(home(&house, &alice), to);
    deliver(&house.mail, &alice, "afterwards", None).await.unwrap();
    clean(&house).await;
    let after = inbox(&alice).await;
    let subjects: Vec<_> = after.iter().take(2).map(|message| message.subject.as_str()).collect();
    assert_eq!(BTreeSet::from_iter(subjects), BTreeSet::from(["afterwards", "meanwhile"]));
    assert_eq!(after.len(), before.len() + 2);
    for message in before.iter().filter(|message| message.has_attachments) {
        assert!(bytes(&alice, message.id).await > 90_000);
    }
    let mut old = house.mail.shards().latest(from).await.unwrap();
    assert!(old.bucket(buckets[0]).await.unwrap().is_empty());
    assert!(old.fenced(buckets[0]).await.unwrap().unwrap().closed, "nobody can ever write there");
}

#[tokio::test]
async fn a_move_that_dies_while_copying_goes_on() {
    dies(|step| matches!(step, Step::Copied(_)), false).await;
}

#[tokio::test]
async fn a_move_that_dies_behind_its_fence_is_let_go_of() {
    dies(|step| matches!(step, Step::Fenced(_)), true).await;
}

#[tokio::test]
async fn a_move_that_dies_at_its_end_is_finished_by_others() {
    dies(|step| matches!(step, Step::Closed(_)), true).await;
}

/// Nobody goes on with the move: it is taken back, and nothing of the copy is left. Until somebody else moves the bucket.
#[tokio::test]
async fn a_move_that_dies_while_copying_is_taken_back() {
    let house = Arc::new(House::open().await.unwrap());
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house.mail, &alice, "old", Some(1)).await.unwrap();
    let (account, bucket) = (alice.id(), Bucket::of(alice.id()));
    let (from, dying) = (home(&house, &alice), Arc::clone(&house));
    let to = other(from);
    let died = TaskTracker::new().spawn(async move {
        // At first it only looks.
        let mut copied = 0..2;
        let mut watch = |step| {
            if matches!(step, Step::Copied(_)) {
                assert_ne!(copied.next(), Some(1), "the mover dies here");
            }
        };
        dying.mail.admin().move_buckets(&[bucket], to, &mut watch).await
    });
    assert!(died.await.is_err());
    let (admin, shards) = (house.mail.admin(), house.mail.shards());
    assert!(!shards.latest(to).await.unwrap().placed(bucket).await.unwrap().is_empty());
    house.mail.tend_moves().await.unwrap();
    assert_eq!(admin.moves().await.unwrap().len(), 1, "it may still live");

    house.clock.advance(Duration::from_secs(31));
    house.mail.tend_moves().await.unwrap();
    assert_eq!(admin.moves().await.unwrap(), []);
    let mut there = shards.latest(to).await.unwrap();
    assert_eq!(there.counts(account).await.unwrap(), storage::replica::Counts::default());
    assert_eq!(there.placed(bucket).await.unwrap(), []);
    assert!(there.fenced(bucket).await.unwrap().unwrap().closed, "nobody writes where it does not live");
    deliver(&house.mail, &alice, "meanwhile", None).await.unwrap();
    let moved = admin.move_buckets(&[bucket], to, &mut |_| {}).await.unwrap();
    assert_eq!((moved.accounts, home(&house, &alice)), (1, to), "at once");
    clean(&house).await;
    assert_eq!(inbox(&alice).await.len(), 2);
}

/// Others take back the move of a mover that stalls, which learns of it whatever it was about to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_whose_move_was_taken_back_stops() {
    type Stall = (fn(&Step) -> bool, usize);
    let stalls: [Stall; 3] = [
        (|step| matches!(step, Step::Copied(_)), 0),
        (|step| matches!(step, Step::Copied(_)), 1),
        (|step| matches!(step, Step::Fenced(_)), 0),
    ];
    for (stalls, nth) in stalls {
        let house = House::open().await.unwrap();
        let alice = house.access(ALICE).await.unwrap();
        deliver(&house.mail, &alice, "old", Some(1)).await.unwrap();
        let (bucket, from) = (Bucket::of(alice.id()), home(&house, &alice));
        let mut steps = 0..;
        let mut watch = |step| {
            if stalls(&step) && steps.next() == Some(nth) {
                house.clock.advance(Duration::from_secs(31));
                block_in_place(|| Handle::current().block_on(house.mail.tend_moves())).unwrap();
            }
        };
        let error = house.mail.admin().move_buckets(&[bucket], other(from), &mut watch).await.unwrap_err();
        assert!(error.to_string().contains("has taken over"), "{error}");
        deliver(&house.mail, &alice, "afterwards", None).await.unwrap();
        assert_eq!((home(&house, &alice), inbox(&alice).await.len()), (from, 2));
        assert_eq!(house.mail.admin().moves().await.unwrap(), []);
        let mut there = house.mail.shards().latest(other(from)).await.unwrap();
        assert_eq!(there.placed(bucket).await.unwrap(), []);
    }
}

/// Shards that take long over a write, until it is heard that the move of which it is goes on.
struct Slow {
    inner: Arc<dyn Shards>,
    service: Arc<OnceLock<Service>>,
    is_slow: Arc<AtomicBool>,
}

#[async_trait]
impl Meddler for Slow {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        if call == Call::Write && self.is_slow.swap(false, Ordering::SeqCst) {
            let admin = self.service.get().unwrap().admin();
            let heard = async || admin.moves().await.unwrap()[0].beat_at;
            let before = heard().await;
            while heard().await == before {
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(shard)
    }
}

/// A mover that is slow is heard of while it writes, so nobody takes its move back.
#[tokio::test]
async fn a_slow_mover_keeps_its_move() {
    let (service, is_slow) = (Arc::<OnceLock<Service>>::default(), Arc::<AtomicBool>::default());
    let (given, slow) = (Arc::clone(&service), Arc::clone(&is_slow));
    let wrap = |inner| Arc::new(Meddled(Slow { inner, service: given, is_slow: slow })) as Arc<dyn Shards>;
    let house = House::open_on(wrap).await.unwrap();
    assert!(service.set(house.mail.clone()).is_ok());
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house.mail, &alice, "old", Some(1)).await.unwrap();
    let (bucket, to) = (Bucket::of(alice.id()), other(home(&house, &alice)));
    let mut copied = 0..;
    let mut watch = |step| {
        if matches!(step, Step::Copied(_)) && copied.next() == Some(0) {
            house.clock.advance(Duration::from_secs(25));
            is_slow.store(true, Ordering::SeqCst);
        }
    };
    let admin = house.mail.admin();
    let moved = timeout(Duration::from_secs(20), admin.move_buckets(&[bucket], to, &mut watch)).await;
    assert_eq!(moved.expect("it is heard of").unwrap().accounts, 1);
    assert!(!is_slow.load(Ordering::SeqCst));
}

/// The mover stalls at its fence for so long that another one moves the bucket, and cleans up: what the first one finds
/// on its target then is no copy that has too much, but where the account lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mover_that_comes_back_too_late_changes_nothing() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    deliver(&house.mail, &alice, "old", None).await.unwrap();
    let (buckets, to) = ([Bucket::of(alice.id())], other(home(&house, &alice)));
    let admin = house.mail.admin();
    let overtake = async || {
        house.clock.advance(Duration::from_secs(31));
        house.mail.tend_moves().await.unwrap();
        admin.move_buckets(&buckets, to, &mut |_| {}).await.unwrap();
        deliver(&house.mail, &alice, "new", None).await.unwrap();
        clean(&house).await;
    };
    let mut watch = |step| {
        if matches!(step, Step::Fenced(_)) {
            block_in_place(|| Handle::current().block_on(overtake()));
        }
    };
    let error = admin.move_buckets(&buckets, to, &mut watch).await.unwrap_err();
    assert!(error.to_string().contains("has taken over"), "{error}");
    assert_eq!(home(&house, &alice), to);
    assert_eq!(inbox(&alice).await.len(), 2);
    deliver(&house.mail, &alice, "newer", None).await.unwrap();
}

/// Shards one of which has trouble.
struct Troubled {
    inner: Arc<dyn Shards>,
    trouble: Arc<Mutex<Option<(ShardId, Trouble)>>>,
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// What is written is committed, but so many answers get lost.
    Lost(u32),
    /// The account is removed before so many views of the shard have been asked for.
    Removal(AccountId, u32),
}

impl Troubled {
    /// What happens to a call now, if anything does.
    fn strikes(&self, called: ShardId, is_write: bool) -> Option<Trouble> {
        let mut trouble = self.trouble.lock().unwrap();
        let (shard, kind) = (*trouble)?;
        let (left, next) = match kind {
            Trouble::Lost(left) if is_write => (left - 1, Trouble::Lost(left - 1)),
            Trouble::Removal(account, left) if !is_write => (left - 1, Trouble::Removal(account, left - 1)),
            _ => return None,
        };
        if shard != called {
            return None;
        }
        *trouble = (left > 0).then_some((shard, next));
        match kind {
            Trouble::Removal(..) if left > 0 => None,
            kind => Some(kind),
        }
    }
}

#[async_trait]
impl Meddler for Troubled {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, call: Call, shard: ShardId) -> storage::Result<ShardId> {
        if call == Call::Snapshot
            && let Some(Trouble::Removal(account, _)) = self.strikes(shard, false)
        {
            storage::write(&*self.inner, shard, Purge(account)).await.map(drop)?;
        }
        Ok(shard)
    }

    fn after_write(&self, shard: ShardId) -> storage::Result<()> {
        match self.strikes(shard, true) {
            Some(Trouble::Lost(_)) => Err(storage::Error::Unavailable("the answer is lost".into())),
            _ => Ok(()),
        }
    }
}

struct Purge(AccountId);

#[async_trait]
impl Unit for Purge {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.0], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        tx.purge(self.0).await
    }
}

/// A house whose shards get into trouble when they are told to.
async fn troubled() -> (House, Arc<Mutex<Option<(ShardId, Trouble)>>>) {
    let trouble = Arc::<Mutex<_>>::default();
    let given = Arc::clone(&trouble);
    let wrap = |inner| Arc::new(Meddled(Troubled { inner, trouble: given })) as Arc<dyn Shards>;
    (House::open_on(wrap).await.unwrap(), trouble)
}

/// The fence is closed, and whoever closed it is not told so; with two lost answers, not at once.
#[tokio::test]
async fn a_mover_finds_out_that_its_fence_is_closed() {
    for lost in [1, 2] {
        let (house, trouble) = troubled().await;
        let alice = house.access(ALICE).await.unwrap();
        deliver(&house.mail, &alice, "before", None).await.unwrap();
        let (buckets, from) = ([Bucket::of(alice.id())], home(&house, &alice));
        let mut watch = |step| {
            if matches!(step, Step::Fenced(_)) {
                *trouble.lock().unwrap() = Some((from, Trouble::Lost(lost)));
            }
        };
        let moved = house.mail.admin().move_buckets(&buckets, other(from), &mut watch).await.unwrap();
        assert_eq!((moved.accounts, home(&house, &alice)), (1, other(from)));
        let soon = timeout(Duration::from_secs(5), deliver(&house.mail, &alice, "after", None));
        soon.await.expect("writers go on").unwrap();
        clean(&house).await;
        assert_eq!(inbox(&alice).await.len(), 2);
    }
}

/// An account goes while it is copied, page by page: nothing of it stays on the shard that it never came to.
#[tokio::test]
async fn an_account_that_is_removed_while_it_is_copied_is_gone() {
    let (house, trouble) = troubled().await;
    let alice = house.access(ALICE).await.unwrap();
    for number in 0..300 {
        deliver(&house.mail, &alice, &format!("{number}"), None).await.unwrap();
    }
    let (account, from) = (alice.id(), home(&house, &alice));
    *trouble.lock().unwrap() = Some((from, Trouble::Removal(account, 3)));
    let bucket = Bucket::of(account);
    house.mail.admin().move_buckets(&[bucket], other(from), &mut |_| {}).await.unwrap();
    assert!(trouble.lock().unwrap().is_none(), "it was removed");
    let mut there = house.mail.shards().latest(other(from)).await.unwrap();
    assert_eq!(there.counts(account).await.unwrap(), storage::replica::Counts::default());
    assert!(!there.placed(bucket).await.unwrap().contains(&account));
}

/// Puts a fence up.
struct Fence(Bucket);

#[async_trait]
impl Unit for Fence {
    type Output = bool;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<bool> {
        tx.fence(self.0, "a mover that is gone").await
    }
}

/// A fence of which the directory knows no move keeps nobody from writing for long.
#[tokio::test]
async fn a_fence_that_nobody_minds_is_lifted() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let fence = Fence(Bucket::of(alice.id()));
    assert!(storage::write(&**house.mail.shards(), home(&house, &alice), fence).await.unwrap().0);
    let mut waits = Box::pin(deliver(&house.mail, &alice, "one", None));
    assert!(timeout(Duration::from_millis(300), &mut waits).await.is_err(), "it waits at the fence");
    house.mail.tend_moves().await.unwrap();
    waits.await.unwrap();
    assert_eq!(inbox(&alice).await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_moved_is_said_so() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    let buckets = [Bucket::of(alice.id())];
    let admin = house.mail.admin();
    let error = admin.move_buckets(&buckets, ShardId(7), &mut |_| {}).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict(text) if text.contains("no shard 7")), "{error}");
    let from = home(&house, &alice);
    let stays = admin.move_buckets(&buckets, from, &mut |_| {}).await.unwrap();
    assert_eq!(stays.buckets, 0, "it lives there already");
    admin.move_buckets(&buckets, other(from), &mut |_| {}).await.unwrap();
    clean(&house).await;
    let back = admin.move_buckets(&buckets, from, &mut |_| {}).await.unwrap();
    assert_eq!(back.buckets, 1, "and it may come back");
    let reports = admin.shards().await.unwrap();
    assert_eq!(reports.iter().map(|report| u32::from(report.buckets)).sum::<u32>(), u32::from(Bucket::COUNT));
    let accounts: u64 = reports.iter().map(|report| report.totals.clone().unwrap().accounts).sum();
    assert_eq!(accounts, 3, "an account counts where it lives");
    house.clock.advance(LONG);
    admin.move_buckets(&buckets, other(from), &mut |_| {}).await.unwrap();
    let (indexed, _) = admin.indexed().await.unwrap();
    assert_eq!(indexed.iter().map(|shard| shard.accounts).sum::<u64>(), 3, "so it does in the index");
}

#[tokio::test]
async fn uids_and_flags_stay() {
    let house = House::open().await.unwrap();
    let alice = house.access(ALICE).await.unwrap();
    for number in 0..5 {
        deliver(&house.mail, &alice, &format!("{number}"), None).await.unwrap();
    }
    let shards = house.mail.shards();
    let rows = async |shard| {
        let mut latest = shards.latest(shard).await.unwrap();
        let page = storage::PageRequest {
            mailbox: None,
            filter: storage::Filter::default(),
            before: None,
            limit: 100,
        };
        let state = latest.account(alice.id()).await.unwrap().unwrap();
        (state, latest.mailboxes(alice.id()).await.unwrap(), latest.page(alice.id(), &page).await.unwrap())
    };
    let from = home(&house, &alice);
    let before = rows(from).await;
    assert!(
        before
            .2
            .iter()
            .all(|message| message.flags == Flags::RECEIVED && message.sent_at != Some(Timestamp::default()))
    );
    house.mail.admin().move_buckets(&[Bucket::of(alice.id())], other(from), &mut |_| {}).await.unwrap();
    assert_eq!(rows(other(from)).await, before);
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged meanwhile.
async fn told_while(work: impl Future<Output = ()>) -> String {
    let log = Log::default();
    let writer = log.clone();
    let logging = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(logging);
    work.await;
    drop(guard);
    let log = log.0.lock().unwrap().clone();
    String::from_utf8(log).unwrap()
}

#[tokio::test]
async fn moves_that_were_broken_off_together_are_told_in_one_line() {
    let house = House::open().await.unwrap();
    let buckets = broken_off(&house).await;
    assert_eq!(buckets.len(), 5);
    let log = told_while(async { house.mail.tend_moves().await.unwrap() }).await;
    assert_eq!(house.mail.admin().moves().await.unwrap(), []);
    let told: Vec<_> = log.lines().filter(|line| line.contains("taken back")).collect();
    assert!(matches!(told.as_slice(), [one] if one.contains("WARN") && one.contains("moves=5")), "{log}");
}

/// Moves of five buckets from the first shard to the second, whose mover has died.
async fn broken_off(house: &House) -> Vec<Bucket> {
    let (directory, now) = (directory(house).await, house.mail.now());
    let buckets = living_on(house, ShardId(0), 5).await;
    let claim = Claim { mover: "dead".to_owned(), now, silent_since: now };
    assert_eq!(directory.claim_moves(&buckets, ShardId(1), &claim).await.unwrap().len(), 5);
    house.clock.advance(Duration::from_secs(31));
    buckets
}

async fn directory(house: &House) -> Arc<dyn Directory> {
    let mut directory = None;
    house.node_of(|parts| directory = Some(Arc::clone(&parts.directory))).await.unwrap();
    directory.unwrap()
}

/// So many buckets that live there.
async fn living_on(house: &House, shard: ShardId, count: usize) -> Vec<Bucket> {
    let map = directory(house).await.bucket_map(&house.mail.shards().all()).await.unwrap();
    let buckets = (0..).map(Bucket).zip(&map.shards);
    buckets.filter(|(_, home)| **home == shard).map(|(bucket, _)| bucket).take(count).collect()
}

/// Whether a line of the log says this, with this number.
fn says(log: &str, what: &str, number: &str) -> bool {
    log.lines().any(|line| line.contains(what) && line.contains(number))
}

/// A shard that answers nothing keeps nobody from hearing of what was found, and of what was done elsewhere.
#[tokio::test]
async fn what_cannot_be_tended_is_told() {
    let (house, trouble) = troubled().await;
    broken_off(&house).await;
    let away = |shard| *trouble.lock().unwrap() = Some((shard, Trouble::Lost(1_000)));
    away(ShardId(1));
    let log = told_while(async { assert!(house.mail.tend_moves().await.is_err()) }).await;
    assert!(says(&log, "cannot be ended yet", "moves=5"), "{log}");
    *trouble.lock().unwrap() = None;
    house.clock.advance(Duration::from_secs(31));
    house.mail.tend_moves().await.unwrap();
    assert_eq!(house.mail.admin().moves().await.unwrap(), []);

    let shards = house.mail.shards();
    for shard in shards.all() {
        for bucket in living_on(&house, shard, 1).await {
            assert!(storage::write(&**shards, shard, Fence(bucket)).await.unwrap().0);
        }
    }
    away(ShardId(0));
    let log = told_while(async { assert!(house.mail.tend_moves().await.is_err()) }).await;
    assert!(says(&log, "nobody moves", "fences=1"), "{log}");
}
