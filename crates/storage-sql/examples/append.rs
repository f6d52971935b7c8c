//! Messages per second and commits of concurrent appends to SQLite shards:
//! `cargo run --release -p storage-sql --example append -- [FOLDER] [MESSAGES] [BODY BYTES]`.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use storage::{
    Appended, Body, BucketMap, Needs, NewMessage, Result, Segment, Shards, Source, Summary, Transaction,
    Unit, write,
};
use storage_sql::{DatabaseUrl, Options, SqlShards};
use types::{AccountId, Address, BodyId, Flags, MessageId, Role, ShardId, ThreadId, Timestamp};

const ACCOUNTS: i64 = 20;

/// What a delivery writes.
struct Deliver(NewMessage);

#[async_trait]
impl Unit for Deliver {
    type Output = Appended;

    fn needs(&self) -> Needs {
        let (account, id) = (self.0.account, self.0.id);
        Needs {
            accounts: vec![account],
            refs: self.0.refs.iter().map(|hash| (account, *hash)).collect(),
            ids: vec![(account, id)],
            ..Needs::default()
        }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Appended> {
        tx.provision(self.0.account, self.0.received_at).await?;
        tx.threads(self.0.account, &self.0.refs).await?;
        tx.append(self.0.clone()).await
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "append-bench".to_owned()));
    let messages: u64 = arguments.next().map_or(Ok(5_000), |text| text.parse())?;
    let bytes: usize = arguments.next().map_or(Ok(2_048), |text| text.parse())?;
    for shard_count in [1, 4] {
        for appenders in [1, 10, 50, 200] {
            let name = format!("{shard_count}-{appenders}");
            let files: Vec<_> = (0..shard_count)
                .map(|id| (ShardId(id), DatabaseUrl::sqlite(folder.join(&name).join(format!("{id}.db")))))
                .collect();
            let ids: Vec<_> = files.iter().map(|(id, _)| *id).collect();
            let map = Arc::new(BucketMap::even(&ids));
            let shards = Arc::new(SqlShards::open(&files, map, &Options::default()).await?);
            let total = if appenders == 1 { messages / 5 } else { messages };
            measure(&shards, appenders, total, bytes).await?;
            shards.close().await;
        }
    }
    Ok(())
}

async fn measure(shards: &Arc<SqlShards>, appenders: u64, messages: u64, bytes: usize) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let tasks = tokio_util::task::TaskTracker::new();
    let started = Instant::now();
    for _ in 0..appenders {
        let (shards, next) = (Arc::clone(shards), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= messages {
                    return Ok::<_, storage::Error>(());
                }
                let message = message(number, bytes)?;
                let shard = shards.shard_of(message.account);
                let (_, committed) = write(shards.as_ref(), shard, Deliver(message)).await?;
                assert!(!committed.accounts.is_empty());
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds().unwrap_or_default();
    println!(
        "{} shards, {appenders:>3} appenders, {bytes} B: {:>7.0} messages/s in {} commits (process CPU so far {cpu:.1} s)",
        shards.all().len(),
        f64::from(u32::try_from(messages).unwrap_or(u32::MAX)) / seconds,
        shards.commits(),
    );
    Ok(())
}

fn message(number: u64, bytes: usize) -> Result<NewMessage> {
    let at = Timestamp::from_millis(1_800_000_000_000 + i64::try_from(number).unwrap_or(0));
    let mut random = [0; 10];
    random.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    let line = format!("{number:>20} lines of text that are not all the same, but shrink a little\r\n");
    let text: Vec<u8> = line.bytes().cycle().take(bytes).collect();
    let body = Body { segments: vec![Segment::Inline(text.into())] };
    let id = MessageId::at(at, random);
    Ok(NewMessage {
        account: AccountId(1 + i64::try_from(number).unwrap_or(0) % ACCOUNTS),
        id,
        mailbox: Source::Role(Role::Inbox),
        flags: Flags::NONE,
        keywords: Vec::new(),
        thread: ThreadId(id.0),
        refs: vec![i64::try_from(number).unwrap_or(0).wrapping_mul(0x1234_5678_9ABC_DEF1)],
        body: body.pack(BodyId::at(at, random))?,
        structure: vec![7; 300],
        received_at: at,
        signature: Vec::new(),
        saved_at: at,
        sent_at: Some(at),
        summary: Summary {
            from: Address { name: "Somebody".to_owned(), email: "somebody@example.test".to_owned() },
            to: vec![Address { name: String::new(), email: "someone@example.test".to_owned() }],
            subject: format!("Message {number}"),
            preview: line,
            has_attachments: false,
        },
        delivery: Vec::new(),
    })
}

/// User and system time of this process (Linux, 100 ticks a second).
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(") ")?.1;
    let mut fields = after_name.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}
