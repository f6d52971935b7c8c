//! From a name to a mailbox.

use imap::wire::MailboxName;
use imap::{Code, Status};
use mail::Named;

use super::answers;
use super::session::Session;

impl Session {
    /// The mailbox of this name, which must be there.
    pub(super) async fn named(&mut self, name: &MailboxName) -> Result<Named, Status> {
        let found = self.access()?.by_name(&name.0).await.map_err(answers::refusal)?;
        found.ok_or_else(answers::non_existent)
    }

    /// The mailbox that messages are to be put into; the client may make it first (RFC 9051 §6.3.12).
    pub(super) async fn target(&mut self, name: &MailboxName) -> Result<Named, Status> {
        let found = self.access()?.by_name(&name.0).await.map_err(answers::refusal)?;
        found.ok_or_else(|| answers::non_existent().with(Code::TryCreate))
    }
}
