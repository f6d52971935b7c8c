//! The change log.

use std::sync::Arc;

use types::{Flags, ModSeq, Role};

use super::kit::Kit;
use crate::{FlagChange, Shards};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    changes_are_told_apart(shards).await;
    changes_come_in_pieces(shards).await;
    the_index_is_noted(shards).await;
}

async fn changes_are_told_apart(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let (kept, gone) = (kit.add(1).await, kit.add(2).await);
    let since = kit.mailbox(Role::Inbox).await.modseq;
    let nothing = kit.read().await.changes(account, since, 10).await.unwrap();
    assert_eq!((nothing.upto, nothing.more), (since, false));
    assert!(nothing.messages.is_empty() && nothing.mailboxes.is_empty());

    let added = kit.add(3).await;
    kit.write(move |tx| {
        let change = FlagChange { add: Flags::SEEN, ..FlagChange::default() };
        Box::pin(async move {
            tx.change_flags(account, &[kept], &change).await?;
            tx.expunge(account, &[gone]).await
        })
    })
    .await
    .unwrap();
    let changes = kit.read().await.changes(account, since, 10).await.unwrap();
    let state = kit.read().await.account(account).await.unwrap().unwrap();
    assert_eq!((changes.upto, changes.more), (state.modseq, false));
    assert!(changes.messages.windows(2).all(|pair| pair[0].modseq <= pair[1].modseq));
    let created = |id| {
        let message = changes.messages.iter().find(|message| message.id == id).unwrap();
        message.created > since
    };
    assert!(created(added) && !created(kept));
    assert_eq!(changes.messages.len(), 2);
    assert_eq!((changes.removed.len(), changes.removed[0].id, changes.removed[0].expunged), (1, gone, true));
    assert_eq!(changes.mailboxes, [kit.mailbox(Role::Inbox).await], "as it is now, and only that one");
    assert!(changes.removed_mailboxes.is_empty());
}

/// However small the pieces: nothing is missing, a modseq is never split, and the end is the account's modseq.
async fn changes_come_in_pieces(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(kit.add(number).await);
    }
    let together: Vec<_> = ids[5..12].to_vec();
    kit.write(move |tx| {
        let change = FlagChange { add: Flags::SEEN, ..FlagChange::default() };
        let together = together.clone();
        Box::pin(async move { tx.change_flags(account, &together, &change).await })
    })
    .await
    .unwrap();
    let last = ids[12..16].to_vec();
    kit.write(move |tx| {
        let last = last.clone();
        Box::pin(async move { tx.expunge(account, &last).await })
    })
    .await
    .unwrap();
    let end = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    for limit in [1, 2, 3, 7, 1_000] {
        let (mut since, mut seen, mut removed) = (ModSeq(0), Vec::new(), 0);
        loop {
            let changes = kit.read().await.changes(account, since, limit).await.unwrap();
            assert!(
                changes
                    .messages
                    .iter()
                    .all(|message| message.modseq > since && message.modseq <= changes.upto)
            );
            assert!(changes.removed.iter().all(|gone| gone.modseq > since && gone.modseq <= changes.upto));
            seen.extend(changes.messages.iter().map(|message| message.id));
            removed += changes.removed.len();
            if !changes.more {
                assert_eq!(changes.upto, end);
                break;
            }
            assert!(changes.upto > since, "it goes on");
            since = changes.upto;
        }
        seen.sort_unstable();
        let left: Vec<_> = [&ids[..12], &ids[16..]].concat();
        assert_eq!((seen, removed), (left, 4), "limit {limit}");
    }
}

async fn the_index_is_noted(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let account = kit.account;
    let behind = |kit: Kit| async move {
        kit.read().await.unindexed(None, 10_000).await.unwrap().contains(&kit.account)
    };
    kit.add(1).await;
    assert!(behind(kit.clone()).await);
    let modseq = kit.mailbox(Role::Inbox).await.modseq;
    kit.write(move |tx| Box::pin(async move { tx.set_indexed(account, modseq).await })).await.unwrap();
    assert!(!behind(kit.clone()).await);
    let state = kit.read().await.account(account).await.unwrap().unwrap();
    assert_eq!((state.indexed, state.modseq), (modseq, modseq));
    kit.add(2).await;
    assert!(behind(kit).await);
}
