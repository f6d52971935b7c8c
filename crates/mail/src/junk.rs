//! What people say of mail by moving it into Junk, or out of it: the keywords `$Junk` and `$NotJunk` (RFC 9051 §2.3.2), in
//! the transaction of the move. So whatever learns of spam finds in the change log what was judged, as it does what
//! programs mark by themselves; and programs that do so see it, too.

use storage::{FlagChange, Result, Transaction};
use types::{AccountId, MailboxId, MessageId, Role};

const JUNK: &str = "$Junk";
const NOT_JUNK: &str = "$NotJunk";

/// What a move or a copy to this mailbox says of mail, by where it was.
pub(crate) struct Judgement {
    junk: MailboxId,
    /// Of what comes from elsewhere, and of what comes from Junk.
    of_others: Option<FlagChange>,
    of_junk: Option<FlagChange>,
}

impl Judgement {
    /// `None`: it says nothing of any.
    pub(crate) async fn by(
        tx: &mut dyn Transaction,
        account: AccountId,
        to: MailboxId,
    ) -> Result<Option<Self>> {
        let mailboxes = tx.mailboxes(account).await?;
        let Some(junk) = mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Junk)) else {
            return Ok(None);
        };
        let role = mailboxes.iter().find(|mailbox| mailbox.id == to).and_then(|mailbox| mailbox.role);
        let nothing = Self { junk: junk.id, of_others: None, of_junk: None };
        Ok(match role {
            Some(Role::Junk) => Some(Self { of_others: Some(marked(JUNK, NOT_JUNK)), ..nothing }),
            // What is thrown away may have been anything.
            Some(Role::Trash) => None,
            _ if junk.total == 0 => None,
            _ => Some(Self { of_junk: Some(marked(NOT_JUNK, JUNK)), ..nothing }),
        })
    }

    /// Of mail that is in this mailbox.
    pub(crate) fn of(&self, from: MailboxId) -> Option<&FlagChange> {
        if from == self.junk { self.of_junk.as_ref() } else { self.of_others.as_ref() }
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
    let placed = tx.placements(account, ids).await?;
    for change in [&judgement.of_others, &judgement.of_junk].into_iter().flatten() {
        let meant = placed.iter().filter(|message| judgement.of(message.mailbox) == Some(change));
        let meant: Vec<_> = meant.map(|message| message.id).collect();
        if !meant.is_empty() {
            tx.change_flags(account, &meant, change).await?;
        }
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
