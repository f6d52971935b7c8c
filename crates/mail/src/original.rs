//! What a mail that is written comes from: the messages that it answers or passes on, the draft that it replaces, the
//! files that it takes along. Messages are one's own, or in a folder that somebody else shares ([`crate::visit`]).

use message::compose::OutgoingAttachment;
use storage::Snapshot;
use types::api::{self, Attachment, Compose, SharedId};
use types::{Flags, MessageId, UploadId};

use crate::body::{self, Download};
use crate::bulk::{Change, Target};
use crate::{Access, Error, Result};

/// What a mail names of those that it comes from, and what is set on them once it is sent.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The Message-IDs of what it answers.
    pub(crate) answered: Vec<String>,
    /// The chain of Message-IDs that leads to what it answers or passes on.
    pub(crate) references: Vec<String>,
    pub(crate) marks: Vec<(MessageId, Flags)>,
}

/// There is nothing to be replaced.
pub(crate) fn no_draft() -> Error {
    Error::invalid("replaces", "there is no such draft: it was sent, replaced or deleted")
}

impl Access {
    /// What the mail comes from.
    pub(crate) async fn origin(&self, compose: &Compose) -> Result<Origin> {
        let named = [
            ("in_reply_to", compose.in_reply_to, Flags::ANSWERED),
            ("forward_of", compose.forward_of, Flags::FORWARDED),
        ];
        let named: Vec<_> =
            named.into_iter().filter_map(|(field, id, mark)| Some((field, id?, mark))).collect();
        if named.is_empty() {
            if compose.shared.is_some() {
                let detail = "name the message there that this answers or passes on";
                return Err(Error::invalid("shared", detail));
            }
            return self.origin_of_draft(compose.replaces).await;
        }
        let mut origin: Option<Origin> = None;
        for (field, id, mark) in named {
            let original = match self.original(compose.shared, id).await {
                Ok(original) => original,
                // It is out of reach by now, but was not when the draft was begun.
                Err(Error::NotFound(_) | Error::Forbidden(_)) if compose.replaces.is_some() => {
                    return self.origin_of_draft(compose.replaces).await;
                }
                // Whether it is there is told only to whom may read it.
                Err(Error::NotFound(_) | Error::Forbidden(_)) => {
                    return Err(Error::invalid(field, "there is no such message"));
                }
                Err(other) => return Err(other),
            };
            // Of two, the first is what is answered.
            origin.get_or_insert_with(|| Origin::of(original, mark)).marks.push((id, mark));
        }
        Ok(origin.unwrap_or_default())
    }

    /// A message, which may be in a folder that somebody else shares.
    async fn original(&self, shared: Option<SharedId>, id: MessageId) -> Result<api::Message> {
        match shared {
            Some(SharedId { owner, folder }) => self.shared_message(owner, folder, id).await,
            None => self.message(id).await,
        }
    }

    /// The bytes of the draft, if there is such a one.
    pub(crate) async fn draft_bytes(&self, id: MessageId) -> Result<u64> {
        match self.row(id).await {
            Ok(row) if row.flags.contains(Flags::DRAFT) => Ok(row.size_bytes),
            Ok(_) | Err(Error::NotFound(_)) => Err(no_draft()),
            Err(other) => Err(other),
        }
    }

    /// What the draft names: it may be out of reach by now, so nothing is set on it.
    async fn origin_of_draft(&self, draft: Option<MessageId>) -> Result<Origin> {
        let Some(draft) = draft else { return Ok(Origin::default()) };
        let draft = self.message(draft).await.map_err(|error| match error {
            Error::NotFound(_) => no_draft(),
            other => other,
        })?;
        let header = draft.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("In-Reply-To"));
        let answered = header.map(|(_, value)| message::message_ids(value.as_bytes())).unwrap_or_default();
        Ok(Origin { answered, references: draft.references, marks: Vec::new() })
    }

    /// Marks shared messages for a mail that is on its way: those that are still there, if the owner lets this account.
    pub(crate) async fn mark_shared(&self, shared: SharedId, marks: &[(MessageId, Flags)]) {
        for (id, flag) in marks {
            match self.mark_one_shared(shared, *id, *flag).await {
                Ok(()) | Err(Error::Forbidden(_) | Error::NotFound(_)) => {}
                Err(error) => {
                    error.log_now_and_then("a shared message is not marked as answered or passed on")
                }
            }
        }
    }

    async fn mark_one_shared(&self, shared: SharedId, id: MessageId, flag: Flags) -> Result<()> {
        let Some(reach) = self.reach(shared.owner, shared.folder).await? else { return Ok(()) };
        let rows = reach.rows(&[id]).await?;
        let targets: Vec<_> = rows.values().map(|row| Target { id, uid: row.uid }).collect();
        reach.store(&targets, &Change::Add { flags: flag, keywords: Vec::new() }, None).await?;
        Ok(())
    }

    /// An attachment by its reference: an upload's id, or that of a stored one.
    pub(crate) async fn attachment_of(
        &self,
        index: usize,
        reference: &str,
        limit: u64,
    ) -> Result<OutgoingAttachment> {
        let field = || format!("attachments[{index}]");
        let unknown =
            || Error::invalid(field(), "there is no such upload or attachment; please attach the file again");
        if reference.contains('/') {
            let stored = self.stored_attachment(reference).await.map_err(|error| match error {
                Error::NotFound(_) => unknown(),
                other => other,
            });
            let (attachment, download) = stored?;
            return Ok(OutgoingAttachment {
                filename: attachment.filename,
                content_type: attachment.content_type,
                bytes: download.content.collect(limit).await?.into(),
                content_id: None,
            });
        }
        let id: UploadId = reference.parse().map_err(|_| unknown())?;
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.upload(account, id).await };
        let upload = self.service.look(account, look).await?.ok_or_else(unknown)?;
        let stream = self.service.open_blob(account, upload.blob, 0..upload.size_bytes).await?;
        Ok(OutgoingAttachment {
            filename: upload.filename,
            content_type: upload.content_type,
            bytes: body::collect(stream.ok_or_else(unknown)?, limit).await?.into(),
            content_id: None,
        })
    }

    /// `message/part`, or `owner/folder/message/part` in a folder that somebody else shares.
    async fn stored_attachment(&self, reference: &str) -> Result<(Attachment, Download)> {
        let mut names = reference.split('/');
        let names: [Option<&str>; 5] = std::array::from_fn(|_| names.next());
        match names {
            [Some(message), Some(part), None, ..] => self.attachment(id(message)?, part).await,
            [Some(owner), Some(folder), Some(message), Some(part), None] => {
                self.shared_attachment(id(owner)?, id(folder)?, id(message)?, part).await
            }
            _ => Err(Error::NotFound("attachment")),
        }
    }
}

impl Origin {
    /// Of a message that is answered or, by the mark, passed on. Nothing is set on it yet.
    fn of(original: api::Message, mark: Flags) -> Self {
        let is_answered = mark == Flags::ANSWERED;
        let answered = original.message_id.iter().filter(|_| is_answered).cloned().collect();
        let mut references = original.references;
        references.extend(original.message_id);
        Self { answered, references, marks: Vec::new() }
    }
}

fn id<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::NotFound("attachment"))
}
