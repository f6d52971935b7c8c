//! Accounts and mailboxes: kept in memory until the batch is written.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait as _, Statement};
use storage::{Error, Mailbox, NewMailbox, Result};
use types::{AccountId, Bucket, MailboxId, Role, Timestamp, address::fold};

use super::{grants, metadata as annotations};
use crate::{
    entity::shard::{account, mailbox, placement},
    error::failed,
    open::{Open, not_provisioned},
    rolls, rows,
    statement::{Conflict, insert},
};

pub(super) async fn provision(open: &mut Open, account: AccountId, now: Timestamp) -> Result<()> {
    open.hold(account).await?;
    if open.account(account.0).is_ok() {
        return Ok(());
    }
    open.add_account(account::Model {
        account_id: account.0,
        modseq: 0,
        indexed_modseq: 0,
        forgotten_modseq: 0,
        messages: 0,
        used_bytes: 0,
        next_mailbox_id: 1,
        last_uid_validity: 0,
        fenced: false,
    });
    let bucket = i32::from(Bucket::of(account).0);
    let placed = placement::Model { account_id: account.0, bucket };
    insert::<placement::Entity>(&open.conn, vec![placed], Conflict::Stays).await?;
    for role in Role::ALL {
        let name = role.name().to_owned();
        create(open, NewMailbox { account, name, parent: None, role: Some(role), now }).await?;
    }
    Ok(())
}

pub(super) async fn create(open: &mut Open, new: NewMailbox) -> Result<Mailbox> {
    let account = new.account.0;
    open.hold(new.account).await?;
    let parent_id = new.parent.map(|parent| parent.0);
    if parent_id.is_some_and(|parent| open.mailbox(account, parent).is_none()) {
        return Err(Error::Backend("the parent of the new mailbox is not there".into()));
    }
    let name_key = fold(&rows::text(new.name.clone()));
    let role = new.role.map(rows::stored_role);
    let others = open.accounts.get(&account).ok_or_else(|| not_provisioned(account))?;
    let taken = |row: &mailbox::Model| {
        !row.deleted && (is_named(row, parent_id, &name_key) || (role.is_some() && row.role == role))
    };
    if others.mailboxes.values().any(taken) {
        return Err(Error::Exists("the mailbox"));
    }
    let modseq = open.advance(account)?;
    let owner = open.account(account)?;
    let id = owner.next_mailbox_id;
    owner.next_mailbox_id += 1;
    // A name may come back within the second: its UIDVALIDITY must differ nonetheless.
    owner.last_uid_validity = new.now.seconds().max(owner.last_uid_validity + 1);
    let row = mailbox::Model {
        account_id: account,
        id,
        parent_id,
        name: rows::text(new.name),
        name_key,
        role,
        uid_validity: owner.last_uid_validity,
        uid_next: 1,
        modseq,
        total: 0,
        unread: 0,
        size_bytes: 0,
        deleted: false,
        subscribed: true,
    };
    let view = rows::mailbox(&row);
    open.add_mailbox(row);
    Ok(view)
}

pub(super) async fn rename(
    open: &mut Open,
    account: AccountId,
    id: MailboxId,
    name: &str,
) -> Result<Option<Mailbox>> {
    open.hold(account).await?;
    let parent = open.mailbox(account.0, id.0).and_then(|row| row.parent_id).map(MailboxId);
    place(open, account, id, parent, name).await
}

pub(super) async fn place(
    open: &mut Open,
    account: AccountId,
    id: MailboxId,
    parent: Option<MailboxId>,
    name: &str,
) -> Result<Option<Mailbox>> {
    open.hold(account).await?;
    let Some(row) = open.mailbox(account.0, id.0).cloned() else { return Ok(None) };
    let parent_id = parent.map(|parent| parent.0);
    if row.name == name && row.parent_id == parent_id {
        return Ok(Some(rows::mailbox(&row)));
    }
    if !may_contain(open, account.0, parent_id, id.0) {
        return Err(Error::Backend("a mailbox cannot be put there".into()));
    }
    let name_key = fold(&rows::text(name.to_owned()));
    let others = open.accounts.get(&account.0).ok_or_else(|| not_provisioned(account.0))?;
    let taken =
        |other: &mailbox::Model| other.id != id.0 && !other.deleted && is_named(other, parent_id, &name_key);
    if others.mailboxes.values().any(taken) {
        return Err(Error::Exists("the mailbox"));
    }
    let modseq = open.advance(account.0)?;
    let row = open.change_mailbox(account.0, id.0, modseq)?;
    row.parent_id = parent_id;
    row.name = rows::text(name.to_owned());
    row.name_key = name_key;
    Ok(Some(rows::mailbox(row)))
}

/// Whether this parent is there, and is not the mailbox itself or in it.
fn may_contain(open: &Open, account: i64, parent: Option<i64>, id: i64) -> bool {
    let mut at = parent;
    let mut seen = BTreeSet::new();
    while let Some(parent) = at {
        match open.mailbox(account, parent) {
            Some(row) if parent != id && seen.insert(parent) => at = row.parent_id,
            Some(_) | None => return false,
        }
    }
    true
}

pub(super) async fn subscribe(
    open: &mut Open,
    account: AccountId,
    id: MailboxId,
    subscribed: bool,
) -> Result<Option<Mailbox>> {
    open.hold(account).await?;
    let Some(row) = open.mailbox(account.0, id.0) else { return Ok(None) };
    if row.subscribed == subscribed {
        return Ok(Some(rows::mailbox(row)));
    }
    let modseq = open.advance(account.0)?;
    let row = open.change_mailbox(account.0, id.0, modseq)?;
    row.subscribed = subscribed;
    Ok(Some(rows::mailbox(row)))
}

pub(super) async fn delete(open: &mut Open, account: AccountId, id: MailboxId) -> Result<bool> {
    open.settled(account).await?;
    if open.mailbox(account.0, id.0).is_none_or(|row| row.total > 0) {
        return Ok(false);
    }
    let others = open.accounts.get(&account.0).ok_or_else(|| not_provisioned(account.0))?;
    if others.mailboxes.values().any(|other| !other.deleted && other.parent_id == Some(id.0)) {
        return Ok(false);
    }
    annotations::remove(open, account.0, id.0).await?;
    grants::remove(open, account.0, id.0).await?;
    rolls::remove(&open.conn, account.0, id.0).await?;
    let modseq = open.advance(account.0)?;
    open.change_mailbox(account.0, id.0, modseq)?.deleted = true;
    Ok(true)
}

/// Those with rows of an account; its own is the last.
const TABLES: [&str; 18] = [
    "message",
    "tombstone",
    "thread_ref",
    "signature",
    "body",
    "body_blob",
    "body_share",
    "upload",
    "queue_entry",
    "queue_recipient",
    "metadata",
    "mailbox_grant",
    "roll",
    "roll_part",
    "deferred",
    "mailbox",
    "placement",
    "account",
];

pub(super) async fn purge(open: &mut Open, account: AccountId) -> Result<()> {
    open.hold(account).await?;
    open.flush().await?;
    let account = account.0;
    for table in TABLES {
        let sql = format!("DELETE FROM {table} WHERE account_id = $1");
        let all = Statement::from_sql_and_values(open.conn.get_database_backend(), sql, [account.into()]);
        open.conn.execute(all).await.map_err(failed)?;
    }
    open.forget(account);
    Ok(())
}

fn is_named(row: &mailbox::Model, parent_id: Option<i64>, name_key: &str) -> bool {
    row.parent_id == parent_id && row.name_key == name_key
}
