//! What people say of mail by moving it into Junk, or out of it: the keywords `$Junk` and `$NotJunk` (RFC 9051 §2.3.2), in
//! the transaction of the move. So whatever learns of spam finds in the change log what was judged, as it does what
//! programs mark by themselves; and programs that do so see it, too.

use storage::{FlagChange, Placement, Result, Transaction};
use types::{AccountId, MailboxId, MessageId, Role, flags::has_keyword};

const JUNK: &str = "$Junk";
const NOT_JUNK: &str = "$NotJunk";

/// What a move or a copy to a mailbox says of mail.
pub(crate) struct Judgement {
    junk: MailboxId,
    trash: Option<MailboxId>,
    is_junk: bool,
    pub(crate) change: FlagChange,
}

impl Judgement {
    /// `None`: it says nothing of any.
    pub(crate) async fn by(
        tx: &mut dyn Transaction,
        account: AccountId,
        to: MailboxId,
    ) -> Result<Option<Self>> {
        let mailboxes = tx.mailboxes(account).await?;
        let with = |role| mailboxes.iter().find(|mailbox| mailbox.role == Some(role));
        let (Some(junk), trash) = (with(Role::Junk), with(Role::Trash)) else { return Ok(None) };
        let is_junk = to == junk.id;
        let may_be_judged = is_junk || junk.total > 0 || trash.is_some_and(|trash| trash.total > 0);
        let trash = trash.map(|trash| trash.id);
        // What is thrown away may have been anything.
        if trash == Some(to) || !may_be_judged {
            return Ok(None);
        }
        let change = if is_junk { marked(JUNK, NOT_JUNK) } else { marked(NOT_JUNK, JUNK) };
        Ok(Some(Self { junk: junk.id, trash, is_junk, change }))
    }

    /// Whether this is said of a message, by where it is. One that was junk and then thrown away is taken out of both.
    pub(crate) fn is_of(&self, message: &Placement) -> bool {
        let was_junk = message.mailbox == self.junk
            || Some(message.mailbox) == self.trash && has_keyword(&message.keywords, JUNK);
        if self.is_junk { message.mailbox != self.junk } else { was_junk }
    }
}

/// Marks messages that are about to be moved there, wherever they are.
pub(crate) async fn judge(
    tx: &mut dyn Transaction,
    account: AccountId,
    ids: &[MessageId],
    to: MailboxId,
) -> Result<()> {
    let Some(judgement) = Judgement::by(tx, account, to).await? else { return Ok(()) };
    let mut placed = tx.placements(account, ids).await?;
    placed.retain(|message| judgement.is_of(message));
    if !placed.is_empty() {
        let ids: Vec<_> = placed.iter().map(|message| message.id).collect();
        tx.change_flags(account, &ids, &judgement.change).await?;
    }
    Ok(())
}

fn marked(with: &str, without: &str) -> FlagChange {
    FlagChange {
        add_keywords: vec![with.to_owned()],
        remove_keywords: vec![without.to_owned()],
        ..FlagChange::default()
    }
}
