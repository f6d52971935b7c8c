//! What a mail that is written comes from: the messages that it answers or passes on, the draft that it replaces, the
//! files that it takes along. Messages are one's own, or in a folder that somebody else shares ([`crate::visit`]).

use message::compose::OutgoingAttachment;
use storage::Snapshot;
use types::api::{Attachment, Compose, SharedId};
use types::{Flags, MessageId, UploadId};

use crate::body::{self, Download};
use crate::bulk::{Change, Target};
use crate::{Access, Error, Result};

/// The Message-IDs that a mail names.
#[derive(Debug, Default)]
pub(crate) struct Ancestors {
    /// Of what it answers.
    pub(crate) answered: Option<String>,
    /// The chain that leads to what it answers or passes on.
    pub(crate) references: Vec<String>,
}

/// What is set on the messages that a mail answers or passes on.
pub(crate) fn marks(compose: &Compose) -> Vec<(MessageId, Flags)> {
    let answered = compose.in_reply_to.map(|id| (id, Flags::ANSWERED));
    answered.into_iter().chain(compose.forward_of.map(|id| (id, Flags::FORWARDED))).collect()
}

/// There is nothing to be replaced.
pub(crate) fn no_draft() -> Error {
    Error::invalid("replaces", "there is no such draft: it was sent, replaced or deleted")
}

impl Access {
    /// The Message-IDs that the mail is to name.
    pub(crate) async fn ancestors(&self, compose: &Compose) -> Result<Ancestors> {
        let (field, id) = match (compose.in_reply_to, compose.forward_of) {
            (Some(id), _) => ("in_reply_to", id),
            (None, Some(id)) => ("forward_of", id),
            (None, None) if compose.shared.is_some() => {
                return Err(Error::invalid(
                    "shared",
                    "name the message there that this answers or passes on",
                ));
            }
            (None, None) => return self.ancestors_of_draft(compose.replaces).await,
        };
        let message = match compose.shared {
            Some(SharedId { owner, folder }) => self.shared_message(owner, folder, id).await?,
            None => self.message(id).await.map_err(|error| match error {
                Error::NotFound(_) => Error::invalid(field, "there is no such message"),
                other => other,
            })?,
        };
        let mut references = message.references;
        references.extend(message.message_id.clone());
        Ok(Ancestors { answered: message.message_id.filter(|_| compose.in_reply_to.is_some()), references })
    }

    /// The same that the draft names: what it answers may be out of reach by now.
    async fn ancestors_of_draft(&self, draft: Option<MessageId>) -> Result<Ancestors> {
        let Some(draft) = draft else { return Ok(Ancestors::default()) };
        let draft = self.message(draft).await.map_err(|error| match error {
            Error::NotFound(_) => no_draft(),
            other => other,
        })?;
        let answers = draft.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("In-Reply-To"));
        let answered = draft.references.last().filter(|_| answers).cloned();
        Ok(Ancestors { answered, references: draft.references })
    }

    /// Marks shared messages for a mail that is on its way: those that are still there, if the owner lets this account.
    pub(crate) async fn mark_shared(&self, shared: SharedId, marks: &[(MessageId, Flags)]) {
        for (id, flag) in marks {
            match self.mark_one_shared(shared, *id, *flag).await {
                Ok(()) | Err(Error::Forbidden(_) | Error::NotFound(_)) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(owner = %shared.owner, error, "a shared message is not marked as answered");
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

fn id<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| Error::NotFound("attachment"))
}
