//! Services to back up and to restore into: everything in files, or in the engines of the cluster plane.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
};

use futures::TryStreamExt as _;
use storage::{
    AppPassword, DkimKey,
    replica::{self, Cursor, Record},
    write,
};
use storage_sql::DatabaseUrl;
use tempfile::TempDir;
use testkit::Services;
use types::{AccountId, AppPasswordId, Clock, DomainId, ModSeq, ShardId, Timestamp};

use super::history::{Boxed, Work};
use crate::{backup::Ports, config, parts};

#[derive(Default)]
pub(super) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where services of a test are.
pub(super) enum Ground {
    /// SQLite, and blobs as files, in a folder of each service.
    Files,
    /// PostgreSQL, and blobs in S3.
    Engines { engines: Box<Services>, services: AtomicU32 },
}

/// A service's databases and blobs.
pub(super) struct Plane {
    pub(super) ports: Ports,
    _folder: TempDir,
}

impl Ground {
    pub(super) async fn engines() -> Self {
        let engines = Box::new(Services::start(1).await.unwrap());
        Self::Engines { engines, services: AtomicU32::new(0) }
    }

    /// A new service.
    pub(super) async fn plane(&self) -> Plane {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(TestClock::default());
        let ports = match self {
            Self::Files => files(&folder, &clock).await,
            Self::Engines { engines, services } => {
                let service = format!("backup{}", services.fetch_add(1, Ordering::Relaxed));
                engines.create(&service).await.unwrap();
                let config = config::load(None, &engines.variables(&service)).unwrap().config;
                parts::open(&config, parts::Indexing::Elsewhere).await.unwrap().ports
            }
        };
        Plane { ports: Ports { clock, ..ports }, _folder: folder }
    }
}

async fn files(folder: &TempDir, clock: &Arc<dyn Clock>) -> Ports {
    let file = |name: &str| DatabaseUrl::sqlite(folder.path().join(name));
    let shards = [(ShardId(0), file("0.sqlite")), (ShardId(1), file("1.sqlite"))];
    let options = storage_sql::Options::default();
    let sql = storage_sql::open(&file("directory.sqlite"), &shards, &options).await.unwrap();
    let blobs = blob::FileBlobs::open(&folder.path().join("blobs"), Arc::clone(clock)).unwrap();
    let clock = Arc::clone(clock);
    Ports { directory: sql.directory, shards: sql.shards, blobs: Arc::new(blobs), clock }
}

impl Plane {
    pub(super) async fn write<F>(&self, account: AccountId, work: F) -> F::Output
    where
        F: Work,
    {
        let shard = self.ports.shards.shard_of(account);
        write(&*self.ports.shards, shard, Boxed(work)).await.unwrap().0
    }
}

/// Everything there is to see of a service, as text.
pub(super) type Seen = BTreeMap<String, Vec<String>>;

/// Without the gap that restored accounts go on with.
pub(super) async fn seen(ports: &Ports) -> Seen {
    let mut seen = BTreeMap::new();
    let domains = ports.directory.domains().await.unwrap();
    seen.insert("domains".into(), domains.iter().map(|domain| domain.name.clone()).collect());
    for domain in domains {
        let limits = ports.directory.domain_use(&domain.name).await.unwrap().limits;
        let of_mails = ports.directory.message_limit(std::slice::from_ref(&domain.name)).await.unwrap();
        seen.insert(format!("limits of {}", domain.name), vec![format!("{limits:?} {of_mails:?}")]);
        let keys = ports.directory.dkim_keys(domain.id).await.unwrap().into_iter();
        // Ids of domains are not kept.
        let lines = keys.map(|key| {
            format!("{:?} {}", DkimKey { domain: DomainId(0), ..key.clone() }, key.private_key.expose())
        });
        seen.insert(format!("keys of {}", domain.name), lines.collect());
    }
    for account in ports.directory.accounts(None, 1_000).await.unwrap() {
        let mut lines = vec![format!("{account:?} {}", account.password_hash.expose())];
        lines.extend(ports.directory.addresses(account.id).await.unwrap().iter().map(ToString::to_string));
        let programs = ports.directory.app_passwords(account.id).await.unwrap().into_iter();
        // Their ids are not kept.
        lines.extend(programs.map(|one| {
            let keys = one.keys.clone().map(|keys| keys.expose().clone());
            format!("{:?} {keys:?}", AppPassword { id: AppPasswordId(0), ..one })
        }));
        lines.extend(rows(ports, account.id).await);
        seen.insert(account.email.to_string(), lines);
    }
    seen
}

/// All rows of an account, whose blobs must be there.
pub(super) async fn rows(ports: &Ports, account: AccountId) -> Vec<String> {
    rows_with(ports, account, true).await
}

pub(super) async fn rows_with(ports: &Ports, account: AccountId, blobs_too: bool) -> Vec<String> {
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
    for blob in blobs.into_iter().filter(|_| blobs_too) {
        let stream = ports.blobs.open(shard, blob, 0..u64::MAX).await.unwrap().expect("the blob is there");
        let pieces: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(*blake3::hash(&pieces.concat()).as_bytes(), blob.0);
    }
    lines.sort();
    lines.dedup();
    lines
}
