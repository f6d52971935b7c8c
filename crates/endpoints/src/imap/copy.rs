//! COPY and MOVE (RFC 9051 §6.4.7, RFC 6851, RFC 4315).

use imap::wire::{MailboxName, SequenceSet};
use imap::{Code, Expunges, Status, Writer};
use mail::Copied;

use super::answers;
use super::progress::Progress;
use super::select::target;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn copy(&mut self, set: &SequenceSet, mailbox: &MailboxName, uid: bool) -> Answer {
        let from = self.selected()?.mailbox.id;
        let messages = self.messages(set, uid)?;
        let to = self.target(mailbox).await?.mailbox.id;
        self.check_limit(messages.len())?;
        let targets: Vec<_> = messages.iter().map(|(_, message)| target(message)).collect();
        let (access, progress) = (self.access()?, Progress::default());
        let work = access.copy(from, &targets, to);
        let copied = self.patiently(&progress, work).await.map_err(answers::refusal)?;
        let copied = copied.ok_or_else(|| answers::non_existent().with(Code::TryCreate))?;
        if copied.pairs.len() < messages.len() && copied.pairs.is_empty() {
            return Err(Status::no("The messages are gone").with(Code::ExpungeIssued));
        }
        Ok(with_uids(Status::ok("Copied"), &copied))
    }

    /// The messages vanish from here: that is told before the command ends (RFC 6851 §3.3).
    pub(super) async fn move_to(&mut self, set: &SequenceSet, mailbox: &MailboxName, uid: bool) -> Answer {
        let selected = self.selected()?;
        let from = selected.mailbox.id;
        if selected.read_only {
            return Err(answers::read_only());
        }
        let mut messages = self.messages(set, uid)?;
        let lowest = self.cut(&mut messages);
        let to = self.target(mailbox).await?.mailbox.id;
        if from == to {
            return Err(answers::cannot("They are there already"));
        }
        let targets: Vec<_> = messages.iter().map(|(_, message)| target(message)).collect();
        let (access, progress) = (self.access()?, Progress::default());
        let work = access.move_all(from, &targets, to);
        let moved = self.patiently(&progress, work).await.map_err(answers::refusal)?;
        let moved = moved.ok_or_else(|| answers::non_existent().with(Code::TryCreate))?;
        if !moved.pairs.is_empty() {
            let mut out = self.writer();
            out.status(&with_uids(Status::ok("They are there now"), &moved));
            self.send(out);
        }
        self.tell_news(Expunges::Told).await?;
        Ok(self.limited(Status::ok("Moved"), lowest))
    }
}

fn with_uids(status: Status, copied: &Copied) -> Status {
    if copied.pairs.is_empty() {
        return status;
    }
    status.with(Code::CopyUid {
        uid_validity: copied.uid_validity.0,
        from: Writer::set_text(copied.pairs.iter().map(|(from, _)| from.0)),
        to: Writer::set_text(copied.pairs.iter().map(|(_, to)| to.0)),
    })
}
