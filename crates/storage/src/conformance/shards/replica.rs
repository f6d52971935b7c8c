//! Copies: random histories, copied round by round while they go on and all at once at the end, are the same in every
//! way that can be seen.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use types::{AccountId, BlobId, BodyId, MailboxId, ModSeq, QueueId, Role, UploadId, api};

use super::{
    kit::{Kit, NOW, random},
    model::{self, Known},
};
use crate::{
    Body, Changes, Lease, Message, NewMailbox, NewQueueEntry, Origin, QueueBody, QueueFilter, RecipientState,
    RecipientUpdate, Segment, Shards, Source, Upload,
    replica::{Cursor, Digest, Record, digest},
};

#[derive(Debug, Clone)]
enum Act {
    Mail(model::Step),
    /// A message with references, a blob and a state of delivery, and a queue entry that shares its body.
    Send(u64),
    /// A queue entry with a body of its own.
    Notify,
    /// Claims what is due, and settles some of it.
    Work {
        settles: bool,
        delivered: bool,
    },
    Upload(u8),
    Discard,
    Folder {
        number: u8,
        delete: bool,
    },
    /// A round of the copy.
    Copy,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => model::step().prop_map(Act::Mail),
        3 => (0..10_000_u64).prop_map(Act::Send),
        1 => Just(Act::Notify),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(settles, delivered)| Act::Work { settles, delivered }),
        2 => any::<u8>().prop_map(Act::Upload),
        1 => Just(Act::Discard),
        2 => (0..5_u8, any::<bool>()).prop_map(|(number, delete)| Act::Folder { number, delete }),
        3 => Just(Act::Copy),
    ]
}

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    for _ in 0..12 {
        let history = vec(act(), 1..60).new_tree(&mut runner).unwrap().current();
        let original = Kit::new(shards).await;
        let copy = Kit::unused(shards);
        let mut world = World { original, copy, model: Known::new(), uploads: Vec::new() };
        for act in &history {
            world.apply(act).await;
        }
        world.compare(&history).await;
    }
    unknown_accounts_are_empty(shards).await;
    large_bodies_come_one_by_one(shards).await;
    broken_off_rounds_begin_again(shards).await;
    what_changes_during_a_round_is_not_lost(shards).await;
}

struct World {
    original: Kit,
    copy: Kit,
    model: Known,
    uploads: Vec<UploadId>,
}

impl World {
    async fn apply(&mut self, act: &Act) {
        let kit = &self.original;
        let account = kit.account;
        match act {
            Act::Mail(step) => model::apply(kit, &mut self.model, step).await,
            Act::Copy => copy(kit, &self.copy).await,
            Act::Send(number) => {
                let id = send(kit, *number).await;
                self.model.insert(id.0, id.1);
            }
            Act::Notify => notify(kit).await,
            Act::Work { settles, delivered } => work(kit, *settles, *delivered).await,
            Act::Upload(blob) => {
                let upload = Upload {
                    account,
                    id: UploadId::at(NOW, random()),
                    filename: "보고서.pdf".to_owned(),
                    content_type: "application/pdf".to_owned(),
                    size_bytes: 70_000,
                    blob: BlobId([*blob; 32]),
                    created_at: NOW,
                };
                self.uploads.push(upload.id);
                kit.write(move |tx| {
                    let upload = upload.clone();
                    Box::pin(async move { tx.add_upload(upload).await })
                })
                .await
                .unwrap();
            }
            Act::Discard => {
                let Some(id) = self.uploads.pop() else { return };
                kit.write(move |tx| Box::pin(async move { tx.remove_upload(account, id).await }))
                    .await
                    .unwrap();
            }
            Act::Folder { number, delete } => folder(kit, *number, *delete).await,
        }
    }

    /// The copy that followed, and a fresh one, are as the original.
    async fn compare(&self, history: &[Act]) {
        let fresh = Kit::unused(&self.original.shards);
        copy(&self.original, &self.copy).await;
        copy(&self.original, &fresh).await;
        let expected = seen(&self.original).await;
        for (name, kit) in [("followed", &self.copy), ("fresh", &fresh)] {
            assert_eq!(seen(kit).await, expected, "the {name} copy after {history:?}");
            kit.check_counts().await;
        }
        copy(&self.original, &fresh).await;
        assert_eq!(seen(&fresh).await, expected, "copying it once more changes nothing");
    }
}

/// What there is to see of an account, whichever it is.
#[derive(Debug, PartialEq)]
struct Seen {
    digest: Digest,
    state: crate::AccountState,
    mailboxes: Vec<crate::Mailbox>,
    messages: Vec<Message>,
    contents: Vec<crate::Content>,
    changes: Changes,
    queue: Vec<crate::QueueEntry>,
    threads: Vec<(i64, types::ThreadId)>,
}

async fn seen(kit: &Kit) -> Seen {
    let account = kit.account;
    let mut snapshot = kit.read().await;
    let digest = digest(&mut *snapshot, account, ModSeq(0)).await.unwrap();
    let mut state = snapshot.account(account).await.unwrap().unwrap();
    state.id = AccountId(0);
    let mailboxes = |mut all: Vec<crate::Mailbox>| {
        all.iter_mut().for_each(|mailbox| mailbox.account = AccountId(0));
        all
    };
    let messages = |mut all: Vec<Message>| {
        all.iter_mut().for_each(|message| message.account = AccountId(0));
        all
    };
    let mut changes = snapshot.changes(account, ModSeq(0), 10_000).await.unwrap();
    changes.mailboxes = mailboxes(changes.mailboxes);
    changes.messages = messages(changes.messages);
    let filter = QueueFilter { account: Some(account), after: None, limit: 10_000 };
    let mut queue = snapshot.queue(&filter).await.unwrap();
    queue.iter_mut().for_each(|entry| entry.account = AccountId(0));
    let page =
        crate::PageRequest { mailbox: None, filter: crate::Filter::default(), before: None, limit: 10_000 };
    let all = messages(snapshot.page(account, &page).await.unwrap());
    let ids: Vec<_> = all.iter().map(|message| message.id).collect();
    let mut contents = snapshot.contents(account, &ids).await.unwrap();
    contents.sort_by_key(|content| content.id);
    let seen = Seen {
        digest,
        state,
        mailboxes: mailboxes(snapshot.mailboxes(account).await.unwrap()),
        messages: all,
        contents,
        changes,
        queue,
        threads: Vec::new(),
    };
    drop(snapshot);
    let refs: Vec<i64> = (0..40).collect();
    let threads = kit.write(move |tx| {
        let refs = refs.clone();
        Box::pin(async move { tx.threads(account, &refs).await })
    });
    Seen { threads: threads.await.unwrap(), ..seen }
}

/// A round; each page in a transaction of its own, and the records of every other page parted in the middle.
pub(super) async fn copy(from: &Kit, to: &Kit) {
    let since = to.read().await.account(to.account).await.unwrap().map(|state| state.modseq);
    let mut cursor = Some(Cursor::after(since.unwrap_or_default()));
    while let Some(at) = cursor {
        let page = from.read().await.export(from.account, at).await.unwrap();
        let (first, rest) = page.records.split_at(page.records.len() / 2);
        for part in [first, rest] {
            import(to, part).await;
        }
        cursor = page.next;
    }
}

async fn import(to: &Kit, records: &[Record]) {
    let (account, records) = (to.account, records.to_vec());
    to.write(move |tx| {
        let records = records.clone();
        Box::pin(async move { tx.import(account, &records).await })
    })
    .await
    .unwrap();
}

async fn send(kit: &Kit, number: u64) -> (types::MessageId, (MailboxId, types::Flags)) {
    let sent = kit.mailbox(Role::Sent).await.id;
    let mut message = kit.message(number);
    message.mailbox = Source::Mailbox(sent);
    message.refs = vec![i64::try_from(number % 40).unwrap(), i64::try_from(number % 7).unwrap()];
    message.keywords = vec!["$label1".to_owned(), "work".to_owned()];
    let mut body = super::kit::body("Subject: with a file\r\n\r\n");
    body.segments.push(Segment::Blob { id: BlobId([7; 32]), size_bytes: 70_000 });
    message.body = body.pack(BodyId::at(NOW, random())).unwrap();
    message.delivery = vec![api::Delivery {
        recipient: "to@x.test".to_owned(),
        state: api::DeliveryState::Queued,
        reply: None,
        next_attempt_at: None,
    }];
    let entry = entry(kit, QueueBody::Shared(message.body.id));
    let (id, flags) = (message.id, message.flags);
    kit.write(move |tx| {
        let (message, entry) = (message.clone(), entry.clone());
        Box::pin(async move {
            tx.append(message).await?;
            tx.enqueue(entry).await
        })
    })
    .await
    .unwrap();
    (id, (sent, flags))
}

async fn notify(kit: &Kit) {
    let own = super::kit::body("Subject: returned\r\n\r\n").pack(BodyId::at(NOW, random())).unwrap();
    let entry = entry(kit, QueueBody::Own(own));
    kit.write(move |tx| {
        let entry = entry.clone();
        Box::pin(async move { tx.enqueue(entry).await })
    })
    .await
    .unwrap();
}

fn entry(kit: &Kit, body: QueueBody) -> NewQueueEntry {
    NewQueueEntry {
        account: kit.account,
        id: QueueId::at(NOW, random()),
        message: None,
        body,
        return_path: Some("me@x.test".parse().unwrap()),
        recipients: ["to@x.test", "cc@x.test"].map(super::queue::demanding).into(),
        terms: super::queue::terms(),
        origin: Origin::Submission,
        created_at: NOW,
        not_before: NOW,
        expires_at: NOW.plus(std::time::Duration::from_secs(1_000)),
    }
}

/// Whatever is due of this account is claimed. The shard's other entries are given back.
async fn work(kit: &Kit, settles: bool, delivered: bool) {
    let (account, shard) = (kit.account, kit.shard);
    let state = if delivered { RecipientState::Delivered } else { RecipientState::Pending };
    kit.write(move |tx| {
        Box::pin(async move {
            let until = NOW.plus(std::time::Duration::from_secs(60));
            let worker = format!("worker of {account}");
            let lease = Lease { shard, worker: worker.clone(), now: NOW, until, limit: 1_000 };
            for entry in tx.lease(&lease).await? {
                let updates: Vec<_> = entry.recipients.iter().take(usize::from(settles)).collect();
                let updates: Vec<_> = updates
                    .into_iter()
                    .map(|to| RecipientUpdate {
                        address: to.address.clone(),
                        state,
                        attempted: true,
                        next_attempt_at: NOW,
                        reply: Some("250 ok".to_owned()),
                        warned: true,
                    })
                    .collect();
                let (updates, until) = if entry.account == account {
                    (updates, (!settles).then_some(until))
                } else {
                    (Vec::new(), None)
                };
                tx.settle(entry.account, entry.id, &worker, &updates, until).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
}

async fn folder(kit: &Kit, number: u8, delete: bool) {
    let account = kit.account;
    let name = format!("폴더 {number}");
    let all = kit.read().await.mailboxes(account).await.unwrap();
    let there = all.into_iter().find(|mailbox| mailbox.name == name);
    kit.write(move |tx| {
        let (name, there) = (name.clone(), there.clone());
        Box::pin(async move {
            match there {
                Some(there) if delete => tx.delete_mailbox(account, there.id).await.map(|_| ()),
                Some(there) => tx.rename_mailbox(account, there.id, &format!("{name}!")).await.map(|_| ()),
                None => {
                    let new = NewMailbox { account, name, parent: None, role: None, now: NOW };
                    tx.create_mailbox(new).await.map(|_| ()).or_else(|error| match error {
                        crate::Error::Exists(_) => Ok(()),
                        other => Err(other),
                    })
                }
            }
        })
    })
    .await
    .unwrap();
}

async fn unknown_accounts_are_empty(shards: &Arc<dyn Shards>) {
    let kit = Kit::unused(shards);
    let page = kit.read().await.export(kit.account, Cursor::after(ModSeq(0))).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
}

/// Memory is bounded: a page holds some MiB, however many messages there are.
async fn large_bodies_come_one_by_one(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    for number in 0..5 {
        let mut message = kit.message(number);
        let bytes: Vec<u8> = (0..3 << 20).map(|_| noise()).collect();
        let body = Body { segments: vec![Segment::Inline(bytes.into())] };
        message.body = body.pack(BodyId::at(NOW, random())).unwrap();
        kit.append(message).await;
    }
    let mut cursor = Some(Cursor::after(ModSeq(0)));
    let mut bodies = BTreeMap::new();
    while let Some(at) = cursor {
        let page = kit.read().await.export(kit.account, at).await.unwrap();
        let here = page.records.iter().filter_map(|record| match record {
            Record::Body(body) => Some((body.id, body.inline.len())),
            _ => None,
        });
        let here: Vec<_> = here.collect();
        assert!(here.len() <= 2, "{} bodies in a page", here.len());
        bodies.extend(here);
        cursor = page.next;
    }
    assert_eq!(bodies.len(), 5);
    let copy = Kit::unused(shards);
    self::copy(&kit, &copy).await;
    assert_eq!(seen(&copy).await, seen(&kit).await);
}

/// Half a round, then changes, then the round from its beginning.
async fn broken_off_rounds_begin_again(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let mut ids = Vec::new();
    for number in 0..250 {
        ids.push(kit.add(number).await);
    }
    let target = Kit::unused(shards);
    let page = kit.read().await.export(kit.account, Cursor::after(ModSeq(0))).await.unwrap();
    import(&target, &page.records).await;
    assert!(page.next.is_some(), "there is more than a page");
    let account = kit.account;
    let trash = kit.mailbox(Role::Trash).await.id;
    let (gone, moved) = (vec![ids[0], ids[3], ids[200]], vec![ids[1], ids[201]]);
    kit.write(move |tx| {
        let (gone, moved) = (gone.clone(), moved.clone());
        Box::pin(async move {
            tx.expunge(account, &gone).await?;
            tx.move_messages(account, &moved, trash, NOW).await
        })
    })
    .await
    .unwrap();
    copy(&kit, &target).await;
    assert_eq!(seen(&target).await, seen(&kit).await);
}

/// A message that was there when the round began is changed before the round comes to it.
async fn what_changes_during_a_round_is_not_lost(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let mut ids = Vec::new();
    for number in 0..250 {
        ids.push(kit.add(number).await);
    }
    let target = Kit::unused(shards);
    let account = kit.account;
    let mut cursor = Some(Cursor::after(ModSeq(0)));
    while let Some(at) = cursor {
        let page = kit.read().await.export(account, at).await.unwrap();
        import(&target, &page.records).await;
        cursor = page.next;
        let last = vec![ids[249]];
        let seen = crate::FlagChange { add: types::Flags::SEEN, ..Default::default() };
        let flagged = crate::FlagChange { add: types::Flags::FLAGGED, ..Default::default() };
        kit.write(move |tx| {
            let (last, seen, flagged) = (last.clone(), seen.clone(), flagged.clone());
            Box::pin(async move {
                tx.change_flags(account, &last, &seen).await?;
                tx.change_flags(account, &last, &flagged).await
            })
        })
        .await
        .unwrap();
    }
    copy(&kit, &target).await;
    assert_eq!(seen(&target).await, seen(&kit).await);
}
