//! Opening a message: its text, safe HTML, attachments and raw bytes.

use message::{Images, Show, Structure, View};
use storage::{Body, Content as Stored, Message};
use types::{MessageId, api};

use crate::body::{Content, Download};
use crate::{Access, Error, Result, body, convert};

/// A message with all that its views need.
struct Opened {
    message: Message,
    structure: Structure,
    body: Body,
}

impl Access {
    /// One message, as the API shows it.
    pub async fn message(&self, id: MessageId) -> Result<api::Message> {
        let opened = self.opened(id).await?;
        let view = self.view(&opened, Images::Held);
        Ok(api::Message {
            summary: convert::summary(opened.message),
            cc: view.cc,
            bcc: view.bcc,
            reply_to: view.reply_to,
            sent_at: view.sent_at,
            message_id: view.message_id,
            references: view.references,
            text: view.text,
            html: view.html,
            has_remote_images: view.has_remote_images,
            attachments: view.attachments,
            headers: view.headers,
            auth: None,
        })
    }

    /// The message's HTML as a document of its own for a sandboxed frame; of its text, where it has no HTML.
    pub async fn html(&self, id: MessageId, images: Images) -> Result<String> {
        let opened = self.opened(id).await?;
        let view = self.view(&opened, images);
        let html = view.html.unwrap_or_else(|| message::text_to_html(&view.text));
        Ok(message::frame(&html, message::Scheme::Auto))
    }

    /// The message's bytes, exactly as they were received.
    pub async fn raw(&self, id: MessageId) -> Result<Download> {
        let Opened { body, .. } = self.opened(id).await?;
        let size_bytes = body.size_bytes();
        let encoding = message::Encoding::default();
        let content = Content::new(&self.service, self.shard(), body, 0..size_bytes, encoding);
        Ok(Download { size_bytes, content })
    }

    /// An attachment, decoded.
    pub async fn attachment(&self, id: MessageId, section: &str) -> Result<(api::Attachment, Download)> {
        let Opened { structure, body, .. } = self.opened(id).await?;
        let attachment = structure.attachments().into_iter().find(|attachment| attachment.id == section);
        let (Some(attachment), Some(part)) = (attachment, structure.part(section)) else {
            return Err(Error::NotFound("attachment"));
        };
        let content = Content::new(&self.service, self.shard(), body, part.body.clone(), part.encoding);
        let size_bytes = content.decoded_size().await?;
        Ok((attachment, Download { size_bytes, content }))
    }

    fn view(&self, opened: &Opened, images: Images) -> View {
        let show = Show { images, attachments: format!("/v1/messages/{}/attachments/", opened.message.id) };
        message::view(&opened.structure, &show, &mut |range| body::inline(&opened.body, range))
    }

    async fn opened(&self, id: MessageId) -> Result<Opened> {
        let mut snapshot = self.service.snapshot(self.id).await?;
        let message = snapshot.messages(self.id, &[id]).await?.pop().ok_or(Error::NotFound("message"))?;
        let content = snapshot.contents(self.id, &[id]).await?.pop();
        let Stored { structure, body, .. } = content
            .ok_or_else(|| storage::Error::Corrupt(format!("the content of message {id} is missing")))?;
        let structure = Structure::decode(&structure)
            .map_err(|error| storage::Error::Corrupt(format!("message {id}: {error}")))?;
        Ok(Opened { message, structure, body: body.unpack()? })
    }
}
