//! The outbound queue. Its entries are of the far future, so that other topics' leases do not take them.

use std::{sync::Arc, time::Duration};

use types::{
    BodyId, DeliverBy, EmailAddress, Late, Notify, OriginalRecipient, Priority, QueueId, RecipientTerms, Ret,
    Terms, Timestamp,
};

use super::kit::{Kit, body, random};
use crate::{
    Lease, NewQueueEntry, NewRecipient, Origin, QueueBody, QueueEntry, QueueFilter, RecipientState,
    RecipientUpdate, Shards,
};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    entries_are_leased_and_settled(shards).await;
    leases_go_on_while_there_is_more_to_settle(shards).await;
    leases_end_by_themselves(shards).await;
    operators_hold_retry_and_drop(shards).await;
    what_is_urgent_goes_first_and_what_is_patient_last(shards).await;
    entries_are_counted_by_their_state(shards).await;
    bodies_are_shared_with_messages(shards).await;
}

async fn entries_are_counted_by_their_state(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    // Before all others, which are not due then.
    let now = Timestamp::from_seconds(1_000);
    let after = |seconds| now.plus(Duration::from_secs(seconds));
    let lengths = async |now| kit.read().await.queue_lengths(now).await.unwrap();
    let before = lengths(now).await;
    enqueue(&kit, entry(&kit, now)).await;
    let held = enqueue(&kit, entry(&kit, now)).await;
    enqueue(&kit, entry(&kit, after(10))).await;
    kit.write(move |tx| Box::pin(async move { tx.hold(account, held, true).await })).await.unwrap();
    let there = lengths(now).await;
    assert_eq!((there.due - before.due, there.held - before.held), (1, 1));
    assert_eq!((there.waiting - before.waiting, there.leased - before.leased), (1, 0));
    assert_eq!(lease(&kit, "counted", now, 1).await.len(), 1);
    let leased = lengths(now).await;
    assert_eq!((leased.due - before.due, leased.leased - before.leased), (0, 1));
    let later = lengths(after(61)).await;
    assert_eq!((later.due - before.due, later.leased - before.leased), (2, 0), "the lease has ended");
    kit.write(move |tx| Box::pin(async move { tx.purge(account).await })).await.unwrap();
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(1_900_000_000).plus(Duration::from_secs(seconds))
}

fn email(text: &str) -> EmailAddress {
    text.parse().unwrap()
}

/// A recipient for whom everything is asked that can be.
pub(super) fn demanding(address: &str) -> NewRecipient {
    let original = OriginalRecipient { kind: "utf-8".to_owned(), address: "밥@멀리.test".to_owned() };
    let notify = Notify { success: true, ..Notify::NEVER };
    let terms = RecipientTerms { notify: Some(notify), original: Some(original) };
    NewRecipient { address: email(address), terms }
}

/// Everything that can be asked for a mail.
pub(super) fn terms() -> Terms {
    Terms {
        ret: Some(Ret::Full),
        envelope_id: Some("QQ 314159".to_owned()),
        require_tls: true,
        utf8: true,
        tls_optional: false,
        priority: Priority::new(-4).unwrap(),
        deliver_by: Some(DeliverBy { at: at(77), late: Late::Notify, trace: true }),
    }
}

fn entry(kit: &Kit, not_before: Timestamp) -> NewQueueEntry {
    let packed = body("To: all\r\n\r\nHello\r\n").pack(BodyId::at(not_before, random())).unwrap();
    NewQueueEntry {
        account: kit.account,
        id: QueueId::at(not_before, random()),
        message: None,
        body: QueueBody::Own(packed),
        return_path: Some(email("alice@demo.test")),
        recipients: vec![demanding("bob@far.test"), email("carol@farther.test").into()],
        terms: terms(),
        origin: Origin::Submission,
        created_at: not_before,
        not_before,
        expires_at: not_before.plus(Duration::from_secs(1_000)),
    }
}

async fn enqueue(kit: &Kit, entry: NewQueueEntry) -> QueueId {
    let id = entry.id;
    let (_, committed) = kit
        .try_write(move |tx| {
            let entry = entry.clone();
            Box::pin(async move { tx.enqueue(entry).await })
        })
        .await
        .unwrap();
    assert!(committed.queued);
    id
}

async fn lease(kit: &Kit, worker: &'static str, now: Timestamp, limit: u32) -> Vec<QueueEntry> {
    let shard = kit.shard;
    let until = now.plus(Duration::from_secs(60));
    kit.write(move |tx| {
        let lease = Lease { shard, worker: worker.to_owned(), now, until, limit };
        Box::pin(async move { tx.lease(&lease).await })
    })
    .await
    .unwrap()
}

async fn settle(
    kit: &Kit,
    id: QueueId,
    worker: &'static str,
    updates: Vec<(&'static str, RecipientState, Timestamp)>,
) -> Option<QueueEntry> {
    settle_until(kit, id, worker, updates, None).await
}

async fn settle_until(
    kit: &Kit,
    id: QueueId,
    worker: &'static str,
    updates: Vec<(&'static str, RecipientState, Timestamp)>,
    until: Option<Timestamp>,
) -> Option<QueueEntry> {
    let account = kit.account;
    kit.write(move |tx| {
        let update =
            |(address, state, next_attempt_at): &(&str, RecipientState, Timestamp)| RecipientUpdate {
                address: email(address),
                state: *state,
                attempted: true,
                next_attempt_at: *next_attempt_at,
                reply: Some("the reply".to_owned()),
                warned: *state == RecipientState::Pending,
            };
        let updates: Vec<_> = updates.iter().map(update).collect();
        Box::pin(async move { tx.settle(account, id, worker, &updates, until).await })
    })
    .await
    .unwrap()
}

async fn get(kit: &Kit, id: QueueId) -> Option<QueueEntry> {
    kit.read().await.queue_entry(kit.account, id).await.unwrap()
}

fn ids(entries: &[QueueEntry]) -> Vec<QueueId> {
    entries.iter().map(|entry| entry.id).collect()
}

async fn entries_are_leased_and_settled(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let late = enqueue(kit, entry(kit, at(20))).await;
    let soon = enqueue(kit, entry(kit, at(10))).await;
    assert_eq!(kit.read().await.next_due().await.unwrap(), Some(at(10)));
    assert!(lease(kit, "one", at(9), 10).await.is_empty(), "nothing is due");
    assert_eq!(ids(&lease(kit, "one", at(30), 1).await), [soon], "the oldest due first");
    assert_eq!(ids(&lease(kit, "two", at(30), 10).await), [late], "what one has, another does not get");
    assert!(lease(kit, "three", at(30), 10).await.is_empty());
    assert_eq!(kit.read().await.next_due().await.unwrap(), Some(at(90)), "the end of the leases");
    assert_eq!(settle(kit, soon, "two", vec![]).await, None, "only whoever has the lease settles");

    let updates = vec![
        ("bob@far.test", RecipientState::Delivered, at(30)),
        ("carol@farther.test", RecipientState::Pending, at(500)),
    ];
    let settled = settle(kit, soon, "one", updates).await.unwrap();
    assert_eq!(settled.terms, terms());
    assert_eq!(settled.recipients[0].terms, demanding("bob@far.test").terms);
    assert_eq!(settled.recipients[1].terms, RecipientTerms::default());
    assert_eq!(settled.next_attempt_at, at(500));
    assert_eq!(settled.leased_until, None);
    assert_eq!(settled.recipients[0].state, RecipientState::Delivered);
    assert_eq!(settled.recipients[1].attempts, 1);
    assert_eq!((settled.recipients[0].warned, settled.recipients[1].warned), (false, true));
    assert_eq!(settled.recipients[1].reply.as_deref(), Some("the reply"));
    assert_eq!(get(kit, soon).await, Some(settled.clone()));
    let filter = QueueFilter { account: Some(kit.account), after: None, limit: 10 };
    assert_eq!(kit.read().await.queue(&filter).await.unwrap().len(), 2);

    assert_eq!(ids(&lease(kit, "one", at(500), 1).await), [late], "its lease has run out");
    assert_eq!(ids(&lease(kit, "one", at(500), 1).await), [soon]);
    let updates = vec![("carol@farther.test", RecipientState::Failed, at(500))];
    let finished = settle(kit, soon, "one", updates).await.unwrap();
    assert_eq!(finished.recipients[1].state, RecipientState::Failed);
    assert_eq!(get(kit, soon).await, None, "nobody is pending, so it is gone");
    assert_eq!(kit.read().await.body(kit.account, settled.body).await.unwrap(), None, "and its body with it");
    assert_eq!(settle(kit, soon, "one", vec![]).await, None);
    drop_entry(kit, late).await;
}

async fn leases_go_on_while_there_is_more_to_settle(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let id = enqueue(kit, entry(kit, at(0))).await;
    assert_eq!(ids(&lease(kit, "one", at(1), 1).await), [id]);
    let updates = vec![("bob@far.test", RecipientState::Delivered, at(1))];
    let settled = settle_until(kit, id, "one", updates, Some(at(100))).await.unwrap();
    assert_eq!(settled.leased_until, Some(at(100)));
    assert_eq!(settled.recipients[0].state, RecipientState::Delivered);
    assert_eq!(settled.recipients[1].attempts, 0, "not tried yet");
    assert_eq!(get(kit, id).await, Some(settled));
    assert!(lease(kit, "two", at(99), 1).await.is_empty());
    assert_eq!(kit.read().await.next_due().await.unwrap(), Some(at(100)));

    let back = settle(kit, id, "one", vec![]).await.unwrap();
    assert_eq!((back.leased_until, back.next_attempt_at), (None, at(0)), "given back, due as before");
    assert_eq!(settle(kit, id, "one", vec![]).await, None, "a lease ends once");
    assert_eq!(ids(&lease(kit, "two", at(1), 1).await), [id]);
    let account = kit.account;
    let untried = kit.write(move |tx| {
        let update = RecipientUpdate {
            address: email("carol@farther.test"),
            state: RecipientState::Pending,
            attempted: false,
            next_attempt_at: at(50),
            reply: None,
            warned: false,
        };
        Box::pin(async move { tx.settle(account, id, "two", &[update], None).await })
    });
    let recipient = untried.await.unwrap().unwrap().recipients.remove(1);
    assert_eq!((recipient.attempts, recipient.next_attempt_at), (0, at(50)), "only attempts are counted");
    drop_entry(kit, id).await;
}

async fn leases_end_by_themselves(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let id = enqueue(kit, entry(kit, at(0))).await;
    assert_eq!(ids(&lease(kit, "dead", at(1), 1).await), [id]);
    assert!(lease(kit, "alive", at(60), 1).await.is_empty());
    let again = lease(kit, "alive", at(61), 1).await;
    assert_eq!(again[0].leased_until, Some(at(121)));
    assert_eq!(again[0].recipients[0].attempts, 0, "a lease is no attempt");
    let updates = vec![("bob@far.test", RecipientState::Delivered, at(1))];
    assert_eq!(settle(kit, id, "dead", updates).await, None, "its lease was lost");

    assert_eq!(kit.write(|tx| Box::pin(async move { tx.end_leases().await })).await.unwrap(), 1);
    assert_eq!(settle(kit, id, "alive", vec![]).await, None, "the lease was ended");
    assert_eq!(get(kit, id).await.unwrap().leased_until, None);
    assert_eq!(kit.read().await.next_due().await.unwrap(), Some(at(0)), "due as before");
    assert_eq!(ids(&lease(kit, "next", at(1), 1).await), [id]);
    drop_entry(kit, id).await;
}

async fn drop_entry(kit: &Kit, id: QueueId) {
    let account = kit.account;
    let dropped = |kit: Kit| async move {
        kit.write(move |tx| Box::pin(async move { tx.drop_entry(account, id).await })).await.unwrap()
    };
    assert!(dropped(kit.clone()).await);
    assert!(!dropped(kit.clone()).await);
    assert_eq!(get(kit, id).await, None);
}

async fn operators_hold_retry_and_drop(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let first = enqueue(kit, entry(kit, at(1_000))).await;
    let second = enqueue(kit, entry(kit, at(2_000))).await;
    let hold = |id: QueueId, held: bool| {
        kit.write(move |tx| Box::pin(async move { tx.hold(account, id, held).await }))
    };
    let retry = |id: QueueId, now: Timestamp| {
        kit.write(move |tx| Box::pin(async move { tx.retry_now(account, id, now).await }))
    };
    assert!(hold(first, true).await.unwrap());
    assert!(get(kit, first).await.unwrap().held);
    assert_eq!(kit.read().await.next_due().await.unwrap(), Some(at(2_000)), "held ones never fall due");
    assert!(lease(kit, "one", at(1_500), 10).await.is_empty());
    assert!(hold(first, false).await.unwrap());
    assert!(retry(second, at(900)).await.unwrap());
    assert_eq!(get(kit, second).await.unwrap().recipients[1].next_attempt_at, at(900));
    assert_eq!(ids(&lease(kit, "one", at(1_500), 10).await), [second, first]);
    let via = |id: QueueId, via: Option<&'static str>| {
        kit.write(move |tx| Box::pin(async move { tx.reroute(account, id, via.map(str::to_owned)).await }))
    };
    assert!(via(second, Some("relay.test:25")).await.unwrap());
    assert_eq!(get(kit, second).await.unwrap().via.as_deref(), Some("relay.test:25"));
    assert!(via(second, None).await.unwrap());
    assert_eq!(get(kit, second).await.unwrap().via, None);
    let unknown = QueueId::at(at(0), random());
    assert!(!via(unknown, None).await.unwrap());
    assert!(!hold(unknown, true).await.unwrap() && !retry(unknown, at(0)).await.unwrap());

    let page = |after| QueueFilter { account: Some(account), after, limit: 1 };
    let mut listed = Vec::new();
    let mut after = None;
    while let Some(entry) = kit.read().await.queue(&page(after)).await.unwrap().pop() {
        after = Some((entry.account, entry.id));
        listed.push(entry.id);
    }
    assert_eq!(listed, [first, second], "by id");
    drop_entry(kit, first).await;
    drop_entry(kit, second).await;
}

async fn what_is_urgent_goes_first_and_what_is_patient_last(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let with = |seconds: u64, priority: i8| {
        let mut entry = entry(kit, at(seconds));
        entry.terms.priority = Priority::new(priority).unwrap();
        enqueue(kit, entry)
    };
    let (patient, urgent, usual) = (with(10, -4).await, with(20, 1).await, with(30, 0).await);
    let later = with(900, 9).await;
    assert_eq!(ids(&lease(kit, "one", at(40), 2).await), [urgent, usual]);
    assert_eq!(ids(&lease(kit, "one", at(40), 2).await), [patient]);
    for id in [patient, urgent, usual, later] {
        drop_entry(kit, id).await;
    }
    let (waiting, fresh) = (with(10, -4).await, with(3_600, 0).await);
    assert_eq!(ids(&lease(kit, "one", at(3_609), 1).await), [fresh], "the other has not waited for an hour");
    let newer = with(3_605, 0).await;
    assert_eq!(ids(&lease(kit, "one", at(3_610), 1).await), [waiting], "it has its turn");
    for id in [waiting, fresh, newer] {
        drop_entry(kit, id).await;
    }
    // However much of it there is, what is new does not wait for it.
    let (mut backlog, mut new) = (Vec::new(), Vec::new());
    for n in 0..8 {
        backlog.push(with(n, -4).await);
    }
    for n in 0..6 {
        new.push(with(7_000 + n, 0).await);
    }
    let claimed = ids(&lease(kit, "one", at(7_100), 4).await);
    assert_eq!(claimed, [&backlog[..1], &new[..3]].concat());
    let one_by_one = async |millis: u64| {
        let now = at(7_100).plus(Duration::from_millis(millis));
        ids(&lease(kit, "one", now, 1).await)[0]
    };
    assert_eq!([one_by_one(4).await, one_by_one(5).await, one_by_one(6).await], [backlog[1], new[3], new[4]]);
    let rest = ids(&lease(kit, "one", at(7_100), 12).await);
    assert_eq!(rest, [&new[5..], &backlog[2..]].concat(), "there is room for all");
    for id in backlog.into_iter().chain(new) {
        drop_entry(kit, id).await;
    }
}

async fn bodies_are_shared_with_messages(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let message = kit.message(1);
    let (id, shared) = (message.id, message.body.id);
    let mut queued = entry(kit, at(0));
    queued.message = Some(id);
    queued.body = QueueBody::Shared(shared);
    let queue_id = queued.id;
    // The Sent copy and the queue entry in one transaction.
    kit.write(move |tx| {
        let (message, queued) = (message.clone(), queued.clone());
        Box::pin(async move {
            tx.append(message).await?;
            tx.enqueue(queued).await
        })
    })
    .await
    .unwrap();
    let queued = get(kit, queue_id).await.unwrap();
    assert_eq!((queued.body, queued.message), (shared, Some(id)));
    assert_eq!(queued.size_bytes, kit.get(id).await.unwrap().size_bytes);
    kit.write(move |tx| Box::pin(async move { tx.expunge(account, &[id]).await })).await.unwrap();
    assert!(kit.read().await.body(account, shared).await.unwrap().is_some(), "the queue still needs it");
    drop_entry(kit, queue_id).await;
    assert_eq!(kit.read().await.body(account, shared).await.unwrap(), None);
}
