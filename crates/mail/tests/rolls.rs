//! Lists of mailboxes: what a program has done to a mailbox is taken into its list without being read again.

#![cfg(test)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use cluster::LocalCache;
use mail::{Access, Change, NewLetter, Roll, Target};
use storage::{
    Needs, Result, Shards, Transaction, Unit,
    replica::{Cursor, Record},
};
use testkit::{Call, House, Meddled, Meddler, PostgresCluster, fixtures};
use types::{AccountId, Flags, MailboxId, ModSeq, ShardId};

/// Counts the reads that a list is made of.
struct Counted {
    inner: Arc<dyn Shards>,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl Meddler for Counted {
    fn inner(&self) -> &dyn Shards {
        &*self.inner
    }

    async fn before(&self, call: Call, shard: ShardId) -> Result<ShardId> {
        self.reads.fetch_add(usize::from(call == Call::Snapshot), Ordering::Relaxed);
        Ok(shard)
    }
}

async fn mailbox(access: &Access, name: &str) -> MailboxId {
    access.by_name(name).await.unwrap().unwrap().mailbox.id
}

async fn roll(access: &Access, mailbox: MailboxId) -> Arc<Roll> {
    access.roll(mailbox).await.unwrap().unwrap()
}

fn targets(roll: &Roll, places: &[usize]) -> Vec<Target> {
    let some = places.iter().filter_map(|place| roll.messages.get(*place));
    some.map(|message| Target { id: message.id, uid: message.uid }).collect()
}

fn letter(number: usize) -> NewLetter {
    NewLetter {
        raw: fixtures::mail("a@example.org", "alice@demo.test", &format!("Mail {number}"), "Text").into(),
        flags: Flags::NONE,
        keywords: Vec::new(),
        received_at: None,
    }
}

/// The same account on another node.
async fn elsewhere(house: &House) -> Access {
    let node = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    node.admin().open(&"alice@demo.test".parse().unwrap()).await.unwrap()
}

async fn assert_same(one: &Access, other: &Access, mailbox: MailboxId, when: &str) {
    let (one, other) = (roll(one, mailbox).await, roll(other, mailbox).await);
    assert_eq!((&one.mailbox, &one.messages), (&other.mailbox, &other.messages), "{when}");
}

/// Programs that change the same messages at the same time, on two nodes, by many commits each.
async fn lists_converge(house: House) {
    let alice = house.access("alice@demo.test").await.unwrap();
    let (inbox, trash) = (mailbox(&alice, "INBOX").await, mailbox(&alice, "Trash").await);
    alice.append(inbox, (0..1_200).map(letter).collect()).await.unwrap();
    let other = elsewhere(&house).await;
    let first = roll(&alice, inbox).await;
    let all = targets(&first, &(0..1_200).collect::<Vec<_>>());
    roll(&other, inbox).await;
    for step in 0..6_usize {
        let (seen, flagged, unflagged) =
            (add(Flags::SEEN, &[]), add(Flags::FLAGGED, &["work"]), remove(Flags::FLAGGED));
        let some: Vec<_> = all.iter().skip(step).step_by(3).cloned().collect();
        let since = roll(&alice, inbox).await.mailbox.modseq;
        let change = if step % 2 == 0 { seen } else { remove(Flags::SEEN) };
        let gone = some.get(step..step + 2).unwrap();
        let (one, two, three, four) = tokio::join!(
            alice.store(inbox, &all, &change, None),
            alice.store(inbox, &some, &flagged, Some(since)),
            other.store(inbox, &some, &unflagged, None),
            alice.move_all(inbox, gone, trash),
        );
        for stored in [one, two, three] {
            stored.unwrap();
        }
        four.unwrap();
        for mailbox in [inbox, trash] {
            assert_same(&alice, &other, mailbox, &format!("step {step}")).await;
            assert_same(&alice, &elsewhere(&house).await, mailbox, &format!("step {step}, read anew")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_converge_whoever_changes_the_mailbox() {
    lists_converge(House::open().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_converge_on_postgres() {
    let cluster = PostgresCluster::start().await.unwrap();
    lists_converge(House::open_on_postgres(&cluster).await.unwrap()).await;
}

fn add(flags: Flags, keywords: &[&str]) -> Change {
    Change::Add { flags, keywords: keywords.iter().map(|&keyword| keyword.into()).collect() }
}

fn remove(flags: Flags) -> Change {
    Change::Remove { flags, keywords: vec!["work".to_owned()] }
}

#[tokio::test]
async fn what_a_program_did_is_in_its_list_without_being_read() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let house = House::open_on(|inner| Arc::new(Meddled(Counted { inner, reads: counted }))).await.unwrap();
    let alice = house.access("alice@demo.test").await.unwrap();
    let (inbox, trash) = (mailbox(&alice, "INBOX").await, mailbox(&alice, "Trash").await);
    alice.append(inbox, (0..40).map(letter).collect()).await.unwrap();
    let elsewhere = elsewhere(&house).await;
    roll(&alice, inbox).await;
    for step in 0..28_usize {
        let known = roll(&alice, inbox).await;
        let some = targets(&known, &[step % 7, step % 7 + 3, step % 7 + 9]);
        let before = reads.load(Ordering::Relaxed);
        match step % 7 {
            0 => drop(alice.store(inbox, &some, &add(Flags::SEEN, &[]), None).await.unwrap()),
            1 => drop(alice.store(inbox, &some, &add(Flags::FLAGGED, &["work", "일"]), None).await.unwrap()),
            2 => drop(alice.store(inbox, &some, &remove(Flags::SEEN), None).await.unwrap()),
            3 => alice.remove(inbox, &some).await.unwrap(),
            4 => drop(alice.move_all(inbox, &some, trash).await.unwrap()),
            5 => {
                let mut new = letter(step);
                new.keywords = ["일", "b", "a", "b"].map(str::to_owned).to_vec();
                drop(alice.append(inbox, vec![letter(step + 100), new]).await.unwrap());
            }
            // Nothing changes.
            _ => drop(alice.store(inbox, &some, &remove(Flags::DRAFT), None).await.unwrap()),
        }
        let now = roll(&alice, inbox).await;
        assert_eq!(reads.load(Ordering::Relaxed), before, "step {step}: nothing was read");
        assert_same(&alice, &elsewhere, inbox, &format!("step {step}")).await;
        // Another node has come between.
        if step % 5 == 4 {
            let one = targets(&now, &[step % 3]);
            elsewhere.store(inbox, &one, &add(Flags::ANSWERED, &[]), None).await.unwrap();
            alice.store(inbox, &some, &add(Flags::NONE, &["later"]), None).await.unwrap();
            assert_same(&alice, &elsewhere, inbox, &format!("step {step}, both")).await;
        }
    }
    assert_same(&alice, &elsewhere, trash, "at the end").await;
}

#[tokio::test]
async fn a_mailbox_that_has_grown_is_in_memory_once_it_is_indexed() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let house = House::open_on(|inner| Arc::new(Meddled(Counted { inner, reads: counted }))).await.unwrap();
    let node = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let alice = node.admin().open(&"alice@demo.test".parse().unwrap()).await.unwrap();
    let inbox = mailbox(&alice, "INBOX").await;
    for (count, when) in [(1_200, "first"), (300, "and again")] {
        alice.append(inbox, (0..count).map(letter).collect()).await.unwrap();
        node.index_all().await.unwrap();
        let before = reads.load(Ordering::Relaxed);
        roll(&alice, inbox).await;
        assert_eq!(reads.load(Ordering::Relaxed), before, "{when}: nothing was read");
        assert_same(&alice, &elsewhere(&house).await, inbox, when).await;
    }
}

/// Brings the account back as these records have it.
struct Restore {
    account: AccountId,
    records: Vec<Record>,
}

#[async_trait]
impl Unit for Restore {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> Result<()> {
        tx.purge(self.account).await?;
        tx.import(self.account, &self.records).await
    }
}

/// A node that has seen more of a mailbox than there is in it since it was brought back.
#[tokio::test]
async fn a_list_of_another_history_is_never_told_or_kept() {
    let house = House::open().await.unwrap();
    let node = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let alice = node.admin().open(&"alice@demo.test".parse().unwrap()).await.unwrap();
    let (inbox, account) = (mailbox(&alice, "INBOX").await, alice.id());
    alice.append(inbox, (0..1_200).map(letter).collect()).await.unwrap();
    let (shards, shard) = (house.mail.shards(), house.mail.shards().shard_of(account));
    let (mut records, mut cursor) = (Vec::new(), Some(Cursor::after(ModSeq(0))));
    while let Some(at) = cursor {
        let page = shards.snapshot(shard).await.unwrap().export(account, at).await.unwrap();
        records.extend(page.records);
        cursor = page.next;
    }
    let before = roll(&alice, inbox).await;
    alice.store(inbox, &targets(&before, &[3, 4]), &add(Flags::FLAGGED, &[]), None).await.unwrap();
    assert!(roll(&alice, inbox).await.mailbox.modseq > before.mailbox.modseq);
    let _ = storage::write(&**shards, shard, Restore { account, records }).await.unwrap();

    node.index_all().await.unwrap();
    for when in ["at once", "again"] {
        let now = roll(&alice, inbox).await;
        assert_eq!((&now.mailbox, &now.messages), (&before.mailbox, &before.messages), "{when}");
        assert_same(&alice, &elsewhere(&house).await, inbox, when).await;
    }
    // What comes then has the same modseqs as what was seen before.
    alice.store(inbox, &targets(&before, &[9]), &add(Flags::SEEN, &[]), None).await.unwrap();
    assert_same(&alice, &elsewhere(&house).await, inbox, "after a change").await;
}
