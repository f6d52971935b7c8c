//! Many at once: units that share a transaction do not feel each other.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future;
use types::{Role, Uid};

use super::kit::Kit;
use crate::{Appended, Error, Filter, Message, Shards};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    uids_and_modseqs_ascend_under_load(shards).await;
    a_failing_unit_fails_alone(shards).await;
    a_unit_sees_its_own_writes(shards).await;
    paging_is_complete_while_mail_arrives(shards).await;
    known_pages_are_not_read_again(shards).await;
}

async fn uids_and_modseqs_ascend_under_load(shards: &Arc<dyn Shards>) {
    let kits = [Kit::new(shards).await, Kit::new(shards).await, Kit::new(shards).await];
    let appends = (0..60_usize).map(|number| {
        let kit = &kits[number % 3];
        kit.append(kit.message(number as u64))
    });
    let added = future::join_all(appends).await;
    for (place, kit) in kits.iter().enumerate() {
        let mine = added.iter().skip(place).step_by(3);
        let mut seen: Vec<_> = mine
            .map(|added| match added {
                Appended::New { uid, modseq, .. } => (*modseq, *uid),
                Appended::Duplicate => panic!("all are new"),
            })
            .collect();
        seen.sort_unstable();
        let uids: Vec<_> = seen.iter().map(|(_, uid)| *uid).collect();
        assert_eq!(uids, (1..=20).map(Uid).collect::<Vec<_>>(), "UIDs ascend with the modseqs, without gaps");
        assert_eq!(seen.iter().map(|(modseq, _)| modseq).collect::<BTreeSet<_>>().len(), 20);
        kit.check_counts().await;
    }
}

async fn a_failing_unit_fails_alone(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let runs = Arc::new(AtomicUsize::new(0));
    let writes = (0..30_u64).map(|number| {
        let (kit, runs) = (kit.clone(), Arc::clone(&runs));
        async move {
            let message = kit.message(number);
            kit.write(move |tx| {
                let message = message.clone();
                runs.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move {
                    match number % 10 {
                        3 => return Err(Error::Exists("a wish that cannot be granted")),
                        5 => panic!("a mistake in a unit: the adapter has to live with it"),
                        _ => {}
                    }
                    tx.append(message).await?;
                    if number % 10 == 7 { Err(Error::Backend("after it wrote".into())) } else { Ok(()) }
                })
            })
            .await
        }
    });
    let outcomes = future::join_all(writes).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match number % 10 {
            3 => assert!(matches!(outcome, Err(Error::Exists(_))), "{outcome:?}"),
            5 | 7 => assert!(matches!(outcome, Err(Error::Backend(_))), "{outcome:?}"),
            _ => assert!(outcome.is_ok(), "{outcome:?}"),
        }
    }
    assert!(runs.load(Ordering::Relaxed) >= 30);
    let kept = kit.all(None, Filter::default()).await;
    let subjects: BTreeSet<u64> =
        kept.iter().map(|message| message.summary.subject.parse().unwrap()).collect();
    let expected: BTreeSet<u64> = (0..30).filter(|number| ![3, 5, 7].contains(&(number % 10))).collect();
    assert_eq!(subjects, expected);
    kit.check_counts().await;
}

async fn a_unit_sees_its_own_writes(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let message = kit.message(1);
    let id = message.id;
    let (seen, committed) = kit
        .try_write(move |tx| {
            let message = message.clone();
            Box::pin(async move {
                tx.append(message).await?;
                let inbox = tx.mailboxes(account).await?.swap_remove(0);
                let found = tx.messages(account, &[id]).await?.len();
                let state = tx.account(account).await?.map(|state| (state.messages, state.modseq));
                Ok((inbox.total, found, state))
            })
        })
        .await
        .unwrap();
    assert_eq!(seen.0, 1);
    assert_eq!(seen.1, 1);
    let (messages, modseq) = seen.2.unwrap();
    assert_eq!(messages, 1);
    assert_eq!((committed.shard, committed.queued), (kit.shard, false));
    assert_eq!(committed.accounts, [(account, modseq)]);
    let (_, nothing) =
        kit.try_write(move |tx| Box::pin(async move { tx.account(account).await })).await.unwrap();
    assert!(nothing.accounts.is_empty(), "whoever only reads has changed nothing");
}

/// Pages are read by separate snapshots while newer mail keeps arriving: what was there is seen once.
async fn paging_is_complete_while_mail_arrives(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let mut expected = Vec::new();
    for number in 0..25 {
        expected.push(kit.add(number).await);
    }
    expected.reverse();
    let inbox = kit.mailbox(Role::Inbox).await.id;
    let (mut seen, mut before, mut number) = (Vec::new(), None, 100);
    loop {
        let request =
            crate::PageRequest { mailbox: Some(inbox), filter: Filter::default(), before, limit: 4 };
        let page = kit.read().await.page(kit.account, &request).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.iter().map(|message| message.id));
        kit.add(number).await;
        number += 1;
    }
    assert_eq!(seen, expected);
}

/// A page that is known is not read again before something has changed.
async fn known_pages_are_not_read_again(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let (first, second) = (kit.add(1).await, kit.add(2).await);
    let inbox = kit.mailbox(Role::Inbox).await;
    let request =
        crate::PageRequest { mailbox: Some(inbox.id), filter: Filter::default(), before: None, limit: 4 };
    let ask = async |request: &crate::PageRequest, known| {
        let paged = kit.read().await.page_if_new(account, request, known).await.unwrap()?;
        let ids = |all: Vec<Message>| all.iter().map(|message| message.id).collect::<Vec<_>>();
        Some((paged.edition, paged.messages.map(ids)))
    };
    let (edition, messages) = ask(&request, None).await.unwrap();
    assert_eq!((edition.uid_validity, edition.modseq), (inbox.uid_validity, inbox.modseq));
    assert_eq!(messages, Some(vec![second, first]));
    assert_eq!(ask(&request, Some(edition)).await, Some((edition, None)));
    let restored = crate::Edition { uid_validity: types::UidValidity(1), ..edition };
    assert_eq!(ask(&request, Some(restored)).await, Some((edition, Some(vec![second, first]))));
    let older = crate::PageRequest { before: Some(second), ..request };
    assert_eq!(ask(&older, None).await, Some((edition, Some(vec![first]))));
    let filter = Filter { unread: Some(false), flagged: Some(true), attachments: Some(true) };
    let none = crate::PageRequest { filter, ..request };
    assert_eq!(ask(&none, None).await, Some((edition, Some(Vec::new()))));
    assert_eq!(ask(&none, Some(edition)).await, Some((edition, None)));

    let seen = crate::FlagChange { add: types::Flags::SEEN, ..crate::FlagChange::default() };
    kit.write(move |tx| {
        let seen = seen.clone();
        Box::pin(async move { tx.change_flags(account, &[first], &seen).await })
    })
    .await
    .unwrap();
    let (newer, messages) = ask(&request, Some(edition)).await.unwrap();
    assert!(newer.modseq > edition.modseq);
    assert_eq!(messages, Some(vec![second, first]));
    let read = crate::PageRequest { filter: Filter { unread: Some(false), ..Filter::default() }, ..request };
    assert_eq!(ask(&read, Some(edition)).await, Some((newer, Some(vec![first]))));
    let missing = crate::PageRequest { mailbox: Some(types::MailboxId(9_999)), ..request };
    assert_eq!(ask(&missing, None).await, None);
}
