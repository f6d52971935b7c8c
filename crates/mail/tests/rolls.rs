//! Lists of mailboxes: what a program has done to a mailbox is taken into its list without being read again.

#![cfg(test)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use cluster::LocalCache;
use mail::{Access, Change, NewLetter, Roll, Target};
use storage::{Result, Shards};
use testkit::{Call, House, Meddled, Meddler, fixtures};
use types::{EmailAddress, Flags, MailboxId, ShardId};

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

#[tokio::test]
async fn what_a_program_did_is_in_its_list_without_being_read() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let house = House::open_on(|inner| Arc::new(Meddled(Counted { inner, reads: counted }))).await.unwrap();
    let alice = house.access("alice@demo.test").await.unwrap();
    let (inbox, trash) = (mailbox(&alice, "INBOX").await, mailbox(&alice, "Trash").await);
    let letter = |number: usize| NewLetter {
        raw: fixtures::mail("a@example.org", "alice@demo.test", &format!("Mail {number}"), "Text").into(),
        flags: Flags::NONE,
        keywords: Vec::new(),
        received_at: None,
    };
    alice.append(inbox, (0..40).map(letter).collect()).await.unwrap();
    let node = house.node(Arc::new(LocalCache::new(1 << 20))).await.unwrap();
    let address: EmailAddress = "alice@demo.test".parse().unwrap();
    let elsewhere = node.admin().open(&address).await.unwrap();

    let add = |flags, keywords: &[&str]| Change::Add {
        flags,
        keywords: keywords.iter().map(|&k| k.into()).collect(),
    };
    let remove = |flags| Change::Remove { flags, keywords: vec!["work".to_owned()] };
    roll(&alice, inbox).await;
    for step in 0..24_usize {
        let known = roll(&alice, inbox).await;
        let some = targets(&known, &[step % 7, step % 7 + 3, step % 7 + 9]);
        let before = reads.load(Ordering::Relaxed);
        match step % 6 {
            0 => drop(alice.store(inbox, &some, &add(Flags::SEEN, &[]), None).await.unwrap()),
            1 => drop(alice.store(inbox, &some, &add(Flags::FLAGGED, &["work", "일"]), None).await.unwrap()),
            2 => drop(alice.store(inbox, &some, &remove(Flags::SEEN), None).await.unwrap()),
            3 => alice.remove(inbox, &some).await.unwrap(),
            4 => drop(alice.move_all(inbox, &some, trash).await.unwrap()),
            // Nothing changes.
            _ => drop(alice.store(inbox, &some, &remove(Flags::DRAFT), None).await.unwrap()),
        }
        let now = roll(&alice, inbox).await;
        assert_eq!(reads.load(Ordering::Relaxed), before, "step {step}: nothing was read");
        let read = roll(&elsewhere, inbox).await;
        assert_eq!((&now.mailbox, &now.messages), (&read.mailbox, &read.messages), "step {step}");
        // Another node has come between.
        if step % 5 == 4 {
            let one = targets(&now, &[step % 3]);
            elsewhere.store(inbox, &one, &add(Flags::ANSWERED, &[]), None).await.unwrap();
            alice.store(inbox, &some, &add(Flags::NONE, &["later"]), None).await.unwrap();
            let (now, read) = (roll(&alice, inbox).await, roll(&elsewhere, inbox).await);
            assert_eq!((&now.mailbox, &now.messages), (&read.mailbox, &read.messages), "step {step}, both");
        }
    }
    assert_eq!(roll(&alice, trash).await.messages, roll(&elsewhere, trash).await.messages);
}
