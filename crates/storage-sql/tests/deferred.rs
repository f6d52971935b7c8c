//! Changes that are written to their rows later are seen by all who read, at once and whole: in this process, in another
//! one, and after a start.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use storage::{
    BucketMap, Error, FlagChange, Listed, Listing, Needs, Result, Shards as _, Snapshot, Transaction, Unit,
    write,
};
use storage_sql::{DatabaseUrl, Options, SqlShards};
use testkit::fixtures::new_message;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use types::{
    AccountId, Flags, MailboxId, MessageId, ModSeq, Role, ShardId, Timestamp,
    api::{Delivery, DeliveryState},
};

const SHARD: ShardId = ShardId(0);
const ACCOUNT: AccountId = AccountId(1);
const MESSAGES: u8 = 200;

struct Fill;

#[async_trait]
impl Unit for Fill {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![ACCOUNT], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.provision(ACCOUNT, Timestamp::from_seconds(1)).await?;
        for number in 0..MESSAGES {
            let at = Timestamp::from_seconds(i64::from(number));
            let id = MessageId::at(at, [number; 10]);
            tx.append(new_message(ACCOUNT, id, at, vec![number; 100])?).await?;
        }
        Ok(())
    }
}

/// Makes all of these have a flag, or not.
struct Mark {
    inbox: MailboxId,
    listed: Vec<Listed>,
    flagged: bool,
}

#[async_trait]
impl Unit for Mark {
    type Output = Vec<Listed>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![ACCOUNT], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<Vec<Listed>> {
        let mut change = FlagChange::default();
        *(if self.flagged { &mut change.add } else { &mut change.remove }) = Flags::FLAGGED;
        tx.change_listed(ACCOUNT, self.inbox, self.listed.clone(), &change).await
    }
}

struct Expunge {
    inbox: MailboxId,
    listed: Vec<Listed>,
}

#[async_trait]
impl Unit for Expunge {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![ACCOUNT], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.expunge_listed(ACCOUNT, self.inbox, &self.listed).await
    }
}

/// Nothing is written before somebody asks.
fn patient() -> Options {
    Options { defer_for: Duration::from_secs(86_400), ..Options::default() }
}

async fn open(path: &Path, options: &Options) -> Arc<SqlShards> {
    let map = Arc::new(BucketMap::even(&[SHARD]));
    Arc::new(SqlShards::open(&[(SHARD, DatabaseUrl::sqlite(path))], map, options).await.unwrap())
}

/// The inbox with 200 messages.
async fn filled(path: &Path, options: &Options) -> (Arc<SqlShards>, Listing) {
    let shards = open(path, options).await;
    let _told = write(&*shards, SHARD, Fill).await.unwrap();
    let listing = listing(&mut *shards.latest(SHARD).await.unwrap()).await;
    assert_eq!(listing.messages.len(), usize::from(MESSAGES));
    (shards, listing)
}

async fn listing(snapshot: &mut dyn Snapshot) -> Listing {
    let mailboxes = snapshot.mailboxes(ACCOUNT).await.unwrap();
    let inbox = mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Inbox)).unwrap().id;
    snapshot.listing(ACCOUNT, inbox, ModSeq(0)).await.unwrap().unwrap()
}

async fn mark(shards: &SqlShards, inbox: MailboxId, listed: Vec<Listed>, flagged: bool) -> Vec<Listed> {
    let unit = Mark { inbox, listed, flagged };
    write(shards, SHARD, unit).await.unwrap().0
}

/// What waits in the file, past everything that would write it.
fn waiting(path: &Path) -> i64 {
    let file = rusqlite::Connection::open(path).unwrap();
    file.query_row("SELECT count(*) FROM deferred", [], |row| row.get(0)).unwrap()
}

fn flagged(listing: &Listing) -> usize {
    listing.messages.iter().filter(|message| message.flags.contains(Flags::FLAGGED)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deferred_is_there_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let (shards, before) = filled(&path, &patient()).await;
    let inbox = before.mailbox.id;
    let listed = mark(&shards, inbox, before.messages.iter().cloned().collect(), true).await;
    let listed = mark(&shards, inbox, listed, false).await;
    let listed = mark(&shards, inbox, listed, true).await;
    let gone = listed.iter().take(80).cloned().collect();
    let _told = write(&*shards, SHARD, Expunge { inbox, listed: gone }).await.unwrap();
    assert_eq!(waiting(&path), 4);
    // What a crash leaves.
    let left = folder.path().join("left.db");
    for end in ["", "-wal"] {
        std::fs::copy(format!("{}{end}", path.display()), format!("{}{end}", left.display())).unwrap();
    }
    shards.close().await;

    let shards = open(&left, &patient()).await;
    let after = listing(&mut *shards.snapshot(SHARD).await.unwrap()).await;
    assert_eq!(after.messages.iter().collect::<Vec<_>>(), listed.iter().skip(80).collect::<Vec<_>>());
    assert_eq!(after.mailbox.total, 120);
    let news = shards.latest(SHARD).await.unwrap().changes(ACCOUNT, before.as_of, 1_000).await.unwrap();
    assert_eq!((news.messages.len(), news.removed.len()), (120, 80));
    assert_eq!(waiting(&left), 0);
    shards.close().await;
}

/// Nobody has asked: it is written all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deferred_is_written_soon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let (shards, before) =
        filled(&path, &Options { defer_for: Duration::from_millis(300), ..Options::default() }).await;
    mark(&shards, before.mailbox.id, before.messages.iter().cloned().collect(), true).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while waiting(&path) > 0 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(flagged(&listing(&mut *shards.latest(SHARD).await.unwrap()).await), usize::from(MESSAGES));
    shards.close().await;
}

/// Flags of all, and then what became of one, by one transaction.
struct MarkAndDeliver {
    ids: Vec<MessageId>,
}

#[async_trait]
impl Unit for MarkAndDeliver {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![ACCOUNT], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        let change = FlagChange { add: Flags::SEEN, ..FlagChange::default() };
        tx.change_flags(ACCOUNT, &self.ids, &change).await?;
        let (recipient, state) = ("bob@x.test".to_owned(), DeliveryState::Delivered);
        let sent = Delivery { recipient, state, reply: None, next_attempt_at: None };
        tx.set_delivery(ACCOUNT, self.ids[3], &[sent]).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_after_it_is_later() {
    let folder = tempfile::tempdir().unwrap();
    let (shards, before) = filled(&folder.path().join("shard.db"), &patient()).await;
    let ids: Vec<_> = before.messages.iter().map(|message| message.id).collect();
    let _told = write(&*shards, SHARD, MarkAndDeliver { ids: ids.clone() }).await.unwrap();
    let mut latest = shards.latest(SHARD).await.unwrap();
    let now = latest.account(ACCOUNT).await.unwrap().unwrap().modseq;
    let message = latest.messages(ACCOUNT, &ids[3..4]).await.unwrap().pop().unwrap();
    assert_eq!((message.modseq, message.flags, message.delivery.len()), (now, Flags::SEEN, 1));
    let news = latest.changes(ACCOUNT, ModSeq(now.0 - 1), 10).await.unwrap();
    assert_eq!(news.messages.len(), 1);
    shards.close().await;
}

/// Whoever wants to read what is deferred while another process writes waits as writers do, and no longer.
#[tokio::test(flavor = "multi_thread")]
async fn who_reads_what_cannot_be_written_now_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let options = Options { patience: Duration::from_millis(300), ..patient() };
    let (shards, before) = filled(&path, &options).await;
    mark(&shards, before.mailbox.id, before.messages.iter().cloned().collect(), true).await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for mut snapshot in [shards.snapshot(SHARD).await.unwrap(), shards.latest(SHARD).await.unwrap()] {
        let refused = snapshot.changes(ACCOUNT, ModSeq(0), 10).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    }
    // What is never late is read as before.
    let state = shards.latest(SHARD).await.unwrap().account(ACCOUNT).await.unwrap().unwrap();
    assert!(state.modseq > before.as_of);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(flagged(&listing(&mut *shards.snapshot(SHARD).await.unwrap()).await), usize::from(MESSAGES));
    shards.close().await;
}

/// Each change is one of all messages: whoever sees some with it and some without has seen half of one.
async fn check_whole(shards: &SqlShards, by_snapshot: bool) {
    let mut snapshot =
        if by_snapshot { shards.snapshot(SHARD).await.unwrap() } else { shards.latest(SHARD).await.unwrap() };
    let listing = listing(&mut *snapshot).await;
    let newest = listing.messages.iter().map(|message| message.modseq).max().unwrap();
    assert_eq!(newest, listing.mailbox.modseq, "the mailbox is as it is now, and its messages are not");
    assert!(listing.messages.iter().all(|message| message.modseq == newest));
    assert!([0, usize::from(MESSAGES)].contains(&flagged(&listing)));
    let ids: Vec<_> = listing.messages.iter().map(|message| message.id).collect();
    let messages = snapshot.messages(ACCOUNT, &ids).await.unwrap();
    let oldest = messages.iter().map(|message| message.modseq).min().unwrap();
    assert!(messages.iter().all(|message| message.modseq == oldest) && oldest >= newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_each_change_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    // A single connection is enough: nobody holds one while the writer writes.
    let options = Options { readers: 1, ..Options::default() };
    let (one, before) = filled(&path, &options).await;
    // As a command beside the server does.
    let two = open(&path, &options).await;
    let mut marking = JoinSet::new();
    marking.spawn({
        let (one, inbox) = (Arc::clone(&one), before.mailbox.id);
        let mut listed: Vec<_> = before.messages.iter().cloned().collect();
        async move {
            for round in 0..120 {
                listed = mark(&one, inbox, listed, round % 2 == 0).await;
            }
            listed
        }
    });
    let mut rounds = 0_u32;
    // At first some messages have never been changed.
    while one.latest(SHARD).await.unwrap().account(ACCOUNT).await.unwrap().unwrap().modseq == before.as_of {
        sleep(Duration::from_millis(1)).await;
    }
    let listed = loop {
        if let Some(marked) = marking.try_join_next() {
            break marked.unwrap();
        }
        check_whole(&one, rounds.is_multiple_of(2)).await;
        check_whole(&two, rounds.is_multiple_of(3)).await;
        rounds += 1;
    };
    for shards in [&one, &two] {
        check_whole(shards, true).await;
        let after = listing(&mut *shards.latest(SHARD).await.unwrap()).await;
        assert_eq!(after.messages.iter().collect::<Vec<_>>(), listed.iter().collect::<Vec<_>>());
    }
    assert!(rounds > 3, "{rounds}");
    two.close().await;
    one.close().await;
}
