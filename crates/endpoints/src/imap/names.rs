//! From a name to a mailbox, and to what may be done with it.

use imap::wire::MailboxName;
use imap::{Code, Status};
use mail::{Mailbox, Named, Reach};
use types::Rights;

use super::answers;
use super::session::Session;

impl Session {
    /// The mailbox of this name, which must be there.
    pub(super) async fn named(&mut self, name: &MailboxName) -> Result<Named, Status> {
        let found = self.access()?.by_name(&name.0).await.map_err(answers::refusal)?;
        found.ok_or_else(answers::non_existent)
    }

    /// The mailbox that messages are to be put into; the client may make it first (RFC 9051 §6.3.12).
    pub(super) async fn target(&mut self, name: &MailboxName) -> Result<Reach, Status> {
        let gone = || answers::non_existent().with(Code::TryCreate);
        let found = self.access()?.by_name(&name.0).await.map_err(answers::refusal)?.ok_or_else(gone)?;
        let reach = self.reach_to(&found.mailbox).await?;
        reach.check(Rights::INSERT).map_err(answers::refusal)?;
        Ok(reach)
    }

    pub(super) async fn reach_to(&mut self, mailbox: &Mailbox) -> Result<Reach, Status> {
        let reach = self.access()?.reach(mailbox.account, mailbox.id).await.map_err(answers::refusal)?;
        reach.ok_or_else(answers::non_existent)
    }

    /// The selected mailbox, with the rights as they are now.
    pub(super) async fn reach(&mut self) -> Result<Reach, Status> {
        let mailbox = &self.selected()?.mailbox;
        let (owner, id) = (mailbox.account, mailbox.id);
        let reach = self.access()?.reach(owner, id).await.map_err(answers::refusal)?;
        match reach.filter(|reach| reach.rights().contains(Rights::READ)) {
            Some(reach) => Ok(reach),
            None => Err(self.lost()),
        }
    }

    /// RFC 2180 §3.3: the selected mailbox was deleted or restored from a backup under a client that believes in other
    /// numbers, or may not be read any more.
    pub(super) fn lost(&mut self) -> Status {
        self.selected = None;
        self.engine.bye("The selected mailbox is not there any more", None);
        Status::no("The selected mailbox is not there any more")
    }

    pub(super) fn is_selected(&self, mailbox: &Mailbox) -> bool {
        self.selected.as_ref().is_some_and(|selected| is_same(&selected.mailbox, mailbox))
    }
}

/// Mailboxes are numbered for each account.
pub(super) fn is_same(one: &Mailbox, other: &Mailbox) -> bool {
    (one.account, one.id) == (other.account, other.id)
}
