//! Random histories, backed up while they go on: each run brings back what there was then.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures::TryStreamExt as _;
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use storage::{
    Body, FlagChange, Needs, NewAccount, NewMailbox, NewMessage, NewQueueEntry, Origin, QueueBody, Snapshot,
    Source, Summary, Transaction, Unit, Upload,
    replica::{self, Cursor, Record},
    write,
};
use storage_sql::DatabaseUrl;
use tempfile::TempDir;
use types::{
    AccountId, BlobId, BodyId, Clock, EmailAddress, Flags, MailboxId, MessageId, ModSeq, QueueId, Role,
    Secret, ShardId, ThreadId, Timestamp, UploadId,
};

use super::*;

#[derive(Default)]
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A service's databases and blobs in a folder of their own.
struct Plane {
    ports: Ports,
    _folder: TempDir,
}

impl Plane {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| DatabaseUrl::sqlite(folder.path().join(name));
        let shards = [(ShardId(0), file("0.sqlite")), (ShardId(1), file("1.sqlite"))];
        let options = storage_sql::Options::default();
        let sql = storage_sql::open(&file("directory.sqlite"), &shards, &options).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
        let blobs = blob::FileBlobs::open(&folder.path().join("blobs"), Arc::clone(&clock)).unwrap();
        let ports = Ports { directory: sql.directory, shards: sql.shards, blobs: Arc::new(blobs), clock };
        Self { ports, _folder: folder }
    }

    async fn write<F>(&self, account: AccountId, work: F) -> F::Output
    where
        F: Work,
    {
        let shard = self.ports.shards.shard_of(account);
        write(&*self.ports.shards, shard, Boxed(work)).await.unwrap().0
    }
}

/// A unit as a value with a method.
#[async_trait]
trait Work: Send + Sync + 'static {
    type Output: Send + 'static;
    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<Self::Output>;
}

struct Boxed<W>(W);

#[async_trait]
impl<W: Work> Unit for Boxed<W> {
    type Output = W::Output;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> storage::Result<W::Output> {
        self.0.work(tx).await
    }
}

#[derive(Debug, Clone)]
enum Step {
    Account,
    Remove,
    Alias,
    Mail { blob: Option<u8>, queued: bool },
    Flag,
    Move,
    Expunge,
    Folder,
    Upload(u8),
    Discard,
    Unqueue,
    Run { full: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Account),
        1 => Just(Step::Remove),
        1 => Just(Step::Alias),
        10 => (prop::option::of(0..6_u8), any::<bool>()).prop_map(|(blob, queued)| Step::Mail { blob, queued }),
        3 => Just(Step::Flag),
        3 => Just(Step::Move),
        3 => Just(Step::Expunge),
        2 => Just(Step::Folder),
        1 => (0..6_u8).prop_map(Step::Upload),
        1 => Just(Step::Discard),
        2 => Just(Step::Unqueue),
        3 => prop::bool::weighted(0.1).prop_map(|full| Step::Run { full }),
    ]
}

fn bytes(seed: u8) -> bytes::Bytes {
    vec![seed; 70_000].into()
}

static RANDOM: AtomicU64 = AtomicU64::new(1);

fn random() -> [u8; 10] {
    let mut bytes = [7; 10];
    bytes[..8].copy_from_slice(&RANDOM.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

/// A step that an account takes.
struct Act {
    account: AccountId,
    step: Step,
    /// Chooses among what there is.
    chance: u64,
    now: Timestamp,
}

impl Act {
    fn pick<T: Copy>(&self, among: &[T]) -> Option<T> {
        let count = among.len() as u64;
        among.get(usize::try_from(self.chance.checked_rem(count)?).unwrap()).copied()
    }

    async fn messages(&self, tx: &mut dyn Transaction) -> storage::Result<Vec<MessageId>> {
        Ok(tx
            .changes(self.account, ModSeq(0), 100_000)
            .await?
            .messages
            .iter()
            .map(|message| message.id)
            .collect())
    }

    fn body(&self, blob: Option<u8>) -> storage::Packed {
        let mut segments = vec![storage::Segment::Inline(format!("Subject: {}\r\n\r\n", self.chance).into())];
        segments.extend(blob.map(|seed| {
            let id = BlobId(*blake3::hash(&bytes(seed)).as_bytes());
            storage::Segment::Blob { id, size_bytes: 70_000 }
        }));
        Body { segments }.pack(BodyId::at(self.now, random())).unwrap()
    }

    async fn mail(&self, tx: &mut dyn Transaction, blob: Option<u8>, queued: bool) -> storage::Result<()> {
        let (account, now) = (self.account, self.now);
        let id = MessageId::at(now, random());
        let body = self.body(blob);
        let entry = NewQueueEntry {
            account,
            id: QueueId::at(now, random()),
            message: Some(id),
            body: QueueBody::Shared(body.id),
            return_path: None,
            recipients: vec!["x@elsewhere.test".parse().unwrap()],
            origin: Origin::Submission,
            created_at: now,
            not_before: now,
            expires_at: now,
        };
        let own = QueueBody::Own(self.body(blob));
        let notice =
            NewQueueEntry { id: QueueId::at(now, random()), message: None, body: own, ..entry.clone() };
        let role = if queued { Role::Sent } else { Role::Inbox };
        tx.append(NewMessage {
            account,
            id,
            mailbox: Source::Role(role),
            flags: Flags::default(),
            keywords: vec!["work".into()],
            thread: ThreadId(id.0),
            refs: vec![i64::try_from(self.chance % 5).unwrap()],
            body,
            structure: b"structure".to_vec(),
            received_at: now,
            sent_at: Some(now),
            summary: Summary { subject: format!("제목 {}", self.chance), ..Summary::default() },
            delivery: Vec::new(),
        })
        .await?;
        if queued {
            tx.enqueue(entry).await?;
            tx.enqueue(notice).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Work for Act {
    type Output = ();

    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        let account = self.account;
        let message = self.pick(&self.messages(tx).await?);
        let message: Vec<_> = message.into_iter().collect();
        match &self.step {
            Step::Account => tx.provision(account, self.now).await,
            Step::Remove => tx.purge(account).await,
            Step::Mail { blob, queued } => self.mail(tx, *blob, *queued).await,
            Step::Flag => {
                let change = FlagChange { add: Flags::SEEN, ..FlagChange::default() };
                tx.change_flags(account, &message, &change).await.map(drop)
            }
            Step::Move => {
                let mailboxes: Vec<_> =
                    tx.mailboxes(account).await?.iter().map(|mailbox| mailbox.id).collect();
                let to = self.pick(&mailboxes).unwrap_or(MailboxId(1));
                tx.move_messages(account, &message, to).await.map(drop)
            }
            Step::Expunge => tx.expunge(account, &message).await.map(drop),
            Step::Folder => {
                let name = format!("보관 {}", self.chance);
                let new = NewMailbox { account, name, parent: None, role: None, now: self.now };
                tx.create_mailbox(new).await.map(drop)
            }
            Step::Upload(seed) => {
                let blob = BlobId(*blake3::hash(&bytes(*seed)).as_bytes());
                let id = UploadId::at(self.now, random());
                let (filename, content_type) = ("a.bin".into(), "application/octet-stream".into());
                let created_at = self.now;
                tx.add_upload(Upload {
                    account,
                    id,
                    filename,
                    content_type,
                    size_bytes: 70_000,
                    blob,
                    created_at,
                })
                .await
            }
            Step::Discard => tx.expire_uploads(self.now).await.map(drop),
            Step::Unqueue => {
                let filter = storage::QueueFilter { account: Some(account), after: None, limit: 100 };
                let entries: Vec<_> = tx.queue(&filter).await?.iter().map(|entry| entry.id).collect();
                match self.pick(&entries) {
                    Some(id) => tx.drop_entry(account, id).await.map(drop),
                    None => Ok(()),
                }
            }
            Step::Alias | Step::Run { .. } => Ok(()),
        }
    }
}

struct World {
    plane: Plane,
    folder: TempDir,
    accounts: Vec<AccountId>,
    /// What each run should bring back.
    runs: Vec<(RunName, Seen)>,
    chance: u64,
}

impl World {
    async fn new() -> Self {
        let plane = Plane::open().await;
        let now = plane.ports.clock.now();
        let domain = plane.ports.directory.add_domain("demo.test", now).await.unwrap().id;
        let key = |selector: &str, phase| storage::DkimKey {
            domain,
            selector: selector.to_owned(),
            algorithm: types::DkimAlgorithm::Ed25519,
            private_key: Secret::new(selector.repeat(2)),
            public_key: vec![0, 255],
            phase,
            created_at: now,
            since: now,
        };
        let keys = [key("new", storage::KeyPhase::Waiting), key("old", storage::KeyPhase::Retired)];
        plane.ports.directory.add_dkim_keys(&keys).await.unwrap();
        for seed in 0..6 {
            for shard in plane.ports.shards.all() {
                plane.ports.blobs.put(shard, bytes(seed)).await.unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { plane, folder, accounts: Vec::new(), runs: Vec::new(), chance: 0 };
        world.apply(&Step::Account).await;
        world
    }

    fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    async fn run(&mut self, full: bool) -> Ran {
        let ports = &self.plane.ports;
        let seen = seen(ports).await;
        let ran = run(ports, &self.backups(), full, &Watch::nobody()).await.unwrap();
        assert_eq!(ran.faults, [""; 0]);
        self.runs.push((ran.run.clone(), seen));
        ran
    }

    async fn apply(&mut self, step: &Step) {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chance = self.chance >> 33;
        let directory = &self.plane.ports.directory;
        let now = self.plane.ports.clock.now();
        match step {
            Step::Run { full } => {
                self.run(*full).await;
                return;
            }
            Step::Account => {
                let new = NewAccount {
                    email: format!("Person{chance}@demo.test").parse().unwrap(),
                    name: "누구".into(),
                    password_hash: Secret::new("hash".into()),
                    quota_bytes: Some(chance),
                    created_at: now,
                };
                self.accounts.push(directory.add_account(new).await.unwrap().unwrap().id);
            }
            _ => {}
        }
        let account = match step {
            Step::Account => self.accounts.last().copied(),
            _ => self.accounts.get(usize::try_from(chance).unwrap() % self.accounts.len().max(1)).copied(),
        };
        let Some(account) = account else { return };
        match step {
            Step::Alias => {
                let alias: EmailAddress = format!("alias{chance}@demo.test").parse().unwrap();
                directory.add_alias(account, &alias).await.unwrap();
            }
            Step::Remove => {
                directory.remove_account(account).await.unwrap();
                self.accounts.retain(|other| *other != account);
            }
            _ => {}
        }
        self.plane.write(account, Act { account, step: step.clone(), chance, now }).await;
    }
}

/// Everything there is to see of a service, as text.
type Seen = BTreeMap<String, Vec<String>>;

/// Without the gap that restored accounts go on with.
async fn seen(ports: &Ports) -> Seen {
    let mut seen = BTreeMap::new();
    let domains = ports.directory.domains().await.unwrap();
    seen.insert("domains".into(), domains.iter().map(|domain| domain.name.clone()).collect());
    for domain in domains {
        let keys = ports.directory.dkim_keys(domain.id).await.unwrap().into_iter();
        // Ids of domains are not kept.
        let lines = keys.map(|key| {
            let storage::DkimKey {
                selector,
                algorithm,
                private_key,
                public_key,
                phase,
                created_at,
                since,
                ..
            } = key;
            let private_key = private_key.expose();
            format!("{selector} {algorithm} {private_key} {public_key:?} {phase:?} {created_at:?} {since:?}")
        });
        seen.insert(format!("keys of {}", domain.name), lines.collect());
    }
    for account in ports.directory.accounts(None, 1_000).await.unwrap() {
        let mut lines = vec![format!("{account:?} {}", account.password_hash.expose())];
        lines.extend(ports.directory.addresses(account.id).await.unwrap().iter().map(ToString::to_string));
        lines.extend(rows(ports, account.id).await);
        seen.insert(account.email.to_string(), lines);
    }
    seen
}

async fn rows(ports: &Ports, account: AccountId) -> Vec<String> {
    let shard = ports.shards.shard_of(account);
    let mut snapshot = ports.shards.snapshot(shard).await.unwrap();
    let mut lines = Vec::new();
    let mut blobs = Vec::new();
    let mut cursor = Some(Cursor::after(ModSeq(0)));
    while let Some(at) = cursor {
        let page = snapshot.export(account, at).await.unwrap();
        blobs.extend(page.blobs());
        lines.extend(page.records.into_iter().filter_map(|record| {
            let record = match record {
                Record::Uploads(_) | Record::Queue(_) => return None,
                Record::Mailbox(mailbox) => Record::Mailbox(replica::Mailbox { uid_next: 0, ..mailbox }),
                Record::Account(account) => Record::Account(replica::Account {
                    modseq: 0,
                    indexed_modseq: 0,
                    forgotten_modseq: 0,
                    ..account
                }),
                other => other,
            };
            Some(serde_json::to_string(&record).unwrap())
        }));
        cursor = page.next;
    }
    drop(snapshot);
    for blob in blobs {
        let stream = ports.blobs.open(shard, blob, 0..u64::MAX).await.unwrap().expect("the blob is there");
        let pieces: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(*blake3::hash(&pieces.concat()).as_bytes(), blob.0);
    }
    lines.sort();
    lines.dedup();
    lines
}

fn verified(folder: &Path) -> Verified {
    verify(folder, &Watch::nobody()).unwrap()
}

#[tokio::test]
async fn every_run_brings_back_what_there_was() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..6 {
        let history = vec(step(), 20..70).new_tree(&mut runner).unwrap().current();
        let mut world = World::new().await;
        for step in &history {
            world.apply(step).await;
        }
        world.run(false).await;
        let found = verified(&world.backups());
        assert_eq!(found.faults, [""; 0], "{history:?}");
        assert_eq!(found.runs, world.runs.len() as u64);
        for (name, expected) in &world.runs {
            let fresh = Plane::open().await;
            let at = find(&world.backups(), Some(name.as_str())).unwrap();
            let restored = everything(&fresh.ports, &at, true, &Watch::nobody()).await.unwrap();
            assert_eq!(restored.faults, [""; 0]);
            let seen = seen(&fresh.ports).await;
            assert_eq!(&seen, expected, "{name} of {history:?}");
            let again = everything(&fresh.ports, &at, true, &Watch::nobody()).await.unwrap();
            assert_eq!((again.accounts, again.before), (0, restored.accounts));
        }
    }
}

/// A service with some mail that is backed up in two runs.
async fn backed_up() -> World {
    let mut world = World::new().await;
    for blob in [None, Some(1), Some(2)] {
        world.apply(&Step::Mail { blob, queued: blob == Some(2) }).await;
    }
    assert!(world.run(false).await.full);
    world.apply(&Step::Mail { blob: Some(3), queued: false }).await;
    assert!(!world.run(false).await.full);
    world
}

#[tokio::test]
async fn unchanged_accounts_cost_nothing() {
    let mut world = backed_up().await;
    // What is queued is in no change log.
    for _ in 0..2 {
        world.apply(&Step::Unqueue).await;
    }
    world.run(false).await;
    let ran = world.run(false).await;
    assert_eq!((ran.full, ran.accounts, ran.changed, ran.messages, ran.blobs), (false, 1, 0, 0, 0));
    assert!(ran.size_bytes < 100, "{ran:?}");
    let ran = world.run(true).await;
    assert_eq!((ran.full, ran.changed, ran.messages, ran.blobs), (true, 1, 4, 0));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

/// Every byte that matters is covered by a checksum.
#[tokio::test]
async fn damage_is_found_and_named() {
    let world = backed_up().await;
    let folder = world.backups();
    let all = files(&folder);
    let kinds = ["directory", "accounts", "rows-0001", "manifest", "blobs"];
    for kind in kinds {
        assert!(all.iter().any(|path| path.to_string_lossy().contains(kind)), "{kind}");
    }
    for path in all {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::read(&path).unwrap();
        if name == "lock" || name == "magpie-backup" {
            continue;
        }
        let step = (whole.len() / 7).max(1);
        for at in (0..whole.len() - 1).step_by(step) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, damaged).unwrap();
            let faults = verified(&folder).faults;
            assert!(faults.iter().any(|fault| fault.contains(&name)), "{name} at {at}: {faults:?}");
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(!verified(&folder).faults.is_empty(), "{name} cut");
        fs::remove_file(&path).unwrap();
        // A chain's last manifest is not missed by itself: then there was no such run.
        let missed = verified(&folder);
        assert!(!missed.faults.is_empty() || missed.runs == 1, "{name} gone");
        fs::write(&path, &whole).unwrap();
    }
    assert_eq!(verified(&folder).faults, [""; 0]);
}

/// Rows as they are, or none.
struct Rows(AccountId, Vec<Record>);

#[async_trait]
impl Work for Rows {
    type Output = ();

    async fn work(&self, tx: &mut dyn Transaction) -> storage::Result<()> {
        tx.purge(self.0).await?;
        tx.import(self.0, &self.1).await
    }
}

/// When an account moves to the first shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The first shard was looked at, the second was not.
    Between,
    /// It was found on the second shard, but not yet read.
    Within,
}

/// Shards from the second of which an account moves to the first, where its rows are already.
struct Moving {
    shards: Arc<dyn Shards>,
    account: AccountId,
    moment: Moment,
    moved: AtomicBool,
}

#[async_trait]
impl Shards for Moving {
    fn all(&self) -> Vec<ShardId> {
        self.shards.all()
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        match account == self.account {
            true if self.moved.load(Ordering::Relaxed) => ShardId(0),
            true => ShardId(1),
            false => self.shards.shard_of(account),
        }
    }

    async fn snapshot(&self, shard: ShardId) -> storage::Result<Box<dyn Snapshot>> {
        if self.moment == Moment::Within && !self.moved.swap(true, Ordering::Relaxed) {
            let _ = write(&*self.shards, shard, Boxed(Rows(self.account, Vec::new()))).await?;
        }
        self.shards.snapshot(shard).await
    }

    async fn latest(&self, shard: ShardId) -> storage::Result<Box<dyn Snapshot>> {
        if self.moment == Moment::Between && shard == ShardId(1) {
            self.moved.store(true, Ordering::Relaxed);
        }
        self.shards.latest(shard).await
    }

    async fn execute(
        &self,
        shard: ShardId,
        unit: Arc<dyn storage::ErasedUnit>,
    ) -> storage::Result<storage::Committed> {
        self.shards.execute(shard, unit).await
    }

    async fn ping(&self, shard: ShardId) -> storage::Result<()> {
        self.shards.ping(shard).await
    }
}

#[tokio::test]
async fn an_account_that_moves_meanwhile_is_in_the_run() {
    for moment in [Moment::Between, Moment::Within] {
        let mut world = World::new().await;
        world.apply(&Step::Mail { blob: Some(1), queued: true }).await;
        let (account, shards) = (world.accounts[0], Arc::clone(&world.plane.ports.shards));
        let here = shards.shard_of(account);
        let page =
            shards.snapshot(here).await.unwrap().export(account, Cursor::after(ModSeq(0))).await.unwrap();
        assert_eq!(page.next, None);
        for shard in shards.all() {
            let rows = Boxed(Rows(account, page.records.clone()));
            let _ = write(&*shards, shard, rows).await.unwrap();
        }
        let moving = Moving { shards, account, moment, moved: AtomicBool::new(false) };
        let ports = Ports { shards: Arc::new(moving), ..world.plane.ports.clone() };
        let ran = run(&ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
        assert_eq!((ran.faults, ran.changed, ran.messages), (Vec::new(), 1, 1), "{moment:?}");
        let ran = run(&world.plane.ports, &world.backups(), false, &Watch::nobody()).await.unwrap();
        assert_eq!(ran.faults, [""; 0], "{moment:?}");
        assert_eq!(verified(&world.backups()).faults, [""; 0], "{moment:?}");
    }
}

/// Mail that comes to an empty account while blobs are put stays there.
#[tokio::test]
async fn mail_that_comes_meanwhile_is_kept() {
    let world = backed_up().await;
    let at = find(&world.backups(), None).unwrap();
    for queued in [None, Some(false), Some(true)] {
        let plane = World::new().await;
        let account = plane.accounts[0];
        let ports = &plane.plane.ports;
        let email = ports.directory.account(world.accounts[0]).await.unwrap().unwrap().email;
        let arriving = queued.map(|queued| {
            let now = ports.clock.now();
            Act { account, step: Step::Mail { blob: None, queued }, chance: 9, now }
        });
        let came = arriving.is_some();
        let shards: Arc<dyn Shards> =
            Arc::new(Arriving { shards: Arc::clone(&ports.shards), act: Mutex::new(arriving) });
        let slow = Ports { shards, ..ports.clone() };
        let restored =
            super::account(&slow, &at, &email, Target::Into(account), true, &Watch::nobody()).await;
        assert_eq!(restored.is_err(), came, "{restored:?}");
        let shard = ports.shards.shard_of(account);
        let counts = ports.shards.latest(shard).await.unwrap().counts(account).await.unwrap();
        let expected = match queued {
            None => (4, 2),
            Some(queued) => (1, if queued { 2 } else { 0 }),
        };
        assert_eq!((counts.messages, counts.queue), expected);
        if let Err(error) = restored {
            assert!(error.to_string().contains("is used while it is being restored"), "{error:#}");
        }
    }
}

/// Shards where mail comes just before the first transaction.
struct Arriving {
    shards: Arc<dyn Shards>,
    act: Mutex<Option<Act>>,
}

#[async_trait]
impl Shards for Arriving {
    fn all(&self) -> Vec<ShardId> {
        self.shards.all()
    }

    fn shard_of(&self, account: AccountId) -> ShardId {
        self.shards.shard_of(account)
    }

    async fn snapshot(&self, shard: ShardId) -> storage::Result<Box<dyn Snapshot>> {
        self.shards.snapshot(shard).await
    }

    async fn latest(&self, shard: ShardId) -> storage::Result<Box<dyn Snapshot>> {
        self.shards.latest(shard).await
    }

    async fn execute(
        &self,
        shard: ShardId,
        unit: Arc<dyn storage::ErasedUnit>,
    ) -> storage::Result<storage::Committed> {
        let act = self.act.lock().unwrap().take();
        if let Some(act) = act {
            let _ = write(&*self.shards, shard, Boxed(act)).await?;
        }
        self.shards.execute(shard, unit).await
    }

    async fn ping(&self, shard: ShardId) -> storage::Result<()> {
        self.shards.ping(shard).await
    }
}
