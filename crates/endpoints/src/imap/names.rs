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

    /// The mailbox that messages are to be put into.
    pub(super) async fn target(&mut self, name: &MailboxName) -> Result<Reach, Status> {
        let access = self.access()?;
        let reach = match access.by_name(&name.0).await.map_err(answers::refusal)? {
            Some(named) => {
                let Mailbox { account, id, .. } = named.mailbox;
                access.reach(account, id).await.map_err(answers::refusal)?
            }
            None => None,
        };
        let Some(reach) = reach else { return Err(self.no_target(name).await) };
        match reach.check(Rights::INSERT) {
            Ok(()) => Ok(reach),
            // What cannot be seen is answered as what is not there.
            Err(mail::Error::NotFound(_)) => Err(self.no_target(name).await),
            Err(error) => Err(answers::refusal(error)),
        }
    }

    /// There is no such mailbox; where the client may make it, it is told to (RFC 9051 §6.3.12).
    pub(super) async fn no_target(&mut self, name: &MailboxName) -> Status {
        let Ok(access) = self.access() else { return answers::non_existent() };
        match access.may_create(&name.0).await {
            Ok(true) => answers::non_existent().with(Code::TryCreate),
            Ok(false) => answers::non_existent(),
            Err(error) => answers::refusal(error),
        }
    }

    pub(super) async fn reach_to(&mut self, mailbox: &Mailbox) -> Result<Reach, Status> {
        let reach = self.access()?.reach(mailbox.account, mailbox.id).await.map_err(answers::refusal)?;
        reach.ok_or_else(answers::non_existent)
    }

    /// The selected mailbox, with the rights as they are now.
    pub(super) async fn reach(&mut self) -> Result<Reach, Status> {
        match self.readable().await? {
            Some(reach) => Ok(reach),
            None => {
                self.selected()?.barred = true;
                Err(answers::barred())
            }
        }
    }

    /// The same; `None`: it is somebody else's, and may not be read any more. It stays selected, since a client of
    /// RFC 3501 knows no way back but its own, and whatever is wanted of it is refused. Rights may come again.
    pub(super) async fn readable(&mut self) -> Result<Option<Reach>, Status> {
        let mailbox = &self.selected()?.mailbox;
        let (owner, id) = (mailbox.account, mailbox.id);
        let reach = self.access()?.reach(owner, id).await.map_err(answers::refusal)?;
        let reach = reach.filter(|reach| reach.rights().contains(Rights::READ));
        if reach.is_some() {
            self.selected()?.barred = false;
        }
        Ok(reach)
    }

    /// Says once that the selected mailbox may not be read any more.
    pub(super) fn tell_barred(&mut self) {
        let Some(selected) = &mut self.selected else { return };
        if !std::mem::replace(&mut selected.barred, true) {
            let mut out = self.writer();
            out.status(&answers::barred());
            self.send(out);
        }
    }

    /// A mailbox that whoever asks may know of: with rights that tell nothing, it is answered as one that is not there.
    pub(super) async fn known(&mut self, name: &MailboxName) -> Result<Named, Status> {
        let named = self.named(name).await?;
        if named.rights.meets(TELLING) { Ok(named) } else { Err(answers::non_existent()) }
    }

    /// RFC 2180 §3.3: the selected mailbox was deleted or restored from a backup under a client that believes in other
    /// numbers.
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

/// RFC 4314 §4: who has one of these is told what others' rights do not tell.
const TELLING: Rights = Rights::from_bits(
    Rights::LOOKUP.bits()
        | Rights::READ.bits()
        | Rights::INSERT.bits()
        | Rights::CREATE.bits()
        | Rights::DELETE.bits()
        | Rights::ADMINISTER.bits(),
);
