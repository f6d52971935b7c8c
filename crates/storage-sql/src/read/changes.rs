//! The change log: what happened after a modseq, read from the indexes by modseq.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use storage::{Changes, Removed, Result};
use types::{AccountId, MailboxId, MessageId, ModSeq, Uid};

use crate::{
    connect::Conn,
    entity::shard::{account, mailbox, message, tombstone},
    error::failed,
    rows,
};

/// Finds the last modseq of which everything fits, then reads everything up to it.
pub(super) async fn changes(conn: &Conn, account: AccountId, since: ModSeq, limit: u32) -> Result<Changes> {
    let nothing = Changes {
        upto: since,
        more: false,
        messages: Vec::new(),
        removed: Vec::new(),
        mailboxes: Vec::new(),
        removed_mailboxes: Vec::new(),
    };
    let row = account::Entity::find_by_id(account.0).one(conn).await.map_err(failed)?;
    let Some(last) = row.map(|row| row.modseq).filter(|last| *last > since.0) else { return Ok(nothing) };
    let mut upto = last;
    let skip = u64::from(limit.max(1)) - 1;
    let full = message::Entity::find()
        .select_only()
        .column(message::Column::Modseq)
        .filter(message::Column::AccountId.eq(account.0))
        .filter(message::Column::Modseq.gt(since.0))
        .order_by_asc(message::Column::Modseq)
        .offset(skip)
        .limit(1)
        .into_tuple::<i64>();
    upto = full.one(conn).await.map_err(failed)?.unwrap_or(upto).min(upto);
    let full = tombstone::Entity::find()
        .select_only()
        .column(tombstone::Column::Modseq)
        .filter(tombstone::Column::AccountId.eq(account.0))
        .filter(tombstone::Column::Modseq.gt(since.0))
        .order_by_asc(tombstone::Column::Modseq)
        .offset(skip)
        .limit(1)
        .into_tuple::<i64>();
    upto = full.one(conn).await.map_err(failed)?.unwrap_or(upto).min(upto);

    let mut messages = message::Entity::find()
        .filter(message::Column::AccountId.eq(account.0))
        .filter(message::Column::Modseq.gt(since.0))
        .filter(message::Column::Modseq.lte(upto))
        .order_by_asc(message::Column::Modseq)
        .all(conn)
        .await
        .map_err(failed)?;
    let mut removed = tombstone::Entity::find()
        .filter(tombstone::Column::AccountId.eq(account.0))
        .filter(tombstone::Column::Modseq.gt(since.0))
        .filter(tombstone::Column::Modseq.lte(upto))
        .order_by_asc(tombstone::Column::Modseq)
        .all(conn)
        .await
        .map_err(failed)?;
    // What happened by one change is in the same order on every back end.
    messages.sort_by_key(|row| (row.modseq, row.id));
    removed.sort_by_key(|row| (row.modseq, row.message_id, row.mailbox_id));
    let mut mailboxes = mailbox::Entity::find()
        .filter(mailbox::Column::AccountId.eq(account.0))
        .filter(mailbox::Column::Modseq.gt(since.0))
        .filter(mailbox::Column::Modseq.lte(upto))
        .order_by_asc(mailbox::Column::Modseq)
        .all(conn)
        .await
        .map_err(failed)?;
    mailboxes.sort_by_key(|row| (row.modseq, row.id));
    Ok(Changes {
        upto: ModSeq(upto),
        more: upto < last,
        messages: messages.into_iter().map(rows::message).collect::<Result<_>>()?,
        removed: removed.iter().map(view).collect(),
        mailboxes: mailboxes.iter().filter(|row| !row.deleted).map(rows::mailbox).collect(),
        removed_mailboxes: mailboxes.iter().filter(|row| row.deleted).map(|row| MailboxId(row.id)).collect(),
    })
}

fn view(row: &tombstone::Model) -> Removed {
    Removed {
        id: MessageId(row.message_id),
        mailbox: MailboxId(row.mailbox_id),
        uid: Uid(u32::try_from(row.uid).unwrap_or(0)),
        modseq: ModSeq(row.modseq),
        expunged: row.expunged,
    }
}
