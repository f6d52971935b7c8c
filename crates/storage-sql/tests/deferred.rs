//! Changes that are written to their rows later are seen by all who read, at once and whole: in this process, in another
//! one, and after a start.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use storage::{
    Body, BucketMap, FlagChange, Listed, Listing, Needs, NewMessage, Result, Segment, Shards as _, Snapshot,
    Source, Summary, Transaction, Unit, write,
};
use storage_sql::{DatabaseUrl, Options, SqlShards};
use tokio::time::{Instant, sleep};
use types::{AccountId, BodyId, Flags, MailboxId, MessageId, ModSeq, Role, ShardId, ThreadId, Timestamp};

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
            let body = Body { segments: vec![Segment::Inline(vec![number; 100].into())] };
            tx.append(NewMessage {
                account: ACCOUNT,
                id,
                mailbox: Source::Role(Role::Inbox),
                flags: Flags::NONE,
                keywords: Vec::new(),
                thread: ThreadId(id.0),
                refs: Vec::new(),
                body: body.pack(BodyId(id.0))?,
                structure: Vec::new(),
                received_at: at,
                signature: Vec::new(),
                saved_at: at,
                sent_at: None,
                summary: Summary::default(),
                delivery: Vec::new(),
            })
            .await?;
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

async fn open(path: &Path) -> Arc<SqlShards> {
    let map = Arc::new(BucketMap::even(&[SHARD]));
    let options = Options::default();
    Arc::new(SqlShards::open(&[(SHARD, DatabaseUrl::sqlite(path))], map, &options).await.unwrap())
}

/// The inbox with 200 messages.
async fn filled(path: &Path) -> (Arc<SqlShards>, Listing) {
    let shards = open(path).await;
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
    let (shards, before) = filled(&path).await;
    let inbox = before.mailbox.id;
    let listed = mark(&shards, inbox, before.messages.iter().cloned().collect(), true).await;
    let listed = mark(&shards, inbox, listed, false).await;
    let listed = mark(&shards, inbox, listed, true).await;
    let gone = listed.iter().take(80).cloned().collect();
    let _told = write(&*shards, SHARD, Expunge { inbox, listed: gone }).await.unwrap();
    shards.close().await;
    assert_eq!(waiting(&path), 4);

    let shards = open(&path).await;
    let after = listing(&mut *shards.snapshot(SHARD).await.unwrap()).await;
    assert_eq!(after.messages.iter().collect::<Vec<_>>(), listed.iter().skip(80).collect::<Vec<_>>());
    assert_eq!(after.mailbox.total, 120);
    let news = shards.latest(SHARD).await.unwrap().changes(ACCOUNT, before.as_of, 1_000).await.unwrap();
    assert_eq!((news.messages.len(), news.removed.len()), (120, 80));
    assert_eq!(waiting(&path), 0);
    shards.close().await;
}

/// Nobody has asked: it is written all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deferred_is_written_soon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shard.db");
    let (shards, before) = filled(&path).await;
    mark(&shards, before.mailbox.id, before.messages.iter().cloned().collect(), true).await;
    assert_eq!(waiting(&path), 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while waiting(&path) > 0 {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(flagged(&listing(&mut *shards.latest(SHARD).await.unwrap()).await), usize::from(MESSAGES));
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
    let (one, before) = filled(&path).await;
    // As a command beside the server does.
    let two = open(&path).await;
    let marking = tokio::spawn({
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
    while !marking.is_finished() {
        check_whole(&one, rounds.is_multiple_of(2)).await;
        check_whole(&two, rounds.is_multiple_of(3)).await;
        rounds += 1;
    }
    let listed = marking.await.unwrap();
    for shards in [&one, &two] {
        check_whole(shards, true).await;
        let after = listing(&mut *shards.latest(SHARD).await.unwrap()).await;
        assert_eq!(after.messages.iter().collect::<Vec<_>>(), listed.iter().collect::<Vec<_>>());
    }
    assert!(rounds > 3, "{rounds}");
    two.close().await;
    one.close().await;
}
