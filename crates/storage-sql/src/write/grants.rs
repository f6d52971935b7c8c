//! What others may do with an account's mailboxes.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use storage::{Grant, Result};
use types::{AccountId, MailboxId, Rights, Timestamp};

use crate::{
    connect::Conn,
    entity::shard::mailbox_grant,
    error::failed,
    open::Open,
    statement::{Conflict, insert},
};

/// The rows of an account, or those of one grantee; by grantee and mailbox.
pub(crate) async fn all(
    conn: &Conn,
    account: i64,
    grantee: Option<i64>,
) -> Result<Vec<mailbox_grant::Model>> {
    let mut found = mailbox_grant::Entity::find().filter(mailbox_grant::Column::AccountId.eq(account));
    if let Some(grantee) = grantee {
        found = found.filter(mailbox_grant::Column::GranteeId.eq(grantee));
    }
    let found =
        found.order_by_asc(mailbox_grant::Column::GranteeId).order_by_asc(mailbox_grant::Column::MailboxId);
    conn.all(&found, 1).await.map_err(failed)
}

pub(crate) fn grant(row: &mailbox_grant::Model) -> Grant {
    Grant {
        grantee: AccountId(row.grantee_id),
        mailbox: MailboxId(row.mailbox_id),
        grantee_since: Timestamp::from_millis(row.grantee_since),
        rights: Rights::from_bits(u16::try_from(row.rights).unwrap_or_default()),
        subscribed: row.subscribed,
    }
}

pub(super) async fn set(open: &mut Open, account: AccountId, grant: &Grant) -> Result<()> {
    open.hold(account).await?;
    open.flush().await?;
    // Copies of the account are told by it that there is something new, and sessions that they look again.
    open.advance(account.0)?;
    if grant.rights.is_empty() {
        open.conn
            .change(
                &mailbox_grant::Entity::delete_many()
                    .filter(mailbox_grant::Column::AccountId.eq(account.0))
                    .filter(mailbox_grant::Column::GranteeId.eq(grant.grantee.0))
                    .filter(mailbox_grant::Column::MailboxId.eq(grant.mailbox.0)),
            )
            .await
            .map_err(failed)?;
        return Ok(());
    }
    let row = mailbox_grant::Model {
        account_id: account.0,
        grantee_id: grant.grantee.0,
        mailbox_id: grant.mailbox.0,
        grantee_since: grant.grantee_since.millis(),
        rights: i32::from(grant.rights.bits()),
        subscribed: grant.subscribed,
    };
    insert::<mailbox_grant::Entity>(&open.conn, vec![row], Conflict::Replaces(&CHANGEABLE)).await
}

/// Those of a mailbox that is going.
pub(super) async fn remove(open: &Open, account: i64, mailbox: i64) -> Result<()> {
    open.conn
        .change(
            &mailbox_grant::Entity::delete_many()
                .filter(mailbox_grant::Column::AccountId.eq(account))
                .filter(mailbox_grant::Column::MailboxId.eq(mailbox)),
        )
        .await
        .map_err(failed)?;
    Ok(())
}

pub(crate) const CHANGEABLE: [mailbox_grant::Column; 3] =
    [mailbox_grant::Column::GranteeSince, mailbox_grant::Column::Rights, mailbox_grant::Column::Subscribed];
