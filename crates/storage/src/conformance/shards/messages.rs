//! Messages: adding, reading, flags, moving, removing, threads.

use std::sync::Arc;

use types::{Flags, MessageId, Role, ThreadId, Uid, api};

use super::kit::{Kit, NOW, body};
use crate::{Appended, Filter, FlagChange, Message, NewMessage, Shards, Source};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    what_is_added_is_read(shards).await;
    the_same_id_is_added_once(shards).await;
    filters_leave_out(shards).await;
    flags_and_keywords_change(shards).await;
    what_differs_stays_different(shards).await;
    moved_messages_get_new_uids(shards).await;
    bodies_go_with_their_last_user(shards).await;
    references_lead_to_threads(shards).await;
    delivery_states_are_noted(shards).await;
}

async fn what_is_added_is_read(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let mut new = kit.message(6);
    new.flags = Flags::SEEN | Flags::FLAGGED;
    new.keywords = vec!["work".to_owned(), "$Label1".to_owned(), "가족".to_owned(), "WORK".to_owned()];
    new.mailbox = Source::Role(Role::Archive);
    let Appended::New { mailbox, uid, modseq } = kit.append(new.clone()).await else { panic!("it is new") };
    assert_eq!(mailbox, kit.mailbox(Role::Archive).await.id);
    assert_eq!(uid.0, 1);
    let read = kit.get(new.id).await.unwrap();
    let NewMessage { account, id, flags, thread, body: packed, received_at, sent_at, summary, .. } = new;
    let keywords = vec!["$Label1".to_owned(), "work".to_owned(), "가족".to_owned()];
    let expected = Message {
        account,
        id,
        mailbox,
        uid,
        modseq,
        created: modseq,
        flags,
        keywords,
        thread,
        body: packed.id,
        received_at,
        saved_at: Some(received_at),
        sent_at,
        size_bytes: packed.size_bytes,
        summary,
        delivery: Vec::new(),
    };
    assert_eq!(read, expected);
    let mut snapshot = kit.read().await;
    assert_eq!(snapshot.structure(account, id).await.unwrap().unwrap(), b"structure of 6");
    assert_eq!(snapshot.body(account, packed.id).await.unwrap(), Some(packed.clone()));
    let contents =
        snapshot.contents(account, &[id, MessageId(types::BodyId::at(received_at, [9; 10]).0)]).await;
    let contents = contents.unwrap();
    assert_eq!(contents.len(), 1);
    assert_eq!((contents[0].id, &contents[0].body), (id, &packed));
    assert_eq!(contents[0].structure, b"structure of 6");
    assert_eq!(packed.unpack().unwrap(), body("Subject: 6\r\n\r\nThis is message 6.\r\n"));
    kit.check_counts().await;
}

async fn the_same_id_is_added_once(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let new = kit.message(1);
    let id = new.id;
    assert!(matches!(kit.append(new.clone()).await, Appended::New { .. }));
    assert_eq!(kit.append(new.clone()).await, Appended::Duplicate);
    let archive = kit.mailbox(Role::Archive).await.id;
    kit.write(move |tx| Box::pin(async move { tx.move_messages(account, &[id], archive, NOW).await }))
        .await
        .unwrap();
    assert_eq!(kit.append(new.clone()).await, Appended::Duplicate, "elsewhere, but there");
    kit.write(move |tx| Box::pin(async move { tx.expunge(account, &[id]).await })).await.unwrap();
    assert_eq!(kit.append(new.clone()).await, Appended::Duplicate, "expunged for good");
    assert_eq!(kit.get(id).await, None);
    let twice = kit.message(2);
    let both = kit.write(move |tx| {
        let new = twice.clone();
        Box::pin(async move { Ok([tx.append(new.clone()).await?, tx.append(new).await?]) })
    });
    let both = both.await.unwrap();
    assert!(matches!(both, [Appended::New { .. }, Appended::Duplicate]), "{both:?}");
    kit.check_counts().await;
}

async fn filters_leave_out(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    for number in 0..12 {
        let mut new = kit.message(number);
        new.flags = match number % 4 {
            0 => Flags::NONE,
            1 => Flags::SEEN,
            2 => Flags::FLAGGED,
            _ => Flags::SEEN | Flags::FLAGGED,
        };
        kit.append(new).await;
    }
    let inbox = kit.mailbox(Role::Inbox).await.id;
    let sides = [None, Some(true), Some(false)];
    for unread in sides {
        for flagged in sides {
            for attachments in sides {
                let filter = Filter { unread, flagged, attachments };
                let matches = |message: &Message| {
                    unread.is_none_or(|yes| message.flags.is_unread() == yes)
                        && flagged.is_none_or(|yes| message.flags.contains(Flags::FLAGGED) == yes)
                        && attachments.is_none_or(|yes| message.summary.has_attachments == yes)
                };
                for mailbox in [Some(inbox), None] {
                    let mut expected = kit.all(mailbox, Filter::default()).await;
                    assert_eq!(expected.len(), 12);
                    expected.retain(matches);
                    assert_eq!(kit.all(mailbox, filter).await, expected, "{filter:?}");
                }
            }
        }
    }
}

async fn flags_and_keywords_change(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let (first, second) = (kit.add(1).await, kit.add(2).await);
    let gone = kit.message(3).id;
    let change = |add: Flags,
                  remove: Flags,
                  add_keywords: &'static [&'static str],
                  remove_keywords: &'static [&'static str]| {
        kit.write(move |tx| {
            let owned = |keywords: &[&str]| keywords.iter().map(|&keyword| keyword.to_owned()).collect();
            let change = FlagChange {
                add,
                remove,
                add_keywords: owned(add_keywords),
                remove_keywords: owned(remove_keywords),
            };
            Box::pin(async move { tx.change_flags(account, &[first, gone, second], &change).await })
        })
    };
    let before = kit.get(first).await.unwrap();
    let changed = change(Flags::SEEN, Flags::NONE, &["b", "a"], &[]).await.unwrap();
    assert_eq!(changed.len(), 2, "those that exist");
    for message in &changed {
        assert!(message.flags.contains(Flags::SEEN));
        assert_eq!(message.keywords, ["a", "b"]);
        assert!(message.modseq > before.modseq);
        let now = kit.get(message.id).await.unwrap();
        assert!(now.created < now.modseq);
        assert_eq!(
            (now.flags, &now.keywords, now.modseq),
            (message.flags, &message.keywords, message.modseq)
        );
        assert_eq!(
            (now.mailbox, now.uid, now.received_at),
            (message.mailbox, message.uid, message.received_at)
        );
    }
    assert_eq!(kit.mailbox(Role::Inbox).await.unread, 0);
    let same = change(Flags::SEEN, Flags::DRAFT, &["a"], &["z"]).await.unwrap();
    assert_eq!(same.len(), 2);
    assert!(same.iter().all(|message| changed.contains(message)), "nothing changed, so no modseq was taken");
    let same = change(Flags::NONE, Flags::NONE, &["A", "B"], &["Z"]).await.unwrap();
    assert!(same.iter().all(|message| changed.contains(message)), "their case does not matter");
    let back = change(Flags::FLAGGED, Flags::SEEN, &[], &["A"]).await.unwrap();
    assert!(back.iter().all(|message| message.flags == Flags::FLAGGED && message.keywords == ["b"]));
    assert_eq!(kit.mailbox(Role::Inbox).await.unread, 2);
    let read = kit.read().await.placements(account, &[second, gone, first, second]).await.unwrap();
    assert_eq!(read, back, "in order of their ids, each once");
    kit.check_counts().await;
}

/// Messages of more kinds than are written alike.
async fn what_differs_stays_different(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let mut ids = Vec::new();
    for number in 0..12_u64 {
        let id = kit.add(number).await;
        let add_keywords = vec![format!("k{}", number % 6)];
        kit.write(move |tx| {
            let change = FlagChange { add_keywords: add_keywords.clone(), ..FlagChange::default() };
            Box::pin(async move { tx.change_flags(account, &[id], &change).await })
        })
        .await
        .unwrap();
        ids.push(id);
    }
    let all = ids.clone();
    let changed = kit.write(move |tx| {
        let (ids, seen) = (all.clone(), FlagChange { add: Flags::SEEN, ..FlagChange::default() });
        let flagged = FlagChange { add: Flags::FLAGGED, remove: Flags::SEEN, ..FlagChange::default() };
        Box::pin(async move {
            tx.change_flags(account, &ids, &seen).await?;
            tx.change_flags(account, &ids, &flagged).await
        })
    });
    assert_eq!(changed.await.unwrap().len(), 12);
    for (number, id) in ids.iter().enumerate() {
        let now = kit.get(*id).await.unwrap();
        assert_eq!((now.flags, now.keywords), (Flags::FLAGGED, vec![format!("k{}", number % 6)]));
    }
    assert_eq!(kit.mailbox(Role::Inbox).await.unread, 12);
}

async fn moved_messages_get_new_uids(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    // The first to come was received last.
    let ids = [kit.add(3).await, kit.add(2).await, kit.add(1).await];
    let (inbox, trash) = (kit.mailbox(Role::Inbox).await, kit.mailbox(Role::Trash).await);
    let since = inbox.modseq;
    let moved = kit.write(move |tx| {
        Box::pin(async move { tx.move_messages(account, &[ids[2], ids[0]], trash.id, NOW).await })
    });
    let moved = moved.await.unwrap();
    let mut uids: Vec<_> = moved.iter().map(|message| (message.uid.0, message.id, message.mailbox)).collect();
    uids.sort_unstable();
    assert_eq!(uids, [(1, ids[0], trash.id), (2, ids[2], trash.id)], "in the order of before");
    let changes = kit.read().await.changes(account, since, 100).await.unwrap();
    let removed: Vec<_> =
        changes.removed.iter().map(|gone| (gone.id, gone.mailbox, gone.uid.0, gone.expunged)).collect();
    assert!(
        removed.contains(&(ids[0], inbox.id, 1, false)) && removed.contains(&(ids[2], inbox.id, 3, false))
    );
    assert_eq!(removed.len(), 2);
    kit.write(move |tx| Box::pin(async move { tx.move_messages(account, &[ids[0]], inbox.id, NOW).await }))
        .await
        .unwrap();
    assert_eq!(kit.get(ids[0]).await.unwrap().uid.0, 4, "UIDs are never used again");
    let same = kit.get(ids[1]).await.unwrap();
    let still = kit
        .write(move |tx| Box::pin(async move { tx.move_messages(account, &[ids[1]], inbox.id, NOW).await }));
    assert_eq!(still.await.unwrap(), [same], "it is there already");
    kit.check_counts().await;
    renumbered_messages_stay(&kit, ids).await;
}

/// The messages are in the inbox under the UIDs 4 and 2, and in the trash.
async fn renumbered_messages_stay(kit: &Kit, ids: [MessageId; 3]) {
    let account = kit.account;
    let [first, second, third] =
        [kit.get(ids[0]).await, kit.get(ids[1]).await, kit.get(ids[2]).await].map(Option::unwrap);
    let (since, gone) = (kit.mailbox(Role::Inbox).await.modseq, kit.message(9).id);
    let later = NOW.plus(std::time::Duration::from_secs(5));
    let anew = kit.write(move |tx| {
        Box::pin(async move { tx.renumber_messages(account, &[ids[2], gone, ids[1], ids[0]], later).await })
    });
    let anew = anew.await.unwrap();
    let modseq = anew[0].modseq;
    assert!(modseq > since);
    let expected = [(second, 5), (first, 6), (third, 3)].map(|(before, uid)| Message {
        uid: Uid(uid),
        modseq,
        saved_at: Some(later),
        ..before
    });
    assert_eq!(anew, expected, "in order, each at the end of its mailbox");
    let inbox = kit.mailbox(Role::Inbox).await;
    let news = kit.read().await.listing(account, inbox.id, since).await.unwrap().unwrap();
    assert_eq!(news.removed, [(Uid(2), modseq), (Uid(4), modseq)]);
    assert_eq!(news.messages.iter().map(|message| message.uid.0).collect::<Vec<_>>(), [5, 6]);
    kit.check_counts().await;
}

async fn bodies_go_with_their_last_user(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let blob = types::BlobId([u8::try_from(account.0 % 251).unwrap(); 32]);
    let mut new = kit.message(1);
    let segments = vec![crate::Segment::Blob { id: blob, size_bytes: 70_000 }];
    new.body = crate::Body { segments }.pack(new.body.id).unwrap();
    let (id, body) = (new.id, new.body.id);
    kit.append(new.clone()).await;
    assert_eq!(kit.read().await.body(account, body).await.unwrap(), Some(new.body));
    let unknown = types::BlobId([255; 32]);
    assert_eq!(kit.read().await.blobs_in_use(&[unknown, blob]).await.unwrap(), [blob]);
    let expunge =
        |id: MessageId| kit.write(move |tx| Box::pin(async move { tx.expunge(account, &[id, id]).await }));
    assert_eq!(expunge(id).await.unwrap(), 1);
    assert_eq!(expunge(id).await.unwrap(), 0);
    assert_eq!(kit.read().await.body(account, body).await.unwrap(), None);
    assert!(kit.read().await.blobs_in_use(&[blob]).await.unwrap().is_empty());
    kit.check_counts().await;
}

async fn references_lead_to_threads(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let other = Kit::new(shards).await;
    let account = kit.account;
    let mut first = kit.message(1);
    first.refs = vec![11, 12];
    let thread = first.thread;
    kit.append(first.clone()).await;
    let mut second = kit.message(2);
    second.refs = vec![12, 13];
    let newer = second.thread;
    let looked_up = kit.write(move |tx| {
        let second = second.clone();
        Box::pin(async move {
            let before = tx.threads(account, &[12, 13]).await?;
            tx.append(second).await?;
            Ok((before, tx.threads(account, &[11, 12, 13, 14]).await?))
        })
    });
    let (before, mut after) = looked_up.await.unwrap();
    assert_eq!(before, [(12, thread)]);
    after.sort_unstable();
    assert_eq!(after, [(11, thread), (12, thread), (13, newer)], "the first thread stays");
    let account = other.account;
    let foreign = other.write(move |tx| Box::pin(async move { tx.threads(account, &[11]).await }));
    assert!(foreign.await.unwrap().is_empty(), "accounts have threads of their own");

    let thread = ThreadId(first.id.0);
    for number in 3..6 {
        let mut reply = kit.message(number);
        reply.thread = thread;
        kit.append(reply).await;
    }
    let whole = kit.read().await.thread(kit.account, thread, 10).await.unwrap();
    let subjects = |messages: &[Message]| -> Vec<String> {
        messages.iter().map(|message| message.summary.subject.clone()).collect()
    };
    assert_eq!(subjects(&whole), ["1", "3", "4", "5"]);
    let newest = kit.read().await.thread(kit.account, thread, 2).await.unwrap();
    assert_eq!(subjects(&newest), ["4", "5"]);
}

async fn delivery_states_are_noted(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let id = kit.add(1).await;
    let before = kit.get(id).await.unwrap();
    let delivery = vec![api::Delivery {
        recipient: "bob@far.test".to_owned(),
        state: api::DeliveryState::Failed,
        reply: Some("550 5.1.1 no such user".to_owned()),
        next_attempt_at: None,
    }];
    let gone = kit.message(9).id;
    let wanted = delivery.clone();
    let noted = kit.write(move |tx| {
        let delivery = wanted.clone();
        Box::pin(async move {
            tx.set_delivery(account, gone, &delivery).await?;
            tx.set_delivery(account, id, &delivery).await
        })
    });
    noted.await.unwrap();
    let after = kit.get(id).await.unwrap();
    assert_eq!(after.delivery, delivery);
    assert!(after.modseq > before.modseq);
}
