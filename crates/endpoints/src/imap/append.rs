//! APPEND and REPLACE (RFC 9051 §6.3.12, RFC 3502, RFC 8508).

use bytes::Bytes;
use imap::wire::{Append, Content, MailboxName, SequenceSet};
use imap::{Code, Expunges, Status, Writer};
use mail::{NewLetter, Reach, Target};
use types::{Rights, Uid, UidValidity};

use super::answers;
use super::progress::Progress;
use super::select::target;
use super::session::{Answer, Session};
use super::store::parted;

impl Session {
    /// All messages or none; when OK is said, they are durable.
    pub(super) async fn append(&mut self, mailbox: &MailboxName, messages: Vec<Append>) -> Answer {
        self.check_limit(messages.len())?;
        let mut letters = Vec::with_capacity(messages.len());
        for message in messages {
            letters.push(self.letter(message).await?);
        }
        let (validity, uids) = self.add(mailbox, letters, None).await?;
        Ok(with_uids(Status::ok("Added"), validity, &uids))
    }

    async fn add(
        &mut self,
        mailbox: &MailboxName,
        letters: Vec<NewLetter>,
        replaced: Option<(&Reach, &Target)>,
    ) -> Result<(UidValidity, Vec<Uid>), Status> {
        let (target, progress) = (self.target(mailbox).await?, Progress::default());
        let adding = async {
            match replaced {
                Some(replaced) => target.append_for(letters, replaced).await,
                None => target.append(letters).await,
            }
        };
        let added = self.patiently(&progress, adding).await;
        match added.map_err(answers::refusal)? {
            Some(added) => Ok(added),
            None => Err(self.no_target(mailbox).await),
        }
    }

    /// The new one is there before the old one goes.
    pub(super) async fn replace(
        &mut self,
        message: u32,
        mailbox: &MailboxName,
        with: Append,
        uid: bool,
    ) -> Answer {
        if self.selected()?.read_only {
            return Err(answers::read_only());
        }
        let reach = self.reach().await?;
        reach.check(Rights::DELETED | Rights::EXPUNGE).map_err(answers::refusal)?;
        let bound = imap::wire::Bound::Number(message);
        let old = self.messages(&SequenceSet::Ranges(vec![(bound, bound)]), uid)?;
        let [(_, old)] = old.as_slice() else { return Err(answers::no_such_message()) };
        let old = target(old);
        let letter = self.letter(with).await?;
        let (validity, uids) = self.add(mailbox, vec![letter], Some((&reach, &old))).await?;
        let mut out = self.writer();
        out.status(&with_uids(Status::ok("It is there now"), validity, &uids));
        self.send(out);
        reach.remove(&[old]).await.map_err(answers::refused)?;
        self.tell_news(Expunges::Told).await?;
        Ok(Status::ok("Replaced"))
    }

    async fn letter(&mut self, append: Append) -> Result<NewLetter, Status> {
        let Append { flags, received_at, content } = append;
        let raw = match content {
            Content::Bytes(bytes) => Bytes::from(bytes),
            Content::Catenate(parts) => self.catenated(parts).await?,
        };
        if raw.is_empty() {
            return Err(Status::no("A message has content"));
        }
        let raw = message::with_crlf(&raw).map_or(raw, Bytes::from);
        let (flags, keywords) = parted(&flags);
        Ok(NewLetter { raw, flags, keywords, received_at })
    }
}

fn with_uids(status: Status, validity: UidValidity, uids: &[Uid]) -> Status {
    let uids = Writer::set_text(uids.iter().map(|uid| uid.0));
    status.with(Code::AppendUid { uid_validity: validity.0, uids })
}
