//! What mail programs need: listings, copies, and mailboxes that move.

use std::sync::Arc;

use types::{AccountId, Flags, MailboxId, MessageId, ModSeq, Rights, Role, Uid};

use super::{
    kit::{Kit, NOW, random},
    replica::copy,
};
use crate::{Annotation, Copy, Error, FlagChange, Grant, Keep, Listing, NewMailbox, Shards};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    listings_tell_what_is_different(shards).await;
    listings_that_are_kept_tell_the_same(shards).await;
    copies_share_the_body(shards).await;
    signatures_go_with_their_body(shards).await;
    mailboxes_move_with_what_is_in_them(shards).await;
    subscriptions_are_kept(shards).await;
    annotations_are_kept(shards).await;
    grants_are_kept(shards).await;
}

async fn listing(kit: &Kit, mailbox: MailboxId, since: ModSeq) -> Listing {
    kit.read().await.listing(kit.account, mailbox, since).await.unwrap().unwrap()
}

fn uids(listing: &Listing) -> Vec<u32> {
    listing.messages.iter().map(|message| message.uid.0).collect()
}

async fn listings_tell_what_is_different(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let (inbox, trash) = (kit.mailbox(Role::Inbox).await.id, kit.mailbox(Role::Trash).await.id);
    assert!(kit.read().await.listing(account, MailboxId(999), ModSeq(0)).await.unwrap().is_none());
    assert!(listing(kit, inbox, ModSeq(0)).await.messages.is_empty());
    // The later ones are older, so the order of ids is not that of UIDs.
    let mut ids: Vec<MessageId> = Vec::new();
    for number in (1..=5).rev() {
        ids.push(kit.add(number).await);
    }
    let all = listing(kit, inbox, ModSeq(0)).await;
    assert_eq!((uids(&all), all.removed.len()), (vec![1, 2, 3, 4, 5], 0));
    assert_eq!(all.messages.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
    assert_eq!(all.messages.get(0).unwrap().received_at.seconds(), 5);
    assert_eq!(all.messages.get(0).unwrap().size_bytes, kit.get(ids[0]).await.unwrap().size_bytes);
    assert_eq!(all.mailbox.uid_next, Uid(6));

    let change = FlagChange { add: Flags::SEEN, add_keywords: vec!["x".into()], ..FlagChange::default() };
    let (second, third, fourth) = (ids[1], ids[2], ids[3]);
    kit.write(move |tx| {
        let change = change.clone();
        Box::pin(async move {
            tx.change_flags(account, &[second], &change).await?;
            tx.move_messages(account, &[third], trash, NOW).await?;
            tx.expunge(account, &[fourth]).await
        })
    })
    .await
    .unwrap();
    let news = listing(kit, inbox, all.mailbox.modseq).await;
    assert_eq!(uids(&news), [2]);
    assert_eq!(
        (news.messages.get(0).unwrap().flags, &*news.messages.get(0).unwrap().keywords),
        (Flags::SEEN, &["x".to_owned()][..])
    );
    assert_eq!(news.removed.iter().map(|(uid, _)| uid.0).collect::<Vec<_>>(), [3, 4]);
    assert!(news.removed.iter().all(|(_, modseq)| *modseq > all.mailbox.modseq));
    assert_eq!(uids(&listing(kit, inbox, ModSeq(0)).await), [1, 2, 5]);
    assert_eq!(uids(&listing(kit, trash, all.mailbox.modseq).await), [1]);
    assert!(uids(&listing(kit, inbox, news.mailbox.modseq).await).is_empty());

    let mut structures = kit.read().await.structures(account, &[ids[0], ids[3], ids[0]]).await.unwrap();
    assert_eq!(structures.pop().unwrap(), (ids[0], b"structure of 5".to_vec()));
    assert!(structures.is_empty(), "what was expunged has none");
}

/// What is kept is seen only by how much is read: each listing is compared with one that was never kept.
async fn listings_that_are_kept_tell_the_same(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let (inbox, trash) = (kit.mailbox(Role::Inbox).await.id, kit.mailbox(Role::Trash).await.id);
    let ids = kit.add_many(0..1_500).await;
    let outgrown = || async { kit.read().await.outgrown(account).await.unwrap() };
    assert_eq!(outgrown().await, [inbox]);
    let keep_as = |listing: Listing, how| {
        kit.write(move |tx| {
            let Listing { mailbox, messages, as_of, .. } = listing.clone();
            Box::pin(async move { tx.keep_listing(&mailbox, &messages, as_of, how).await })
        })
    };
    let keep = |listing| keep_as(listing, Keep::Changes);
    let first = listing(kit, inbox, ModSeq(0)).await;
    assert_eq!(first.keep, Some(Keep::Changes));
    keep(first.clone()).await.unwrap();
    assert!(outgrown().await.is_empty());
    assert_eq!(listing(kit, inbox, ModSeq(0)).await, Listing { keep: None, ..first.clone() });

    let change = FlagChange { add: Flags::SEEN, add_keywords: vec!["x".into()], ..FlagChange::default() };
    let (marked, moved, gone) = (ids[3..9].to_vec(), ids[20..25].to_vec(), ids[1_490..].to_vec());
    kit.write(move |tx| {
        let (change, marked, moved, gone) = (change.clone(), marked.clone(), moved.clone(), gone.clone());
        Box::pin(async move {
            tx.change_flags(account, &marked, &change).await?;
            tx.move_messages(account, &moved, trash, NOW).await?;
            tx.expunge(account, &gone).await
        })
    })
    .await
    .unwrap();
    kit.add_many(2_000..2_003).await;
    let second = listing(kit, inbox, ModSeq(0)).await;
    let news = listing(kit, inbox, first.mailbox.modseq).await;
    assert_eq!((second.messages.len(), second.keep), (1_488, None));
    let over = news.over(&first.messages);
    assert_eq!(second, over);
    // An older one never takes the place of a newer one.
    for kept in [second.clone(), first.clone()] {
        keep(kept).await.unwrap();
        assert_eq!(listing(kit, inbox, ModSeq(0)).await, second);
    }
    // One that lacks something is never told, but written anew.
    let mut short = second.clone();
    let lost = short.messages.get(700).unwrap().uid;
    short.messages = short.messages.with(Vec::new(), &[lost]);
    keep_as(short, Keep::Anew).await.unwrap();
    let told = listing(kit, inbox, ModSeq(0)).await;
    assert_eq!(told, Listing { keep: Some(Keep::Anew), ..second.clone() });
    keep_as(told, Keep::Anew).await.unwrap();
    assert_eq!(listing(kit, inbox, ModSeq(0)).await, second);
    // What has come behind it is kept soon, which leaves the rest as it is.
    kit.add_many(3_000..3_255).await;
    assert!(outgrown().await.is_empty());
    kit.add_many(4_000..4_001).await;
    assert_eq!(outgrown().await, [inbox]);
    let third = listing(kit, inbox, ModSeq(0)).await;
    assert_eq!((third.messages.len(), third.keep), (1_744, None));
    keep(third.clone()).await.unwrap();
    assert!(outgrown().await.is_empty());
    assert_eq!(listing(kit, inbox, ModSeq(0)).await, third);
    // It goes with the account.
    kit.write(move |tx| Box::pin(async move { tx.purge(account).await })).await.unwrap();
    keep(third).await.unwrap();
    kit.write(move |tx| Box::pin(async move { tx.provision(account, NOW).await })).await.unwrap();
    assert!(listing(kit, inbox, ModSeq(0)).await.messages.is_empty());
    assert!(outgrown().await.is_empty());
}

async fn copies_share_the_body(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let archive = kit.mailbox(Role::Archive).await.id;
    let mut first = kit.message(7);
    first.flags = Flags::FLAGGED;
    first.keywords = vec!["work".into()];
    let (from, body) = (first.id, first.body.id);
    kit.append(first).await;
    let original = kit.get(from).await.unwrap();
    let copy = |to: MessageId| {
        kit.write(move |tx| {
            Box::pin(async move {
                let gone = MessageId::at(NOW, [7; 10]);
                let copies = [Copy { from: gone, to: gone }, Copy { from, to }];
                tx.copy_messages(account, &copies, archive, NOW).await
            })
        })
    };
    let (one, two) =
        (MessageId::at(original.received_at, random()), MessageId::at(original.received_at, random()));
    for (to, uid) in [(one, 1), (two, 2)] {
        let made = copy(to).await.unwrap();
        assert_eq!(made.len(), 1);
        assert_eq!((made[0].id, made[0].mailbox, made[0].uid), (to, archive, Uid(uid)));
        assert_eq!((made[0].flags, &made[0].keywords), (original.flags, &original.keywords));
        assert_eq!((made[0].thread, made[0].body), (original.thread, body));
        assert_eq!((original.saved_at, made[0].saved_at), (Some(original.received_at), Some(NOW)));
        assert_eq!(made[0].created, made[0].modseq);
        assert_eq!(Some(made[0].clone()), kit.get(to).await);
    }
    assert!(copy(one).await.unwrap().is_empty(), "an id is used once");
    kit.check_counts().await;
    for id in [from, one, two] {
        assert!(kit.read().await.body(account, body).await.unwrap().is_some());
        kit.write(move |tx| Box::pin(async move { tx.expunge(account, &[id]).await })).await.unwrap();
    }
    assert!(kit.read().await.body(account, body).await.unwrap().is_none(), "it goes with its last user");
    kit.check_counts().await;
}

async fn signatures_go_with_their_body(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let archive = kit.mailbox(Role::Archive).await.id;
    let signed = kit.add(1).await;
    let mut new = kit.message(2);
    new.signature.clear();
    let unsigned = new.id;
    kit.append(new).await;
    let copied = MessageId::at(NOW, random());
    kit.write(move |tx| {
        Box::pin(async move {
            tx.copy_messages(account, &[Copy { from: signed, to: copied }], archive, NOW).await.map(drop)
        })
    })
    .await
    .unwrap();
    let ids = [signed, unsigned, copied];
    let read = || async { kit.read().await.signatures(account, &ids).await.unwrap() };
    let first: Arc<[u8]> = Arc::from(*b"signature of 1");
    let mut wanted = vec![(signed, first.clone()), (copied, first)];
    wanted.sort_unstable();
    assert_eq!(read().await, wanted);
    let modseq = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    kit.write(move |tx| {
        Box::pin(async move {
            let gone = MessageId::at(NOW, [7; 10]);
            let all = [unsigned, copied, gone].map(|id| (id, b"another".to_vec()));
            tx.sign(account, &all).await
        })
    })
    .await
    .unwrap();
    let mut wanted: Vec<_> = ids.iter().map(|id| (*id, Arc::from(*b"another"))).collect();
    wanted.sort_unstable();
    assert_eq!(read().await, wanted);
    assert_eq!(kit.read().await.account(account).await.unwrap().unwrap().modseq, modseq);
    kit.write(move |tx| Box::pin(async move { tx.expunge(account, &[signed, unsigned]).await }))
        .await
        .unwrap();
    assert_eq!(read().await, [(copied, Arc::from(*b"another"))]);
}

async fn mailboxes_move_with_what_is_in_them(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let create = |name: &'static str, parent| {
        let new = move || NewMailbox { account, name: name.to_owned(), parent, role: None, now: NOW };
        kit.write(move |tx| Box::pin(async move { tx.create_mailbox(new()).await }))
    };
    let shift = |id, parent, name: &'static str| {
        kit.write(move |tx| Box::pin(async move { tx.move_mailbox(account, id, parent, name).await }))
    };
    let a = create("a", None).await.unwrap();
    let b = create("b", Some(a.id)).await.unwrap();
    let moved = shift(b.id, None, "c").await.unwrap().unwrap();
    assert_eq!((moved.parent, moved.name.as_str(), moved.uid_validity), (None, "c", b.uid_validity));
    assert!(moved.modseq > b.modseq);
    assert_eq!(shift(b.id, None, "c").await.unwrap().unwrap().modseq, moved.modseq, "nothing changed");
    assert!(matches!(shift(b.id, None, "A").await, Err(Error::Exists(_))));
    shift(a.id, Some(b.id), "a").await.unwrap().unwrap();
    for parent in [a.id, b.id, MailboxId(999)] {
        assert!(shift(b.id, Some(parent), "x").await.is_err(), "into itself, or nowhere");
    }
    assert_eq!(shift(MailboxId(999), None, "x").await.unwrap(), None);
    assert_eq!(kit.read().await.mailbox(account, a.id).await.unwrap().unwrap().parent, Some(b.id));
}

async fn subscriptions_are_kept(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let inbox = kit.mailbox(Role::Inbox).await;
    assert!(inbox.subscribed);
    let subscribe =
        |id, yes| kit.write(move |tx| Box::pin(async move { tx.subscribe_mailbox(account, id, yes).await }));
    let no = subscribe(inbox.id, false).await.unwrap().unwrap();
    assert!(!no.subscribed && no.modseq > inbox.modseq);
    assert_eq!(subscribe(inbox.id, false).await.unwrap(), Some(no.clone()));
    assert_eq!(kit.read().await.mailbox(account, inbox.id).await.unwrap(), Some(no));
    assert!(subscribe(inbox.id, true).await.unwrap().unwrap().subscribed);
    assert_eq!(subscribe(MailboxId(999), true).await.unwrap(), None);
}

async fn grants_are_kept(shards: &Arc<dyn Shards>) {
    let (kit, other) = (&Kit::new(shards).await, Kit::unused(shards));
    let account = kit.account;
    let inbox = kit.mailbox(Role::Inbox).await.id;
    let folder = kit.folder("Shared").await;
    let one = |grantee, mailbox, rights| Grant {
        grantee: AccountId(grantee),
        mailbox,
        grantee_since: NOW,
        rights,
        subscribed: false,
    };
    let read = Rights::LOOKUP | Rights::READ;
    let set =
        |grant: Grant| kit.write(move |tx| Box::pin(async move { tx.set_grant(account, &grant).await }));
    let before = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    set(one(8, folder, read)).await.unwrap();
    set(one(7, inbox, Rights::ALL)).await.unwrap();
    set(one(7, folder, Rights::POST)).await.unwrap();
    set(Grant { subscribed: true, ..one(7, folder, read) }).await.unwrap();
    set(one(9, inbox, read)).await.unwrap();
    set(one(9, inbox, Rights::NONE)).await.unwrap();
    let after = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    assert_eq!(after.0, before.0 + 6, "copies are told of each change");
    let mut wanted = vec![
        one(7, inbox, Rights::ALL),
        Grant { subscribed: true, ..one(7, folder, read) },
        one(8, folder, read),
    ];
    assert_eq!(kit.read().await.grants(account, None).await.unwrap(), wanted);
    assert_eq!(kit.read().await.grants(account, Some(AccountId(8))).await.unwrap(), wanted[2..]);
    assert!(other.read().await.grants(other.account, None).await.unwrap().is_empty());
    copy(kit, &other).await;
    assert_eq!(other.read().await.grants(other.account, None).await.unwrap(), wanted);
    assert!(
        kit.write(move |tx| Box::pin(async move { tx.delete_mailbox(account, folder).await })).await.unwrap()
    );
    wanted.truncate(1);
    assert_eq!(kit.read().await.grants(account, None).await.unwrap(), wanted, "they go with the mailbox");
    kit.write(move |tx| Box::pin(async move { tx.purge(account).await })).await.unwrap();
    assert!(kit.read().await.grants(account, None).await.unwrap().is_empty(), "and with the account");
}

async fn annotations_are_kept(shards: &Arc<dyn Shards>) {
    let (kit, other) = (&Kit::new(shards).await, Kit::unused(shards));
    let account = kit.account;
    let archive = kit.mailbox(Role::Archive).await.id;
    let folder = kit.folder("Notes").await;
    let annotate = |mailbox: Option<MailboxId>, name: &'static str, value: Option<&'static [u8]>| {
        let changes = vec![(name.to_owned(), value.map(<[u8]>::to_vec))];
        kit.write(move |tx| {
            let changes = changes.clone();
            Box::pin(async move { tx.annotate(account, mailbox, &changes).await })
        })
    };
    let before = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    annotate(None, "/private/a", Some(b"1\0")).await.unwrap();
    annotate(Some(archive), "/private/a", Some(b"2")).await.unwrap();
    annotate(Some(archive), "/private/a", Some(b"3")).await.unwrap();
    annotate(Some(archive), "/private/b", Some(b"4")).await.unwrap();
    annotate(Some(archive), "/private/b", None).await.unwrap();
    annotate(Some(folder), "/private/a", Some(b"5")).await.unwrap();
    let after = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    assert_eq!(after.0, before.0 + 6, "copies are told of each change");
    let one =
        |mailbox, value: &[u8]| Annotation { mailbox, name: "/private/a".into(), value: value.to_vec() };
    let mut wanted = vec![one(None, b"1\0"), one(Some(archive), b"3"), one(Some(folder), b"5")];
    assert_eq!(kit.read().await.annotations(account).await.unwrap(), wanted);
    assert!(other.read().await.annotations(other.account).await.unwrap().is_empty());
    copy(kit, &other).await;
    assert_eq!(other.read().await.annotations(other.account).await.unwrap(), wanted);
    assert!(
        kit.write(move |tx| Box::pin(async move { tx.delete_mailbox(account, folder).await })).await.unwrap()
    );
    wanted.pop();
    assert_eq!(kit.read().await.annotations(account).await.unwrap(), wanted);
}
