//! Opening a message: its text, safe HTML, attachments and raw bytes.

use std::time::Duration;

use cluster::Cached;
use message::{Images, Show, Structure, View};
use serde::{Deserialize, Serialize};
use storage::{Body, Content as Stored, Message, Snapshot};
use types::{Address, Flags, MailboxId, MessageId, Timestamp, api};

use crate::body::{Content, Download};
use crate::{Access, Error, Result, authenticity, body, convert, prepare, unsubscribe};

/// The content of a message.
struct Opened {
    structure: Structure,
    body: Body,
}

/// What an open message shows beside its row. It never changes, so it is cached by the message's id; whether the
/// message is (still) there is asked of the shard each time.
#[derive(Serialize, Deserialize)]
struct Reading {
    to: Vec<Address>,
    cc: Vec<Address>,
    bcc: Vec<Address>,
    reply_to: Vec<Address>,
    sent_at: Option<Timestamp>,
    message_id: Option<String>,
    references: Vec<String>,
    text: String,
    html: Option<String>,
    has_remote_images: bool,
    attachments: Vec<api::Attachment>,
    headers: Vec<(String, String)>,
}

impl Cached for Reading {
    type Key = str;
    const PREFIX: &'static str = "reading-2";
    const TTL: Duration = Duration::from_secs(600);
}

/// To whom a message is shown, which says where its files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    ToOwner,
    /// To whom this folder is shared with.
    ToGuest(MailboxId),
}

impl Access {
    /// One message, as the API shows it.
    pub async fn message(&self, id: MessageId) -> Result<api::Message> {
        self.shown(id, Shown::ToOwner).await
    }

    pub(crate) async fn shown(&self, id: MessageId, shown: Shown) -> Result<api::Message> {
        // Both at once, since the cache may be in another machine. The row alone decides whether there is anything.
        let cache = &self.service.parts.cache;
        let key = match shown {
            Shown::ToOwner => format!("{}:{id}", self.id),
            Shown::ToGuest(folder) => format!("{}:{id}:{folder}", self.id),
        };
        let (message, cached) = tokio::join!(self.row(id), cache.load::<Reading>(&key));
        let message = message?;
        let reading = match cached {
            Some(reading) => reading,
            None => {
                let reading = self.reading(id, shown).await?;
                cache.store(key.as_str(), &reading).await;
                reading
            }
        };
        let hostname = &self.service.config().hostname;
        // Whoever adds a message by other ways writes on top of it what they like.
        let auth = match message.flags.contains(Flags::RECEIVED) {
            true => authenticity::auth(&reading.headers, hostname),
            false => None,
        };
        let unsubscribe = match shown {
            Shown::ToOwner => unsubscribe::offered(&reading.headers, auth.as_ref(), hostname),
            // It is not theirs to leave.
            Shown::ToGuest(_) => None,
        };
        Ok(api::Message {
            // The row has only as many recipients as a list shows.
            summary: api::Summary { to: reading.to, ..convert::summary(message) },
            cc: reading.cc,
            bcc: reading.bcc,
            reply_to: reading.reply_to,
            sent_at: reading.sent_at,
            message_id: reading.message_id,
            references: reading.references,
            text: reading.text,
            html: reading.html,
            has_remote_images: reading.has_remote_images,
            attachments: reading.attachments,
            auth,
            unsubscribe,
            headers: reading.headers,
        })
    }

    pub(crate) async fn row(&self, id: MessageId) -> Result<Message> {
        let account = self.id;
        let look =
            |mut shard: Box<dyn Snapshot>| async move { Ok(shard.messages(account, &[id]).await?.pop()) };
        self.service.look(account, look).await?.ok_or(Error::NotFound("message"))
    }

    async fn reading(&self, id: MessageId, shown: Shown) -> Result<Reading> {
        let view = self.opened(id).await?.view(Images::Held, self.files(id, shown)).await?;
        Ok(Reading {
            to: view.to,
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
        })
    }

    /// The message's HTML as a document of its own for a sandboxed frame; of its text, where it has no HTML.
    pub async fn html(&self, id: MessageId, images: Images) -> Result<String> {
        self.html_shown(id, images, Shown::ToOwner).await
    }

    pub(crate) async fn html_shown(&self, id: MessageId, images: Images, shown: Shown) -> Result<String> {
        let view = self.opened(id).await?.view(images, self.files(id, shown)).await?;
        let html = view.html.unwrap_or_else(|| message::text_to_html(&view.text));
        Ok(message::frame(&html, message::Scheme::Auto))
    }

    /// The message's bytes, exactly as they were received.
    pub async fn raw(&self, id: MessageId) -> Result<Download> {
        let Opened { body, .. } = self.opened(id).await?;
        let size_bytes = body.size_bytes();
        let encoding = message::Encoding::default();
        let content = Content::new(&self.service, self.id, body, 0..size_bytes, encoding);
        Ok(Download { size_bytes, content })
    }

    /// An attachment, decoded.
    pub async fn attachment(&self, id: MessageId, section: &str) -> Result<(api::Attachment, Download)> {
        let Opened { structure, body } = self.opened(id).await?;
        let attachment = structure.attachments().into_iter().find(|attachment| attachment.id == section);
        let (Some(attachment), Some(part)) = (attachment, structure.part(section)) else {
            return Err(Error::NotFound("attachment"));
        };
        let content = Content::new(&self.service, self.id, body, part.body.clone(), part.encoding);
        let size_bytes = content.decoded_size().await?;
        Ok((attachment, Download { size_bytes, content }))
    }

    async fn opened(&self, id: MessageId) -> Result<Opened> {
        let account = self.id;
        let look =
            |mut shard: Box<dyn Snapshot>| async move { Ok(shard.contents(account, &[id]).await?.pop()) };
        let content = self.service.look(account, look).await?;
        let Stored { structure, body, .. } = content.ok_or(Error::NotFound("message"))?;
        let structure = Structure::decode(&structure)
            .map_err(|error| storage::Error::Corrupt(format!("message {id}: {error}")))?;
        Ok(Opened { structure, body: body.unpack()? })
    }

    /// Where who is shown the message finds its attachments.
    fn files(&self, id: MessageId, shown: Shown) -> String {
        match shown {
            Shown::ToOwner => format!("/v1/messages/{id}/attachments/"),
            Shown::ToGuest(folder) => format!("/v1/shared/{}/{folder}/messages/{id}/attachments/", self.id),
        }
    }
}

/// HTML is cleaned in the time in which about so many times as many bytes of mail are parsed.
const CLEANING: u64 = 8;

impl Opened {
    async fn view(self, images: Images, files: String) -> Result<View> {
        let show = Show { images, attachments: files };
        let size_bytes = self.body.inline_bytes();
        prepare::off_thread(size_bytes.saturating_mul(CLEANING), move || {
            message::view(&self.structure, &show, &mut |range| body::inline(&self.body, range))
        })
        .await
    }
}
