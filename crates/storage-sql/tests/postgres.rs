//! What only a server of many nodes can do to us: others who write at the same time, restarts, crashes, newer schemas.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::future;
use storage::{
    Appended, Body, BucketMap, Directory as _, Error, Lease, Needs, NewMessage, NewQueueEntry, Origin,
    QueueBody, QueueEntry, Result, Segment, Shards as _, Summary, Transaction, Unit, write,
};
use storage_sql::{DatabaseUrl, Options, Schema, SqlDirectory, SqlShards, Watch, pending_migrations};
use testkit::{PostgresCluster, fixtures::new_message};
use types::{AccountId, BodyId, MessageId, ModSeq, QueueId, ShardId, Timestamp};

const SHARD: ShardId = ShardId(0);
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Adds a message to each of these accounts, naming only the first beforehand if `rashly`.
struct Add {
    accounts: Vec<AccountId>,
    id: MessageId,
    rashly: bool,
}

impl Add {
    fn to(accounts: &[i64]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut random = [0; 10];
        random[2..].copy_from_slice(&number);
        let accounts = accounts.iter().copied().map(AccountId).collect();
        Self { accounts, id: MessageId::at(NOW, random), rashly: false }
    }
}

#[async_trait]
impl Unit for Add {
    type Output = Vec<Appended>;

    fn needs(&self) -> Needs {
        let named = if self.rashly { 1 } else { self.accounts.len() };
        Needs {
            accounts: self.accounts.iter().copied().take(named).collect(),
            refs: self.accounts.iter().take(named).map(|account| (*account, 7)).collect(),
            ids: self.accounts.iter().take(named).map(|account| (*account, self.id)).collect(),
            ..Needs::default()
        }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Vec<Appended>> {
        let mut added = Vec::new();
        for account in &self.accounts {
            tx.provision(*account, NOW).await?;
            tx.threads(*account, &[7]).await?;
            let message = NewMessage {
                refs: vec![7],
                structure: b"structure".to_vec(),
                summary: Summary { subject: "a\0b".to_owned(), ..Summary::default() },
                ..new_message(*account, self.id, NOW, b"Hello\r\n".to_vec())?
            };
            added.push(tx.append(message).await?);
        }
        Ok(added)
    }
}

/// Puts an entry of the account into the queue.
struct Enqueue(QueueId);

#[async_trait]
impl Unit for Enqueue {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![AccountId(1)], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        let body = Body { segments: vec![Segment::Inline("Hello\r\n".into())] };
        tx.enqueue(NewQueueEntry {
            account: AccountId(1),
            id: self.0,
            message: None,
            body: QueueBody::Own(body.pack(BodyId(self.0.0))?),
            return_path: None,
            recipients: vec!["bob@far.test".parse::<types::EmailAddress>().unwrap().into()],
            terms: types::Terms::default(),
            origin: Origin::Submission,
            created_at: NOW,
            not_before: NOW,
            expires_at: NOW,
        })
        .await
    }
}

struct Claim(Lease);

#[async_trait]
impl Unit for Claim {
    type Output = Vec<QueueEntry>;

    fn needs(&self) -> Needs {
        Needs::default()
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Vec<QueueEntry>> {
        tx.lease(&self.0).await
    }
}

/// Statements that were sent, in order.
type Sent = Arc<Mutex<Vec<String>>>;

fn watched(sent: &Sent) -> Options {
    let into = Arc::clone(sent);
    let watch = Watch::new(move |sql| into.lock().unwrap().push(sql.to_owned()));
    Options { watch, ..Options::default() }
}

async fn node(url: &DatabaseUrl, options: &Options) -> SqlShards {
    let map = Arc::new(BucketMap::even(&[SHARD]));
    SqlShards::open(&[(SHARD, url.clone())], map, options).await.unwrap()
}

async fn cluster(database: &str) -> (PostgresCluster, DatabaseUrl) {
    let cluster = PostgresCluster::start().await.unwrap();
    cluster.create_database(database).await.unwrap();
    let url = cluster.url(database).parse().unwrap();
    (cluster, url)
}

/// The account's messages, its modseq, and its inbox's next UID.
async fn state(node: &SqlShards, account: i64) -> (u64, i64, u32) {
    let mut snapshot = node.snapshot(SHARD).await.unwrap();
    let account = AccountId(account);
    let state = snapshot.account(account).await.unwrap().unwrap();
    let inbox = snapshot.mailboxes(account).await.unwrap().swap_remove(0);
    assert_eq!(inbox.total, state.messages);
    (state.messages, state.modseq.0, inbox.uid_next.0)
}

/// Several nodes set up and fill the same accounts at once, some in an order that makes deadlocks.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_accounts() {
    let (_cluster, url) = cluster("shard").await;
    // A deadlock is noticed after a second, and there are many.
    let options = Options { max_batch: 8, patience: Duration::from_secs(60), ..Options::default() };
    let nodes = [node(&url, &options).await, node(&url, &options).await, node(&url, &options).await];
    let adds = (0..240_usize).map(|number| {
        let accounts = match number % 4 {
            0 => vec![1, 2, 3],
            1 => vec![3, 2, 1],
            2 => vec![2],
            _ => vec![1, 3],
        };
        let add = Add { rashly: number % 8 < 2, ..Add::to(&accounts) };
        write(&nodes[number % 3], SHARD, add)
    });
    for (number, outcome) in future::join_all(adds).await.into_iter().enumerate() {
        let (added, _) = outcome.unwrap_or_else(|error| panic!("{number}: {error:?}"));
        assert!(added.iter().all(|added| matches!(added, Appended::New { .. })));
    }
    for account in 1..=3 {
        // Six modseqs went to the mailboxes.
        assert_eq!(state(&nodes[0], account).await, (180, 186, 181), "account {account}");
    }
    for node in nodes {
        node.close().await;
    }
}

/// Of the same entries, two nodes get different ones, and neither waits for the other.
#[tokio::test]
async fn nodes_lease_different_entries() {
    let (_cluster, url) = cluster("shard").await;
    let nodes = [node(&url, &Options::default()).await, node(&url, &Options::default()).await];
    write(&nodes[0], SHARD, Add::to(&[1])).await.unwrap().1.accounts.first().unwrap();
    for number in 0..20 {
        let id = QueueId::at(NOW, [number; 10]);
        assert!(write(&nodes[0], SHARD, Enqueue(id)).await.unwrap().1.queued);
    }
    let claims = (0..10_usize).map(|number| {
        let until = NOW.plus(Duration::from_secs(60));
        let lease = Lease { shard: SHARD, worker: format!("worker {number}"), now: NOW, until, limit: 2 };
        write(&nodes[number % 2], SHARD, Claim(lease))
    });
    let claimed = future::join_all(claims).await;
    let mut ids: Vec<_> =
        claimed.iter().flat_map(|claim| &claim.as_ref().unwrap().0).map(|entry| entry.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), count), (20, 20), "each once");
}

/// Restarts and crashes while mail is being written: callers wait, and nothing is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_are_survived() {
    let (mut cluster, url) = cluster("shard").await;
    let minute = Duration::from_secs(60);
    let shards =
        Arc::new(node(&url, &Options { patience: minute, quiet: minute, ..Options::default() }).await);
    let done = Arc::new(AtomicU64::new(0));
    let adds = (0..400_u64).map(|number| {
        let (shards, done) = (Arc::clone(&shards), Arc::clone(&done));
        async move {
            // Fifty at a time.
            while done.load(Ordering::SeqCst) + 50 < number {
                tokio::task::yield_now().await;
            }
            let outcome = write(shards.as_ref(), SHARD, Add::to(&[i64::try_from(number % 5).unwrap()])).await;
            done.fetch_add(1, Ordering::SeqCst);
            outcome.map(|(added, _)| added)
        }
    });
    let adds = tokio_util::task::TaskTracker::new().spawn(future::join_all(adds));
    for (after, crash) in [(40, false), (120, true), (240, false), (320, true)] {
        while done.load(Ordering::SeqCst) < after {
            tokio::task::yield_now().await;
        }
        if crash {
            cluster.crash().await.unwrap()
        } else {
            cluster.stop().await.unwrap()
        }
        cluster.resume().await.unwrap();
    }
    for outcome in adds.await.unwrap() {
        assert!(matches!(outcome.unwrap()[..], [Appended::New { .. }]));
    }
    for account in 0..5 {
        assert_eq!(state(&shards, account).await.0, 80, "account {account}");
    }
    let subject = shards.latest(SHARD).await.unwrap().accounts(None, 10).await.unwrap().len();
    assert_eq!(subject, 5, "single reads are sent again on new connections");
}

/// A server that is gone is told of in bounded time, and comes back by itself.
#[tokio::test]
async fn an_absent_server_makes_callers_come_again() {
    let (mut cluster, url) = cluster("shard").await;
    let options = Options { patience: Duration::from_millis(500), ..Options::default() };
    let shards = node(&url, &options).await;
    let _committed = write(&shards, SHARD, Add::to(&[1])).await.unwrap();
    cluster.stop().await.unwrap();
    let started = tokio::time::Instant::now();
    let adds = future::join_all((0..300).map(|_| write(&shards, SHARD, Add::to(&[1])))).await;
    assert!(adds.iter().all(|outcome| matches!(outcome, Err(Error::Unavailable(_)))), "{:?}", adds.last());
    let read = async { shards.latest(SHARD).await?.account(AccountId(1)).await };
    assert!(matches!(read.await, Err(Error::Unavailable(_))));
    assert!(matches!(shards.snapshot(SHARD).await.map(|_| ()), Err(Error::Unavailable(_))));
    assert!(matches!(shards.ping(SHARD).await, Err(Error::Unavailable(_))));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    cluster.resume().await.unwrap();
    let _committed = write(&shards, SHARD, Add::to(&[1])).await.unwrap();
    shards.ping(SHARD).await.unwrap();
    assert_eq!(state(&shards, 1).await.0, 2);
}

/// A delivery is five round trips, whether it is one message or fifty; a page is one, and so is what has changed.
#[tokio::test]
async fn batches_are_few_round_trips() {
    let (_cluster, url) = cluster("shard").await;
    let sent = Sent::default();
    let shards = node(&url, &Options { writers: 1, ..watched(&sent) }).await;
    let _committed = write(&shards, SHARD, Add::to(&[1])).await.unwrap();
    for count in [1_usize, 50] {
        sent.lock().unwrap().clear();
        let commits = shards.commits();
        let adds = future::join_all((0..count).map(|_| write(&shards, SHARD, Add::to(&[1])))).await;
        assert!(adds.iter().all(Result::is_ok));
        let (trips, batches) = (sent.lock().unwrap().len(), shards.commits() - commits);
        println!("{count} messages: {trips} round trips in {batches} transactions");
        assert_eq!(trips as u64, 5 * batches, "{:#?}", sent.lock().unwrap());
        assert!(batches <= 2);
    }
    sent.lock().unwrap().clear();
    let request = storage::PageRequest { mailbox: None, filter: Default::default(), before: None, limit: 50 };
    let page = shards.latest(SHARD).await.unwrap().page(AccountId(1), &request).await.unwrap();
    assert_eq!(page.len(), 50);
    assert_eq!(page[0].summary.subject, "a\u{FFFD}b", "what PostgreSQL cannot keep is replaced");
    let ids: Vec<_> = page.iter().map(|message| message.id).collect();
    let mut latest = shards.latest(SHARD).await.unwrap();
    assert_eq!(latest.contents(AccountId(1), &ids).await.unwrap().len(), 50);
    assert_eq!(latest.structure(AccountId(1), ids[0]).await.unwrap().as_deref(), Some(&b"structure"[..]));
    let changes = latest.changes(AccountId(1), ModSeq(0), 500).await.unwrap();
    assert_eq!((changes.messages.len(), changes.more), (52, false));
    assert_eq!(sent.lock().unwrap().len(), 4, "{:#?}", sent.lock().unwrap());
}

/// Nodes that start together migrate one at a time; a database of a newer version, or of another kind, is refused.
#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_looked_after() {
    let (cluster, url) = cluster("directory").await;
    let options = Options::default();
    let opened = future::join_all((0..6).map(|_| SqlDirectory::open(&url, &options))).await;
    assert!(opened.iter().all(Result::is_ok), "{:?}", opened.iter().find_map(|opened| opened.as_ref().err()));
    let shards = [ShardId(0), ShardId(1)];
    let maps =
        future::join_all(opened.iter().map(|opened| opened.as_ref().unwrap().bucket_map(&shards))).await;
    assert!(maps.iter().all(|map| **map.as_ref().unwrap() == BucketMap::even(&shards)), "{maps:?}");

    let map = Arc::new(BucketMap::even(&[SHARD]));
    let wrong = SqlShards::open(&[(SHARD, url.clone())], map, &options).await.map(|_| ());
    let Err(Error::Backend(wrong)) = wrong else { panic!("{wrong:?}") };
    assert!(wrong.to_string().contains("holds a directory"), "{wrong}");

    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_future', 0)";
    cluster.query("directory", newer).await.unwrap();
    for refused in [
        SqlDirectory::open(&url, &options).await.map(|_| ()),
        pending_migrations(&url, Schema::Directory).await.map(|_| ()),
    ] {
        let Err(Error::Backend(refused)) = refused else { panic!("{refused:?}") };
        assert!(refused.to_string().contains("is newer than this version"), "{refused}");
        assert!(!refused.to_string().contains("a-password"), "{refused}");
    }
    let wrong: DatabaseUrl =
        cluster.url("directory").replace("a-password-of-tests", "geheim").parse().unwrap();
    let refused = SqlDirectory::open(&wrong, &options).await.map(|_| ()).unwrap_err();
    let text = format!("{refused:?}");
    assert!(text.contains("password authentication failed") && !text.contains("geheim"), "{text}");
}
