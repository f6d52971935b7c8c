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
use types::{BlobId, Secret, ShardId, Timestamp};

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
        id: (*ACCESS_KEYS.get(number).unwrap()).to_owned(),
        secret: Secret::new(SECRET_KEY.to_owned()),
        session_token: None,
        region: None,
    };
    let limits = S3Limits {
        attempts: 1,
        attempt_time: Duration::from_secs(60),
        request_time: Duration::from_secs(60),
        put_time: Duration::from_millis(300),
        ..S3Limits::default()
    };
    let url = server.url(BUCKET).parse().unwrap();
    S3Blobs::open(&url, &keys, &limits, number as u128).await.unwrap()
}

/// Client 0 puts a blob that is old, the others collect, in a shard that is new to all. Returns how often who had a
/// turn.
#[expect(clippy::disallowed_methods, reason = "the S3 server of the tests goes by the real clock")]
async fn race(server: &S3Server, clients: &[S3Blobs], shard: u16, schedule: &[usize]) -> Vec<usize> {
    let (putter, collectors) = clients.split_first().unwrap();
    let shard = ShardId(shard);
    let id = BlobId(blake3::hash(&CONTENT).into());
    let object = server.object(BUCKET, &format!("blobs/{shard}/{id}"));
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(&object, CONTENT).unwrap();
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
            collector.delete(shard, ids, before).await.unwrap();
            turns.lock().unwrap().finished(number);
        }
    }));
    let putting = async {
        // Not earlier, or its listing would be too old when its turn comes.
        while turns.lock().unwrap().schedule.last().is_some_and(|next| *next != 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        putter.put(shard, CONTENT).await.unwrap();
        // The collectors may still be at it: what was promised must outlast them.
        turns.lock().unwrap().finished(0);
    };
    tokio::join!(putting, collecting);
    let taken = turns.lock().unwrap().taken.clone();
    assert!(object.exists(), "{taken:?} of {schedule:?} lost the blob");
    let marks = server.object(BUCKET, &format!("marks/{shard}"));
    assert_eq!(fs::read_dir(marks).unwrap().count(), 0, "marks are left");
    taken
}

/// Collectors wait, so races are run beside each other, each row on a server of its own.
async fn races(number: usize, schedules: &[Vec<usize>]) {
    const ROWS: usize = 16;
    join_all(schedules.chunks(schedules.len().div_ceil(ROWS)).map(|row| async move {
        let server = S3Server::start(BUCKET).await.unwrap();
        let mut clients = Vec::new();
        for number in 0..number {
            clients.push(client(&server, number).await);
        }
        for (shard, schedule) in (0..).zip(row) {
            let taken = race(&server, &clients, shard, schedule).await;
            // All but the put's last two, which it need not make.
            let follows = schedule.iter().zip(&taken).take_while(|(a, b)| a == b).count();
            assert!(follows >= 2, "{taken:?} did not follow {schedule:?}");
        }
    }))
    .await;
}

/// Every order of the first four requests of a put (two, if it does not begin again) and the five of a collector; what
/// a put does beyond that comes after.
#[tokio::test]
async fn a_put_and_a_collector_in_every_order() {
    let schedules: Vec<Vec<_>> = (0_u32..1 << 9)
        .filter(|bits| bits.count_ones() == 5)
        .map(|bits| (0..9).map(|at| (bits >> at & 1) as usize).collect())
        .collect();
    assert_eq!(schedules.len(), 126);
    races(2, &schedules).await;
}

/// Two collectors at once have too many orders to try all.
#[tokio::test]
async fn a_put_and_two_collectors_in_many_orders() {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % 3
    };
    let schedules: Vec<Vec<_>> = (0..150).map(|_| (0..14).map(|_| next()).collect()).collect();
    races(3, &schedules).await;
}
