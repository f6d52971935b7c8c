//! The load: clients that go on whatever happens, and note what was acknowledged, told, and refused.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    client::{Rest, Smtp},
    ledger::Ledger,
    town::{Addresses, Person, Town},
};

/// Running clients.
pub(crate) struct Load {
    shared: Arc<Shared>,
    /// Ends what sends.
    hush: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    addresses: Arc<RwLock<Addresses>>,
    people: Vec<Person>,
    ledger: Mutex<Ledger>,
    /// Subjects that WebSockets told of, by person; who is here listens, or has.
    told: Mutex<HashMap<Person, HashSet<String>>>,
    /// What people of one shard were refused.
    failures: Mutex<Vec<(usize, String)>>,
    next: AtomicU64,
}

/// Between two mails of one client.
const PAUSE: Duration = Duration::from_millis(50);
/// After a failure everything must go on by itself within this time.
const RECOVERY: Duration = Duration::from_secs(40);

/// People who must not have noticed anything since.
pub(crate) struct Unnoticed {
    shared: Arc<Shared>,
    shards: Vec<usize>,
    failures: usize,
}

impl Load {
    /// For each shard: a client that sends in, one that reads, one that writes to the other shard, one that listens.
    /// And one that sends to both.
    pub(crate) async fn start(town: &Town) -> Self {
        let shared = Arc::new(Shared {
            addresses: Arc::clone(&town.addresses),
            people: town.people.clone(),
            ledger: Mutex::default(),
            told: Mutex::default(),
            failures: Mutex::default(),
            next: AtomicU64::default(),
        });
        let (stop, hush, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let run = |until: &CancellationToken, task: Task| {
            let until = until.clone();
            tasks.spawn(async move { until.run_until_cancelled(task).await });
        };
        for shard in [0, 1] {
            let person = town.people_of(shard).next().unwrap().clone();
            run(&stop, Box::pin(Arc::clone(&shared).listens(person.clone())));
            run(&stop, Box::pin(Arc::clone(&shared).reads(person)));
        }
        // Who listens is told of what comes from then on.
        until(Instant::now() + RECOVERY, "everybody listens", async || {
            (shared.told.lock().unwrap().len() == 2).then_some(())
        })
        .await;
        for shard in [0, 1] {
            let (writer, other) = (
                town.people_of(shard).nth(1).unwrap().clone(),
                town.people_of(1 - shard).next().unwrap().clone(),
            );
            run(&hush, Box::pin(Arc::clone(&shared).sends_in(Some(shard))));
            run(&hush, Box::pin(Arc::clone(&shared).writes(writer, other)));
        }
        run(&hush, Box::pin(Arc::clone(&shared).sends_in(None)));
        Self { shared, hush, stop, tasks }
    }

    pub(crate) async fn run_for(&self, time: Duration) {
        sleep(time).await;
    }

    /// Begins to watch whether people of the shard notice anything.
    pub(crate) fn unnoticed(&self, shard: usize) -> Unnoticed {
        let failures = self.shared.failures.lock().unwrap().len();
        Unnoticed { shared: Arc::clone(&self.shared), shards: vec![shard], failures }
    }

    pub(crate) fn unnoticed_by_all(&self) -> Unnoticed {
        Unnoticed { shards: vec![0, 1], ..self.unnoticed(0) }
    }

    /// Waits until everybody gets mail from outside and from the other shard, and can read it.
    pub(crate) async fn recovers(&self, town: &Town, after: &str) {
        let begin = Instant::now();
        let deadline = begin + RECOVERY;
        let (first, last) = (
            &town.people[0],
            town.people.iter().find(|person| person.shard != town.people[0].shard).unwrap(),
        );
        let subject = self.shared.subject("across");
        until(deadline, after, async || {
            let rest = Rest::login(&self.shared.addresses, &first.email).await?;
            rest.send(&last.email, &subject).await.then(|| self.shared.sent(first, last, &subject))
        })
        .await;
        for person in &town.people {
            let outside = self.shared.subject("outside");
            until(deadline, after, async || {
                let mut smtp = Smtp::connect(&self.shared.addresses).await.ok()?;
                smtp.send(&[&person.email], &outside, true)
                    .await
                    .ok()?
                    .then(|| self.shared.received(person, &outside))
            })
            .await;
            until(deadline, after, async || {
                let found =
                    Rest::login(&self.shared.addresses, &person.email).await?.subjects("inbox", 400).await?;
                (found.contains(&outside) && (person != last || found.contains(&subject))).then_some(())
            })
            .await;
        }
        eprintln!("  everything went on after {:.1?}: {after}", begin.elapsed());
    }

    /// A mail that comes in at one node is told by the other within this time.
    pub(crate) async fn told_within(&self, time: Duration) {
        for shard in [0, 1] {
            let person = self.shared.people.iter().find(|person| person.shard == shard).unwrap();
            let subject = self.shared.subject("live");
            let mut smtp = Smtp::connect(&self.shared.addresses).await.unwrap();
            assert!(smtp.send(&[&person.email], &subject, false).await.unwrap());
            self.shared.received(person, &subject);
            let begin = Instant::now();
            until(begin + time, "news are told", async || {
                self.shared.told.lock().unwrap().get(person)?.contains(&subject).then_some(())
            })
            .await;
            eprintln!("  told after {:.0?}", begin.elapsed());
        }
    }

    /// Ends the load. What was acknowledged for those who listened has been told to them.
    pub(crate) async fn stop(self) -> Ledger {
        // Else there is always one more that was not told yet.
        self.hush.cancel();
        let deadline = Instant::now() + RECOVERY;
        while let Some(untold) = self.shared.untold() {
            assert!(Instant::now() < deadline, "not told: {untold}");
            sleep(Duration::from_millis(100)).await;
        }
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        std::mem::take(&mut *self.shared.ledger.lock().unwrap())
    }
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

impl Unnoticed {
    /// Nobody of them was refused anything.
    pub(crate) fn check(&self, during: &str) {
        let failures = self.shared.failures.lock().unwrap();
        let theirs: Vec<_> =
            failures.iter().skip(self.failures).filter(|(shard, _)| self.shards.contains(shard)).collect();
        assert!(theirs.is_empty(), "{during}, and others noticed: {theirs:?}");
    }
}

impl Shared {
    fn subject(&self, kind: &str) -> String {
        format!("{kind}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn received(&self, person: &Person, subject: &str) {
        let mut ledger = self.ledger.lock().unwrap();
        ledger.received.entry(person.clone()).or_default().insert(subject.to_owned());
    }

    fn sent(&self, from: &Person, to: &Person, subject: &str) {
        self.received(to, subject);
        let mut ledger = self.ledger.lock().unwrap();
        ledger.sent.entry(from.clone()).or_default().insert(subject.to_owned());
    }

    /// What somebody who listens was not told of, though it is theirs.
    fn untold(&self) -> Option<String> {
        let (ledger, told) = (self.ledger.lock().unwrap(), self.told.lock().unwrap());
        let untold = told.iter().flat_map(|(person, told)| {
            let untold = ledger.received[person].difference(told);
            untold.map(|subject| format!("{subject} to {}", person.email))
        });
        let untold: Vec<_> = untold.collect();
        (!untold.is_empty()).then(|| untold.join(", "))
    }

    fn failed(&self, shard: usize, what: String) {
        self.failures.lock().unwrap().push((shard, what));
    }

    /// Mail from outside for the people of a shard in turn; or for two people of different shards at once.
    async fn sends_in(self: Arc<Self>, shard: Option<usize>) {
        let of = |shard| self.people.iter().filter(move |person| person.shard == shard);
        loop {
            let Ok(mut smtp) = Smtp::connect(&self.addresses).await else {
                shard.inspect(|shard| self.failed(*shard, "no connection for SMTP".into()));
                sleep(PAUSE).await;
                continue;
            };
            for number in 0.. {
                let to: Vec<_> = match shard {
                    Some(shard) => of(shard).cycle().skip(number).take(1).collect(),
                    None => of(0).take(1).chain(of(1).take(1)).collect(),
                };
                let addresses: Vec<_> = to.iter().map(|person| person.email.as_str()).collect();
                let subject = self.subject("in");
                let sent = smtp.send(&addresses, &subject, number % 5 == 4).await;
                if let Ok(true) = sent {
                    to.iter().for_each(|person| self.received(person, &subject));
                } else {
                    shard.inspect(|shard| self.failed(*shard, format!("{subject}: {sent:?}")));
                }
                sleep(PAUSE).await;
                if sent.is_err() {
                    break;
                }
            }
        }
    }

    /// Looks into the inbox.
    async fn reads(self: Arc<Self>, person: Person) {
        loop {
            let Some(rest) = Rest::login(&self.addresses, &person.email).await else {
                self.failed(person.shard, format!("{} cannot log in", person.email));
                sleep(PAUSE).await;
                continue;
            };
            while rest.subjects("inbox", 50).await.is_some() {
                sleep(PAUSE).await;
            }
            self.failed(person.shard, format!("{} cannot read", person.email));
        }
    }

    /// Sends to somebody of the other shard.
    async fn writes(self: Arc<Self>, person: Person, to: Person) {
        loop {
            let Some(rest) = Rest::login(&self.addresses, &person.email).await else {
                sleep(PAUSE).await;
                continue;
            };
            loop {
                let subject = self.subject("sent");
                if !rest.send(&to.email, &subject).await {
                    self.failed(person.shard, format!("{} cannot send", person.email));
                    break;
                }
                self.sent(&person, &to, &subject);
                sleep(PAUSE).await;
            }
        }
    }

    /// Notes what is told, and goes on after what is known when the connection is lost.
    async fn listens(self: Arc<Self>, person: Person) {
        let mut known = None;
        loop {
            sleep(PAUSE).await;
            let Some(rest) = Rest::login(&self.addresses, &person.email).await else { continue };
            let Some(mut listener) = rest.listen(known).await else { continue };
            while let Some(event) = listener.next().await {
                // Also of `ready`, which has none.
                known = event["modseq"].as_i64().or(known);
                let created = event["created"].as_array().into_iter().flatten();
                let subjects = created.filter_map(|message| message["subject"].as_str().map(str::to_owned));
                self.told.lock().unwrap().entry(person.clone()).or_default().extend(subjects);
            }
        }
    }
}

/// Asks again until there is an answer.
async fn until<T>(deadline: Instant, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(value) = ask().await {
            return value;
        }
        assert!(Instant::now() < deadline, "it took too long: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
