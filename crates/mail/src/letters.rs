//! Many messages at once, for mail programs: rows, structures, and bodies in pieces.

use std::{collections::HashMap, ops::Range, sync::OnceLock};

use bytes::Bytes;
use message::{Encoding, Part, Structure};
use storage::{Body, ByteStream, Content as Stored, Message, Snapshot};
use types::{AccountId, MessageId};

use crate::body::{Content, at_hand, collect, encoded};
use crate::{Access, Error, Result, Service, prepare};

/// A message's content: its structure and its bytes, when they are asked for.
#[derive(Clone)]
pub struct Letter {
    pub id: MessageId,
    encoded: Vec<u8>,
    structure: OnceLock<Structure>,
    service: Service,
    account: AccountId,
    body: Body,
}

impl Access {
    /// The rows of those of these messages that exist; one query.
    pub async fn rows(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Message>> {
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.messages(account, ids).await };
        let rows = self.service.look_for(account, ids.len(), look).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// The structures of those of these messages that exist; one query.
    pub async fn structures(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Structure>> {
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.structures(account, ids).await };
        let found = self.service.look_for(account, ids.len(), look).await?;
        found.into_iter().map(|(id, structure)| Ok((id, decode(id, &structure)?))).collect()
    }

    /// The contents of those of these messages that exist; one query. What of them is kept in the shard is in memory then,
    /// so ask for few.
    pub async fn letters(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Letter>> {
        self.unpacked(self.contents(ids).await?).await
    }

    /// The same as they are kept in the shard.
    pub(crate) async fn contents(&self, ids: &[MessageId]) -> Result<Vec<Stored>> {
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.contents(account, ids).await };
        self.service.look_for(account, ids.len(), look).await
    }

    pub(crate) async fn unpacked(&self, contents: Vec<Stored>) -> Result<HashMap<MessageId, Letter>> {
        let size_bytes = contents.iter().map(|content| content.body.inline.len() as u64).sum();
        let (service, account) = (self.service.clone(), self.id);
        prepare::off_thread(size_bytes, move || {
            let letter = |content: Stored| {
                let Stored { id, structure: encoded, body, .. } = content;
                let (service, body) = (service.clone(), body.unpack()?);
                Ok((id, Letter { id, encoded, structure: OnceLock::new(), service, account, body }))
            };
            contents.into_iter().map(letter).collect()
        })
        .await?
    }
}

impl Letter {
    /// An error if what is stored of it is damaged.
    pub fn structure(&self) -> Result<&Structure> {
        if let Some(known) = self.structure.get() {
            return Ok(known);
        }
        let decoded = decode(self.id, &self.encoded)?;
        Ok(self.structure.get_or_init(|| decoded))
    }

    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.body.size_bytes()
    }

    /// These bytes of it, as they were received.
    #[must_use]
    pub fn bytes(&self, range: Range<u64>) -> ByteStream {
        encoded(&self.service, self.account, &self.body, range)
    }

    /// The same in memory, if they are not more than `limit`.
    pub async fn collect(&self, range: Range<u64>, limit: u64) -> Result<Bytes> {
        match at_hand(&self.body, range.clone()) {
            Some(bytes) if bytes.len() as u64 <= limit => Ok(bytes),
            _ => collect(self.bytes(range), limit).await,
        }
    }

    /// The content of a part, decoded.
    #[must_use]
    pub fn part(&self, part: &Part) -> Content {
        self.content(part.body.clone(), part.encoding)
    }

    fn content(&self, range: Range<u64>, encoding: Encoding) -> Content {
        Content::new(&self.service, self.account, self.body.clone(), range, encoding)
    }
}

pub(crate) fn decode(id: MessageId, structure: &[u8]) -> Result<Structure> {
    let damaged = |error| Error::Storage(storage::Error::Corrupt(format!("message {id}: {error}")));
    Structure::decode(structure).map_err(damaged)
}
