//! Copies of messages, which share the stored body.

use std::collections::BTreeMap;

use sea_orm::prelude::Uuid;
use storage::{Copy, Message, Result, Source};
use types::{AccountId, MailboxId, MessageId, Timestamp};

use super::{bodies::add_users, messages::place};
use crate::{open::Open, rows};

pub(super) async fn copy_to(
    open: &mut Open,
    account: AccountId,
    copies: &[Copy],
    to: MailboxId,
    now: Timestamp,
) -> Result<Vec<Message>> {
    open.settled(account).await?;
    place(open, account.0, Source::Mailbox(to))?;
    let keys: Vec<_> = copies.iter().map(|copy| (account, copy.to)).collect();
    open.look_up(&keys, &[]).await?;
    let from: Vec<MessageId> = copies.iter().map(|copy| copy.from).collect();
    let found: BTreeMap<Uuid, _> =
        open.read_message_rows(account, &from).await?.into_iter().map(|row| (row.id, row)).collect();
    let mut made = Vec::new();
    let mut users: BTreeMap<(i64, Uuid), i64> = BTreeMap::new();
    let mut modseq = None;
    for copy in copies {
        let known = open.known.get(&(account.0, copy.to.0)).copied().unwrap_or_default();
        let Some(mut row) = found.get(&copy.from.0).filter(|_| !known).cloned() else { continue };
        let modseq = match modseq {
            Some(modseq) => modseq,
            None => *modseq.insert(open.advance(account.0)?),
        };
        let target = open.change_mailbox(account.0, to.0, modseq)?;
        row.id = copy.to.0;
        row.mailbox_id = to.0;
        row.uid = target.uid_next;
        row.modseq = modseq;
        row.created_modseq = modseq;
        row.saved_at = Some(now.millis());
        // How the first fares is told there.
        row.delivery = None;
        target.uid_next += 1;
        target.total += 1;
        target.unread += i64::from(rows::flags(row.flags).is_unread());
        target.size_bytes += row.size_bytes;
        let owner = open.account(account.0)?;
        owner.messages += 1;
        owner.used_bytes += row.size_bytes;
        open.known.insert((account.0, row.id), true);
        *users.entry((account.0, row.body_id)).or_default() += 1;
        open.waiting.messages.push(row.clone());
        made.push(row);
    }
    add_users(&open.conn, users.into_iter().collect()).await?;
    open.flush_if_much().await?;
    made.into_iter().map(rows::message).collect()
}
