//! Puts against collectors, request by request: whatever the order, what is acknowledged stays.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use blob::{S3Blobs, S3Keys, S3Limits};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use storage::Blobs;
use testkit::{
    S3Server,
    s3::{ACCESS_KEYS, SECRET_KEY, Treat},
};
use tokio::sync::oneshot;
use types::{Secret, ShardId, Timestamp};

const SHARD: ShardId = ShardId(0);
const BUCKET: &str = "mail";
const CONTENT: Bytes = Bytes::from_static(b"content");

/// Lets one client at a time make one request, in the order of a schedule: numbers of clients. When it is at its end,
/// or names a client that has finished, a collector goes on before the put.
#[derive(Default)]
struct Turns {
    schedule: Vec<usize>,
    /// Who made a request and has not come with the next.
    running: Option<usize>,
    /// Who has come with a request.
    waiting: HashMap<usize, oneshot::Sender<()>>,
    active: Vec<usize>,
    taken: Vec<usize>,
}

impl Turns {
    fn new(clients: usize, schedule: &[usize]) -> Arc<Mutex<Self>> {
        let schedule = schedule.iter().rev().copied().collect();
        Arc::new(Mutex::new(Self { schedule, active: (0..clients).collect(), ..Self::default() }))
    }

    /// Is done when it is the client's turn.
    fn wait(&mut self, client: usize) -> BoxFuture<'static, ()> {
        let (sender, turn) = oneshot::channel();
        self.waiting.insert(client, sender);
        self.rested(client);
        Box::pin(async move { turn.await.unwrap_or(()) })
    }

    fn finished(&mut self, client: usize) {
        self.active.retain(|other| *other != client);
        self.rested(client);
    }

    fn rested(&mut self, client: usize) {
        if self.running == Some(client) {
            self.running = None;
        }
        if self.running.is_some() {
            return;
        }
        while self.schedule.last().is_some_and(|next| !self.active.contains(next)) {
            self.schedule.pop();
        }
        let next = self
            .schedule
            .last()
            .or_else(|| self.active.iter().rev().find(|other| self.waiting.contains_key(other)));
        if let Some(next) = next.copied()
            && let Some(turn) = self.waiting.remove(&next)
        {
            self.schedule.pop();
            self.running = Some(next);
            self.taken.push(next);
            let _ = turn.send(());
        }
    }
}

async fn client(server: &S3Server, number: usize) -> S3Blobs {
    let keys = S3Keys {
        id: ACCESS_KEYS[number].to_owned(),
        secret: Secret::new(SECRET_KEY.to_owned()),
        session_token: None,
        region: None,
    };
    let limits = S3Limits {
        attempts: 1,
        attempt_time: Duration::from_secs(60),
        request_time: Duration::from_secs(60),
        ..S3Limits::default()
    };
    let url = server.url(BUCKET).parse().unwrap();
    S3Blobs::open(&url, &keys, &limits, number as u128).await.unwrap()
}

/// Client 0 puts a blob that is old, the others collect. Returns how often who had a turn.
async fn race(server: &S3Server, clients: &[S3Blobs], schedule: &[usize]) -> Vec<usize> {
    server.treat(|_| Treat::Serve);
    let (putter, collectors) = clients.split_first().unwrap();
    let id = putter.put(SHARD, CONTENT).await.unwrap();
    let object = server.object(BUCKET, &format!("blobs/0/{id}"));
    let day = Duration::from_secs(86_400);
    fs::File::options().write(true).open(&object).unwrap().set_modified(SystemTime::now() - day).unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    let before = Timestamp::default().plus(hour_ago.duration_since(SystemTime::UNIX_EPOCH).unwrap());

    let turns = Turns::new(clients.len(), schedule);
    let hook = Arc::clone(&turns);
    server.treat(move |asked| {
        let client = ACCESS_KEYS.iter().position(|key| *key == asked.access_key).unwrap();
        Treat::After(hook.lock().unwrap().wait(client))
    });
    let ids = [id];
    let collecting = join_all(collectors.iter().zip(1..).map(|(collector, number)| {
        let (turns, ids) = (Arc::clone(&turns), &ids);
        async move {
            collector.delete(SHARD, ids, before).await.unwrap();
            turns.lock().unwrap().finished(number);
        }
    }));
    let putting = async {
        putter.put(SHARD, CONTENT).await.unwrap();
        // The collectors may still be at it: what was promised must outlast them.
        turns.lock().unwrap().finished(0);
    };
    tokio::join!(putting, collecting);
    assert!(object.exists(), "{:?} lost the blob", turns.lock().unwrap().taken);
    let marks = server.object(BUCKET, "marks/0");
    assert_eq!(fs::read_dir(marks).unwrap().count(), 0, "marks are left");
    turns.lock().unwrap().taken.clone()
}

async fn clients(number: usize) -> (S3Server, Vec<S3Blobs>) {
    let server = S3Server::start(BUCKET).await.unwrap();
    let mut clients = Vec::new();
    for number in 0..number {
        clients.push(client(&server, number).await);
    }
    (server, clients)
}

/// Every order of the four requests of a put and the five of a collector; what a put that begins again does beyond
/// that comes after.
#[tokio::test]
async fn a_put_and_a_collector_in_every_order() {
    let (server, clients) = clients(2).await;
    let mut orders = 0;
    for bits in 0_u32..1 << 9 {
        if bits.count_ones() == 5 {
            let schedule: Vec<_> = (0..9).map(|at| (bits >> at & 1) as usize).collect();
            let taken = race(&server, &clients, &schedule).await;
            assert!(taken.starts_with(&schedule[..4]), "{taken:?} did not follow {schedule:?}");
            orders += 1;
        }
    }
    assert_eq!(orders, 126);
}

/// Two collectors at once have too many orders to try all.
#[tokio::test]
async fn a_put_and_two_collectors_in_many_orders() {
    let (server, clients) = clients(3).await;
    let mut state = 1_u32;
    for _ in 0..150 {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize % 3
        };
        let schedule: Vec<_> = (0..14).map(|_| next()).collect();
        race(&server, &clients, &schedule).await;
    }
}
