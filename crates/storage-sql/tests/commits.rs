//! Commits whose answer does not arrive: a proxy before the server loses it, or the `COMMIT` itself. No unit counts twice,
//! and every caller hears what really happened.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use storage::{BucketMap, Committed, Error, Needs, NewMailbox, Result, Transaction, Unit, write};
use storage_sql::{DatabaseUrl, Options, SqlShards, Watch};
use testkit::PostgresCluster;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    sync::Notify,
    task::JoinSet,
};
use types::{AccountId, ShardId, Timestamp};

const SHARD: ShardId = ShardId(0);
const ACCOUNT: AccountId = AccountId(1);
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const COMMIT: &[u8] = b"COMMIT\0";

/// What happens to the next `COMMIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The server commits; its answer is lost with the connection.
    LosesAnswer,
    /// The server never hears of it, but of the end of the connection.
    LosesCommit,
    /// The server hears of neither, and keeps the transaction open.
    KeepsServerWaiting,
    /// The server commits; then there is no way to it any more.
    LosesServer,
    /// The server never hears of it, and there is no way to it until [`Proxy::reopen`].
    LosesWay,
}

/// Hands connections on to a server.
struct Proxy {
    address: SocketAddr,
    fault: Arc<Mutex<Option<Fault>>>,
    closed: Arc<Notify>,
    opened: Arc<Notify>,
    /// It and its connections end with this.
    _task: JoinSet<()>,
}

impl Proxy {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let fault: Arc<Mutex<Option<Fault>>> = Arc::default();
        let next = Arc::clone(&fault);
        let (closed, opened) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (closing, opening) = (Arc::clone(&closed), Arc::clone(&opened));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                tokio::select! {
                    client = listener.accept() => {
                        open.spawn(hand_on(client.unwrap().0, server, Arc::clone(&next)));
                    }
                    Some(ended) = open.join_next() => match ended.unwrap() {
                        Some(Fault::LosesServer) => return,
                        Some(Fault::LosesWay) => {
                            open.shutdown().await;
                            closing.notify_one();
                            opening.notified().await;
                        }
                        _ => {}
                    },
                }
            }
        });
        Self { address, fault, closed, opened, _task: task }
    }

    fn next_commit(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// Waits until the way to the server is closed.
    async fn closed(&self) {
        self.closed.notified().await;
    }

    fn reopen(&self) {
        self.opened.notify_one();
    }
}

/// Passes bytes on both ways until one side ends, or a fault happens.
async fn hand_on(client: TcpStream, server: SocketAddr, next: Arc<Mutex<Option<Fault>>>) -> Option<Fault> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = TcpStream::connect(server).await.ok()?.into_split();
    loop {
        tokio::select! {
            said = read(&mut from_client) => {
                let said = said?;
                let is_commit = said.windows(COMMIT.len()).any(|part| part == COMMIT);
                let fault = if is_commit { next.lock().unwrap().take() } else { None };
                match fault {
                    Some(Fault::LosesCommit | Fault::LosesWay) => return fault,
                    Some(Fault::KeepsServerWaiting) => {
                        drop((from_client, to_client));
                        // Until the server gives it up by itself.
                        while read(&mut from_server).await.is_some() {}
                        return fault;
                    }
                    Some(Fault::LosesAnswer | Fault::LosesServer) => {
                        to_server.write_all(&said).await.ok()?;
                        assert!(read(&mut from_server).await.is_some(), "the server answers");
                        return fault;
                    }
                    None => to_server.write_all(&said).await.ok()?,
                }
            }
            answer = read(&mut from_server) => to_client.write_all(&answer?).await.ok()?,
        }
    }
}

async fn read(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 65_536];
    let count = from.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
    bytes.truncate(count);
    Some(bytes)
}

/// Makes a mailbox, and counts how often it ran.
struct Make(Arc<AtomicU32>);

#[async_trait]
impl Unit for Make {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![ACCOUNT], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        let run = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tx.provision(ACCOUNT, NOW).await?;
        let name = format!("Run {run}");
        tx.create_mailbox(NewMailbox { account: ACCOUNT, name, parent: None, role: None, now: NOW }).await?;
        Ok(())
    }
}

/// A proxy before a shard's database, and the URL of the shard there.
async fn before(cluster: &PostgresCluster) -> (Proxy, DatabaseUrl) {
    cluster.create_database("shard").await.unwrap();
    let url = cluster.url("shard");
    let (start, rest) = url.split_once('@').unwrap();
    let (server, rest) = rest.split_once('/').unwrap();
    let proxy = Proxy::start(server.parse().unwrap()).await;
    let url = format!("{start}@{}/{rest}", proxy.address).parse().unwrap();
    (proxy, url)
}

/// How often the unit runs, what its caller hears, and which run's mailbox is there afterwards.
async fn check(fault: Fault, runs: u32, is_told: fn(&Result<((), Committed)>) -> bool, mailbox: &str) {
    let cluster = PostgresCluster::start().await.unwrap();
    let (proxy, url) = before(&cluster).await;
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let watch = Watch::new(move |sql| {
        count.fetch_add(u32::from(sql.contains("pg_terminate_backend")), Ordering::SeqCst);
    });
    let options = Options { watch, patience: Duration::from_secs(2), ..Options::default() };
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let shards = SqlShards::open(&[(SHARD, url)], map, &options).await.unwrap();
    let ran = Arc::new(AtomicU32::new(0));

    proxy.next_commit(fault);
    let told = write(&shards, SHARD, Make(Arc::clone(&ran))).await;
    assert!(is_told(&told), "{fault:?}: {told:?}");
    assert_eq!(ran.load(Ordering::SeqCst), runs, "{fault:?}: runs");
    assert!(asked.load(Ordering::SeqCst) > 0, "{fault:?}: the server was asked");
    let there = "SELECT string_agg(name, ', ') FROM mailbox WHERE name LIKE 'Run %'";
    assert_eq!(cluster.query("shard", there).await.unwrap(), mailbox, "{fault:?}");
    if fault != Fault::LosesServer {
        let _committed = write(&shards, SHARD, Make(ran)).await.unwrap();
        shards.close().await;
    }
}

fn is_success(told: &Result<((), Committed)>) -> bool {
    told.as_ref().is_ok_and(|(_, committed)| committed.accounts.first().is_some_and(|(id, _)| *id == ACCOUNT))
}

#[tokio::test]
async fn what_was_committed_is_not_done_again() {
    check(Fault::LosesAnswer, 1, is_success, "Run 1").await;
}

#[tokio::test]
async fn what_was_not_committed_is_done_again() {
    check(Fault::LosesCommit, 2, is_success, "Run 2").await;
}

#[tokio::test]
async fn what_would_stay_open_is_ended_and_done_again() {
    check(Fault::KeepsServerWaiting, 2, is_success, "Run 2").await;
}

#[tokio::test]
async fn what_nobody_can_tell_is_not_done_again() {
    check(Fault::LosesServer, 1, |told| matches!(told, Err(Error::Unavailable(_))), "Run 1").await;
}

/// After a crash the server gives ids of transactions out again: what others committed under the same id says nothing.
#[tokio::test]
async fn what_a_crash_took_is_done_again() {
    // Nothing is written to the disk but by commits.
    let mut cluster = PostgresCluster::start_with(&["wal_writer_delay=10s"]).await.unwrap();
    let (proxy, url) = before(&cluster).await;
    let options = Options { patience: Duration::from_secs(30), ..Options::default() };
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let shards = SqlShards::open(&[(SHARD, url)], map, &options).await.unwrap();
    let ran = Arc::new(AtomicU32::new(0));

    proxy.next_commit(Fault::LosesWay);
    let crash = async {
        proxy.closed().await;
        cluster.crash().await.unwrap();
        cluster.resume().await.unwrap();
        for _ in 0..20 {
            cluster.query("shard", "SELECT pg_current_xact_id()").await.unwrap();
        }
        proxy.reopen();
    };
    let (told, ()) = tokio::join!(write(&shards, SHARD, Make(Arc::clone(&ran))), crash);
    assert!(is_success(&told), "{told:?}");
    let there = "SELECT string_agg(name, ', ') FROM mailbox WHERE name LIKE 'Run %'";
    assert_eq!(cluster.query("shard", there).await.unwrap(), "Run 2");
    assert_eq!(ran.load(Ordering::SeqCst), 2);
    shards.close().await;
}
