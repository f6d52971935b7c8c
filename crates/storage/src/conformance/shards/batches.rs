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
use crate::{Appended, Error, Filter, Shards};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    uids_and_modseqs_ascend_under_load(shards).await;
    a_failing_unit_fails_alone(shards).await;
    a_unit_sees_its_own_writes(shards).await;
    paging_is_complete_while_mail_arrives(shards).await;
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
