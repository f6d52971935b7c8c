//! Accounts and mailboxes.

use std::sync::Arc;

use types::{MailboxId, Role};

use super::kit::{Kit, NOW};
use crate::{Error, Mailbox, NewMailbox, Result, Shards};

pub(super) async fn run(shards: &Arc<dyn Shards>) {
    accounts_are_set_up_once(shards).await;
    names_are_unique_within_a_parent(shards).await;
    only_empty_mailboxes_are_deleted(shards).await;
    what_is_purged_is_gone(shards).await;
}

async fn accounts_are_set_up_once(shards: &Arc<dyn Shards>) {
    let kit = Kit::unused(shards);
    let account = kit.account;
    assert_eq!(kit.read().await.account(account).await.unwrap(), None);
    assert!(kit.read().await.mailboxes(account).await.unwrap().is_empty());
    for _ in 0..2 {
        kit.write(move |tx| Box::pin(async move { tx.provision(account, NOW).await })).await.unwrap();
        let all = kit.read().await.mailboxes(account).await.unwrap();
        let roles: Vec<_> = all.iter().map(|mailbox| mailbox.role.unwrap()).collect();
        assert_eq!(roles, Role::ALL);
        assert!(all.iter().all(|mailbox| mailbox.name == mailbox.role.unwrap().name()));
        assert!(all.iter().all(|mailbox| mailbox.total == 0 && mailbox.uid_next.0 == 1));
    }
    let listed = kit.read().await.accounts(Some(types::AccountId(account.0 - 1)), 1).await.unwrap();
    assert_eq!(listed[0].id, account);
}

async fn create(kit: &Kit, name: &'static str, parent: Option<MailboxId>) -> Result<Mailbox> {
    let account = kit.account;
    let new = move || NewMailbox { account, name: name.to_owned(), parent, role: None, now: NOW };
    kit.write(move |tx| Box::pin(async move { tx.create_mailbox(new()).await })).await
}

async fn names_are_unique_within_a_parent(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let work = create(kit, "Work", None).await.unwrap();
    for name in ["Work", "WORK", "work", "inbox"] {
        let error = create(kit, name, None).await.unwrap_err();
        assert!(matches!(error, Error::Exists(_)), "{name}: {error:?}");
    }
    let below = create(kit, "Work", Some(work.id)).await.unwrap();
    assert_eq!(below.parent, Some(work.id));
    let korean = create(kit, "가족", None).await.unwrap();
    assert_eq!(kit.read().await.mailbox(account, korean.id).await.unwrap(), Some(korean.clone()));

    let rename = |id: MailboxId, name: &'static str| {
        kit.write(move |tx| Box::pin(async move { tx.rename_mailbox(account, id, name).await }))
    };
    assert!(matches!(rename(korean.id, "work").await, Err(Error::Exists(_))));
    let renamed = rename(work.id, "WORK").await.unwrap().unwrap();
    assert_eq!((renamed.id, renamed.name.as_str()), (work.id, "WORK"));
    assert!(renamed.modseq > work.modseq && renamed.uid_validity == work.uid_validity);
    assert_eq!(rename(MailboxId(999), "x").await.unwrap(), None);
    let all = kit.read().await.mailboxes(account).await.unwrap();
    let names: Vec<_> = all.iter().skip(Role::ALL.len()).map(|mailbox| mailbox.name.as_str()).collect();
    assert_eq!(names.len(), 3);
    assert_eq!(names[2], "가족", "by name after the roles");
}

async fn only_empty_mailboxes_are_deleted(shards: &Arc<dyn Shards>) {
    let kit = &Kit::new(shards).await;
    let account = kit.account;
    let first = create(kit, "A", None).await.unwrap();
    let child = create(kit, "B", Some(first.id)).await.unwrap();
    let delete =
        |id: MailboxId| kit.write(move |tx| Box::pin(async move { tx.delete_mailbox(account, id).await }));
    assert!(!delete(first.id).await.unwrap(), "it has a child");
    kit.add(1).await;
    let inbox = kit.mailbox(Role::Inbox).await;
    assert!(!delete(inbox.id).await.unwrap(), "it has mail");
    let before = kit.read().await.account(account).await.unwrap().unwrap().modseq;
    assert!(delete(child.id).await.unwrap());
    assert!(!delete(child.id).await.unwrap());
    assert!(delete(first.id).await.unwrap());
    assert_eq!(kit.read().await.mailbox(account, first.id).await.unwrap(), None);
    let changes = kit.read().await.changes(account, before, 100).await.unwrap();
    let mut removed = changes.removed_mailboxes;
    removed.sort_unstable();
    assert_eq!(removed, [first.id, child.id]);
    assert!(changes.mailboxes.is_empty());
    let again = create(kit, "A", None).await.unwrap();
    assert!(again.id > child.id, "ids are never used again");
    assert!(again.uid_validity > first.uid_validity, "nor is a UIDVALIDITY of a name");
}

async fn what_is_purged_is_gone(shards: &Arc<dyn Shards>) {
    let kit = Kit::new(shards).await;
    let other = Kit::new(shards).await;
    let account = kit.account;
    let message = kit.message(1);
    let (id, body) = (message.id, message.body.id);
    kit.append(message).await;
    let stays = other.add(1).await;
    kit.write(move |tx| Box::pin(async move { tx.purge(account).await })).await.unwrap();
    assert_eq!(kit.read().await.account(account).await.unwrap(), None);
    assert!(kit.read().await.mailboxes(account).await.unwrap().is_empty());
    assert_eq!(kit.get(id).await, None);
    assert_eq!(kit.read().await.body(account, body).await.unwrap(), None);
    assert!(other.get(stays).await.is_some());
    kit.write(move |tx| Box::pin(async move { tx.provision(account, NOW).await })).await.unwrap();
    kit.check_counts().await;
}
