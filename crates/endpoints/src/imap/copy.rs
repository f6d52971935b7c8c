//! COPY and MOVE (RFC 9051 §6.4.7, RFC 6851, RFC 4315).

use imap::wire::{MailboxName, SequenceSet};
use imap::{Code, Expunges, Status, Writer};
use mail::{Copied, Listed, Reach};

use super::answers;
use super::progress::Progress;
use super::select::target;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn copy(&mut self, set: &SequenceSet, mailbox: &MailboxName, uid: bool) -> Answer {
        let from = self.reach().await?;
        let messages = self.messages(set, uid)?;
        let to = self.target(mailbox).await?;
        self.check_limit(messages.len())?;
        self.charge_carried(&from, &to, &messages)?;
        let targets: Vec<_> = messages.iter().map(|(_, message)| target(message)).collect();
        let progress = Progress::default();
        let copied = self.patiently(&progress, from.copy(&targets, &to)).await;
        let copied = self.carried(copied, mailbox).await?;
        if copied.pairs.len() < messages.len() && copied.pairs.is_empty() {
            return Err(Status::no("The messages are gone").with(Code::ExpungeIssued));
        }
        Ok(with_uids(Status::ok("Copied"), &copied))
    }

    /// The messages vanish from here: that is told before the command ends (RFC 6851 §3.3).
    pub(super) async fn move_to(&mut self, set: &SequenceSet, mailbox: &MailboxName, uid: bool) -> Answer {
        if self.selected()?.read_only {
            return Err(answers::read_only());
        }
        let from = self.reach().await?;
        let mut messages = self.messages(set, uid)?;
        let lowest = self.cut(&mut messages);
        let to = self.target(mailbox).await?;
        if !from.is_same(&to) {
            self.charge_carried(&from, &to, &messages)?;
        }
        let targets: Vec<_> = messages.iter().map(|(_, message)| target(message)).collect();
        let progress = Progress::default();
        let moved = self.patiently(&progress, from.move_all(&targets, &to)).await;
        let moved = self.carried(moved, mailbox).await?;
        if !moved.pairs.is_empty() {
            let mut out = self.writer();
            out.status(&with_uids(Status::ok("They are there now"), &moved));
            self.send(out);
        }
        self.tell_news(Expunges::Told).await?;
        Ok(self.limited(Status::ok("Moved"), lowest))
    }

    /// What became of it. Either mailbox may have gone meanwhile, or the rights to it.
    async fn carried(
        &mut self,
        outcome: mail::Result<Option<Copied>>,
        to: &MailboxName,
    ) -> Result<Copied, Status> {
        match outcome {
            Ok(Some(carried)) => Ok(carried),
            Ok(None) | Err(mail::Error::NotFound(_)) => {
                self.reach().await?;
                Err(self.no_target(to).await)
            }
            Err(error) => Err(answers::refusal(error)),
        }
    }

    /// Between accounts, and with rights that do not let all flags come along, messages are read and written anew.
    fn charge_carried(&mut self, from: &Reach, to: &Reach, messages: &[(u32, Listed)]) -> Result<(), Status> {
        if from.owner() == to.owner() && !to.is_shared() {
            return Ok(());
        }
        let sizes = || messages.iter().map(|(_, message)| message.size_bytes);
        self.charge(sizes().sum::<u64>().min(PIECE_BYTES.max(sizes().max().unwrap_or(0))))
    }
}

/// What of messages that are carried is in memory at once.
const PIECE_BYTES: u64 = 8 << 20;

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
