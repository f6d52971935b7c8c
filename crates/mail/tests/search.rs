//! What is found, and indexed, while files of mail cannot be read.

#![cfg(test)]

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::LocalCache;
use futures::stream::BoxStream;
use mail::{Access, Error, Hint, Service, Texts};
use message::Plain;
use search::{Hits, Op, Rebuild, Search, Size};
use storage::{BlobInfo, Blobs, ByteStream, Result};
use testkit::{House, fixtures, house::PASSWORD};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use types::{AccountId, BlobId, MessageId, Secret, ShardId, Timestamp, query::Query};

const ALICE: &str = "alice@demo.test";

/// Blobs that are not to be had while it is so said.
struct Away {
    inner: Arc<dyn Blobs>,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl Blobs for Away {
    async fn put(&self, shard: ShardId, bytes: Bytes) -> Result<BlobId> {
        self.inner.put(shard, bytes).await
    }

    async fn put_stream(&self, shard: ShardId, stream: ByteStream) -> Result<(BlobId, u64)> {
        self.inner.put_stream(shard, stream).await
    }

    async fn open(&self, shard: ShardId, id: BlobId, range: Range<u64>) -> Result<Option<ByteStream>> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(storage::Error::Unavailable("no answer".into()));
        }
        self.inner.open(shard, id, range).await
    }

    async fn size(&self, shard: ShardId, id: BlobId) -> Result<Option<u64>> {
        self.inner.size(shard, id).await
    }

    async fn delete(&self, shard: ShardId, ids: &[BlobId], put_before: Timestamp) -> Result<u64> {
        self.inner.delete(shard, ids, put_before).await
    }

    async fn list(&self, shard: ShardId) -> Result<BoxStream<'static, Result<BlobInfo>>> {
        self.inner.list(shard).await
    }
}

/// An index that is never sure of a text, as MeiliSearch is not of long phrases.
struct Unsure(Arc<dyn Search>);

#[async_trait]
impl Search for Unsure {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        self.0.apply(ops).await
    }

    async fn find(
        &self,
        account: AccountId,
        query: &Query,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Hits> {
        let mut hits = self.0.find(account, query, before, limit).await?;
        hits.hits.iter_mut().for_each(|hit| hit.texts = None);
        Ok(hits)
    }

    async fn forget(&self, account: AccountId) -> Result<()> {
        self.0.forget(account).await
    }

    async fn size(&self) -> Result<Size> {
        self.0.size().await
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>> {
        self.0.rebuild().await
    }
}

/// A node that remembers no texts, with the switch of its blobs.
async fn node(house: &House) -> (Service, Arc<AtomicBool>) {
    let is_away = Arc::new(AtomicBool::new(false));
    let node = house.node_of(|parts| {
        parts.blobs = Arc::new(Away { inner: Arc::clone(&parts.blobs), is_away: Arc::clone(&is_away) });
        parts.search = Arc::new(Unsure(Arc::clone(&parts.search)));
    });
    (node.await.unwrap(), is_away)
}

async fn deliver(house: &House, to: &str, raw: Vec<u8>) -> MessageId {
    let id = house.mail.new_id();
    let account = house.access(to).await.unwrap().id();
    let recipients = vec![(to.parse().unwrap(), account).into()];
    let terms = types::Terms::default();
    let return_path = Some("x@elsewhere.test".parse().unwrap());
    let mail = mail::Incoming { id, return_path, recipients, terms, raw: raw.into() };
    house.mail.deliver(mail).await.unwrap();
    id
}

/// With a text so large that it lies in the blob store, and these words at its end.
fn with_file(words: &str) -> Vec<u8> {
    let rows = "name,value\r\n".repeat(20_000);
    format!(
        "From: x@y.test\r\nSubject: Figures\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\n\r\nSee below.\r\n--b\r\nContent-Type: text/csv\r\n\
         Content-Disposition: attachment; filename=figures.csv\r\n\r\n{rows}{words}\r\n--b--\r\n"
    )
    .into_bytes()
}

async fn found(access: &Access, query: &str) -> usize {
    access.search(query, None, None).await.unwrap().messages.len()
}

#[tokio::test]
async fn a_file_that_cannot_be_read_now_is_an_error_and_not_nothing() {
    let house = House::open().await.unwrap();
    deliver(&house, ALICE, with_file("needle in the last row")).await;
    house.mail.index_all().await.unwrap();
    let (node, is_away) = node(&house).await;
    let alice = node.admin().open(&ALICE.parse().unwrap()).await.unwrap();
    let phrase = "\"needle in the last row\"";
    assert_eq!(found(&alice, phrase).await, 1);
    assert_eq!(found(&alice, "\"needle in the first row\"").await, 0);
    is_away.store(true, Ordering::SeqCst);
    let error = alice.search(phrase, None, None).await.unwrap_err();
    assert!(matches!(error, Error::Storage(storage::Error::Unavailable(_))), "{error}");
    is_away.store(false, Ordering::SeqCst);
    assert_eq!(found(&alice, phrase).await, 1);
}

#[tokio::test]
async fn texts_are_the_same_wherever_they_lie() {
    let house = House::open().await.unwrap();
    let mails =
        [with_file("needle in the last row"), fixtures::mail("x@y.test", ALICE, "Straw", "needle in hay")];
    let mut ids = Vec::new();
    for raw in &mails {
        ids.push(deliver(&house, ALICE, raw.clone()).await);
    }
    let (node, is_away) = node(&house).await;
    let alice = node.admin().open(&ALICE.parse().unwrap()).await.unwrap();
    is_away.store(true, Ordering::SeqCst);
    let error = alice.texts(&ids, Texts::All).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    is_away.store(false, Ordering::SeqCst);
    for ids in [ids.clone(), ids.iter().rev().copied().collect()] {
        let texts = house.access(ALICE).await.unwrap().texts(&ids, Texts::All).await.unwrap();
        assert_eq!(alice.texts(&ids, Texts::All).await.unwrap(), texts);
        let mut bodies: Vec<_> = texts.iter().flatten().map(|plain| plain.bodies.clone()).collect();
        bodies.sort_by_key(|bodies| std::cmp::Reverse(bodies.concat().len()));
        let wanted = mails.iter().map(|raw| Plain::of(&message::parse(raw).structure, raw).bodies);
        assert_eq!(bodies, wanted.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn what_cannot_be_read_now_keeps_nobody_else_from_being_found() {
    let house = House::open().await.unwrap();
    let admin = house.mail.admin();
    deliver(&house, ALICE, with_file("needle")).await;
    let mut others = Vec::new();
    for n in 0..20 {
        let address = format!("later{n}@demo.test");
        admin.add_account(&address.parse().unwrap(), "", Secret::new(PASSWORD.into()), None).await.unwrap();
        deliver(&house, &address, fixtures::mail("x@y.test", &address, "News", "words")).await;
        others.push(address);
    }
    let (node, is_away) = node(&house).await;
    is_away.store(true, Ordering::SeqCst);
    let error = node.index_all().await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    for address in &others {
        let access = node.admin().open(&address.parse().unwrap()).await.unwrap();
        assert_eq!(found(&access, "words").await, 1, "{address}");
    }
    is_away.store(false, Ordering::SeqCst);
    node.index_all().await.unwrap();
    let alice = node.admin().open(&ALICE.parse().unwrap()).await.unwrap();
    assert_eq!(found(&alice, "needle").await, 1);
    assert!(node.admin().indexed().await.unwrap().0.iter().all(|shard| shard.behind == 0));
}

#[tokio::test]
async fn a_search_that_reads_much_goes_on_by_its_cursor() {
    let house = House::open().await.unwrap();
    let mut sent = Vec::new();
    for _ in 0..25 {
        let raw = fixtures::mail("x@y.test", ALICE, "Straw", "needle in hay");
        sent.push(deliver(&house, ALICE, raw).await);
    }
    house.mail.index_all().await.unwrap();
    let node = house.node_of(|parts| {
        parts.search = Arc::new(Unsure(Arc::clone(&parts.search)));
        parts.config.max_search_read = 1;
    });
    let alice = node.await.unwrap().admin().open(&ALICE.parse().unwrap()).await.unwrap();
    let (mut all, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = alice.search("\"needle in hay\"", cursor.as_deref(), None).await.unwrap();
        all.extend(page.messages.iter().map(|message| message.id));
        pages += 1;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    // Received in the same moment, they are in the order of their ids.
    sent.sort_by(|one, other| other.cmp(one));
    assert_eq!((all, pages), (sent, 2));
}

/// What a command commits beside the node is told to those who listen on it, though no bus connects the two.
#[tokio::test]
async fn what_others_commit_is_heard() {
    let house = House::open().await.unwrap();
    let node = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    deliver(&house, "alice@demo.test", fixtures::mail("x@y.test", "alice@demo.test", "before", "Hello"))
        .await;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (indexer, until) = (node.clone(), stop.clone());
    let running = tasks.spawn(async move { indexer.run_indexer(mail::everything(), until).await });
    let alice = node.admin().open(&"alice@demo.test".parse().unwrap()).await.unwrap();
    let known = alice.modseq().await.unwrap();
    let mut listening = alice.subscribe();
    deliver(&house, "alice@demo.test", fixtures::mail("x@y.test", "alice@demo.test", "after", "Hello")).await;
    let heard = async {
        loop {
            match listening.next().await {
                Hint::ChangedTo(modseq) if modseq > known => return,
                Hint::ChangedTo(_) | Hint::Lagged => {}
            }
        }
    };
    timeout(Duration::from_secs(10), heard).await.expect("it is told");
    stop.cancel();
    running.await.unwrap();
}
