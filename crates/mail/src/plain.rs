//! The texts of messages as searches compare them. Those of messages that were looked at lately are in memory: whoever
//! searches does it again, for a little more or a little less.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use message::{Plain, text_pieces};
use storage::Content;
use types::MessageId;

use crate::body::at_hand;
use crate::kept::Kept;
use crate::letters::decode;
use crate::{Access, Letter, Result, prepare};

pub(crate) type Plains = Kept<Arc<Plain>>;

/// What takes more is read each time.
const LARGEST: usize = 512 << 10;
/// What a text takes beside its bytes.
const TEXT_BYTES: usize = 64;

/// With memory of so many bytes.
pub(crate) fn kept(bytes: u64) -> Plains {
    Plains::new(bytes, |plain| memory(plain))
}

fn memory(plain: &Plain) -> usize {
    plain.held_bytes() + (plain.fields.len() * 2 + plain.bodies.len()) * TEXT_BYTES
}

/// Which texts of messages are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Texts {
    /// The fields of the message's header.
    Header,
    /// Also everything within it.
    All,
}

impl Access {
    /// At least these texts of each of these messages, if it exists or was there lately; one query for those that are
    /// not in memory. What of them is kept in the shard is in memory while it reads, so ask for few.
    pub async fn texts(&self, ids: &[MessageId], wanted: Texts) -> Result<Vec<Option<Arc<Plain>>>> {
        let (kept, account) = (&self.service.plains, self.id);
        let found = kept.find(account, ids);
        if found.unknown.is_empty() {
            return Ok(found.of_each);
        }
        let mut read = match wanted {
            Texts::Header => of_headers(self.headers(&found.unknown).await?).await?,
            Texts::All => self.whole(&found.unknown).await?,
        };
        read.sort_unstable_by_key(|(id, _)| *id);
        let all = found.filled_up(ids, &read);
        if wanted == Texts::All {
            kept.keep(account, read.into_iter().filter(|(_, plain)| memory(plain) <= LARGEST));
        }
        Ok(all)
    }

    /// All texts of those of these messages that exist. Those without blobs are unpacked one after another, where their
    /// texts are made.
    async fn whole(&self, ids: &[MessageId]) -> Result<Read> {
        let contents = self.contents(ids).await?;
        let (inline, apart): (Vec<_>, Vec<_>) =
            contents.into_iter().partition(|content| content.body.blobs.is_empty());
        let size_bytes = inline.iter().map(|content| content.body.size_bytes).sum();
        let plains = move || inline.into_iter().map(of_inline).collect::<Result<Read>>();
        let mut read = prepare::off_thread(size_bytes, plains).await??;
        if !apart.is_empty() {
            read.extend(of_letters(self.unpacked(apart).await?).await?);
        }
        Ok(read)
    }
}

type Read = Vec<(MessageId, Arc<Plain>)>;

async fn of_headers(headers: HashMap<MessageId, Bytes>) -> Result<Read> {
    let size_bytes = headers.values().map(|header| header.len() as u64).sum();
    let plain = |(id, header): (MessageId, Bytes)| (id, Arc::new(Plain::of_header(&header)));
    prepare::off_thread(size_bytes, move || headers.into_iter().map(plain).collect()).await
}

fn of_inline(content: Content) -> Result<(MessageId, Arc<Plain>)> {
    let structure = decode(content.id, &content.structure)?;
    let body = content.body.unpack()?;
    let mut plain = Plain::default();
    for piece in text_pieces(&structure, true) {
        plain.add(&piece, &at_hand(&body, piece.range()).unwrap_or_default());
    }
    Ok((content.id, Arc::new(plain)))
}

async fn of_letters(letters: HashMap<MessageId, Letter>) -> Result<Read> {
    let mut gathered = Vec::with_capacity(letters.len());
    let mut size_bytes = 0;
    for letter in letters.into_values() {
        let mut pieces = Vec::new();
        for piece in text_pieces(letter.structure()?, true) {
            let bytes = letter.collect(piece.range(), u64::MAX).await?;
            size_bytes += bytes.len() as u64;
            pieces.push(bytes);
        }
        gathered.push((letter, pieces));
    }
    let plain = |(letter, bytes): (Letter, Vec<Bytes>)| {
        let mut plain = Plain::default();
        for (piece, bytes) in text_pieces(letter.structure()?, true).zip(&bytes) {
            plain.add(&piece, bytes);
        }
        Ok((letter.id, Arc::new(plain)))
    };
    prepare::off_thread(size_bytes, move || gathered.into_iter().map(plain).collect()).await?
}
