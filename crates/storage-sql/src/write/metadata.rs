//! Annotations of mailboxes and of the account.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use storage::{Annotation, Result};
use types::{AccountId, MailboxId};

use crate::{
    connect::Conn,
    entity::shard::metadata,
    error::failed,
    open::Open,
    rows,
    statement::{Conflict, insert},
};

/// The rows of an account, by mailbox and name.
pub(crate) async fn all(conn: &Conn, account: i64) -> Result<Vec<metadata::Model>> {
    let found = metadata::Entity::find()
        .filter(metadata::Column::AccountId.eq(account))
        .order_by_asc(metadata::Column::MailboxId)
        .order_by_asc(metadata::Column::Name);
    conn.all(&found, 1).await.map_err(failed)
}

pub(crate) fn annotation(row: metadata::Model) -> Annotation {
    let mailbox = (row.mailbox_id != OF_ACCOUNT).then_some(MailboxId(row.mailbox_id));
    Annotation { mailbox, name: row.name, value: row.value }
}

pub(super) async fn annotate(
    open: &mut Open,
    account: AccountId,
    mailbox: Option<MailboxId>,
    changes: &[(String, Option<Vec<u8>>)],
) -> Result<()> {
    open.hold(account).await?;
    open.flush().await?;
    // Copies of the account are told by it that there is something new.
    open.advance(account.0)?;
    let mailbox_id = mailbox.map_or(OF_ACCOUNT, |mailbox| mailbox.0);
    let names = changes.iter().map(|(name, _)| name.as_str());
    open.conn
        .change(
            &metadata::Entity::delete_many()
                .filter(metadata::Column::AccountId.eq(account.0))
                .filter(metadata::Column::MailboxId.eq(mailbox_id))
                .filter(metadata::Column::Name.is_in(names)),
        )
        .await
        .map_err(failed)?;
    let row = |(name, value): &(String, Option<Vec<u8>>)| {
        let (name, value) = (rows::text(name.clone()), value.clone()?);
        Some(metadata::Model { account_id: account.0, mailbox_id, name, value })
    };
    let rows = changes.iter().filter_map(row).collect();
    insert::<metadata::Entity>(&open.conn, rows, Conflict::Replaces(&[metadata::Column::Value])).await
}

/// Those of a mailbox that is going.
pub(super) async fn remove(open: &Open, account: i64, mailbox: i64) -> Result<()> {
    open.conn
        .change(
            &metadata::Entity::delete_many()
                .filter(metadata::Column::AccountId.eq(account))
                .filter(metadata::Column::MailboxId.eq(mailbox)),
        )
        .await
        .map_err(failed)?;
    Ok(())
}

/// Mailboxes are numbered from 1.
const OF_ACCOUNT: i64 = 0;
