//! Making a mail ready to be stored: parsed once, cut into segments, its large attachments already in the blob store.
//!
//! All the CPU work and all blob writes of a delivery happen here, before the shard's writer is asked for anything.

use std::sync::Arc;

use bytes::Bytes;
use message::{Parsed, SearchText, SegmentKind};
use storage::{Body, NewMessage, Packed, RefHash, Segment, Source, Summary};
use types::{AccountId, BodyId, Flags, MessageId, Role, ShardId, ThreadId, Timestamp};

use crate::{Error, Result, Service, authenticity};

/// A mail whose bytes are safe on one shard, but for those that the row's transaction brings.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) parsed: Arc<Parsed>,
    pub(crate) body: Packed,
    /// Where it goes if it came from outside.
    pub(crate) place: Role,
    pub(crate) text: Arc<SearchText>,
    structure: Vec<u8>,
    signature: Vec<u8>,
}

impl Service {
    /// Parses the mail and stores its large attachments on the shard.
    pub(crate) async fn prepare(&self, shard: ShardId, raw: Bytes) -> Result<Prepared> {
        let parsed = parse(raw.clone()).await?;
        self.prepare_parsed(shard, raw, parsed).await
    }

    /// The same for a mail that is parsed already.
    pub(crate) async fn prepare_parsed(
        &self,
        shard: ShardId,
        raw: Bytes,
        parsed: Arc<Parsed>,
    ) -> Result<Prepared> {
        let place = authenticity::place(&raw);
        let mut segments = Vec::new();
        for piece in message::segments(&parsed.structure, raw.len() as u64) {
            let range = to_usize(piece.range.start)?..to_usize(piece.range.end)?;
            let bytes = raw.slice(range);
            segments.push(match piece.kind {
                SegmentKind::Inline => Segment::Inline(bytes),
                SegmentKind::Attachment => {
                    let size_bytes = bytes.len() as u64;
                    Segment::Blob { id: self.put_blob(shard, bytes).await?, size_bytes }
                }
            });
        }
        let id = BodyId::at(self.now(), self.random_bytes());
        let body = Body { segments };
        let max = self.config().max_search_text;
        off_thread(raw.len() as u64, move || {
            let body = body.pack(id)?;
            let (text, signature) = message::signed_text(&parsed.structure, &raw, max);
            let (structure, text) = (parsed.structure.encode(), Arc::new(text));
            Ok(Prepared { structure, parsed, body, place, text, signature })
        })
        .await?
    }
}

impl Prepared {
    /// The row of a mail that came in at the door, for an account.
    pub(crate) fn delivered(&self, account: AccountId, id: MessageId, at: Timestamp) -> NewMessage {
        let message = self.message(account, id, Source::Role(self.place), at);
        NewMessage { flags: Flags::RECEIVED, ..message }
    }

    /// The row for an account. Its thread is decided in the transaction.
    pub(crate) fn message(
        &self,
        account: AccountId,
        id: MessageId,
        mailbox: Source,
        received_at: Timestamp,
    ) -> NewMessage {
        let overview = &self.parsed.overview;
        NewMessage {
            account,
            id,
            mailbox,
            flags: Flags::NONE,
            keywords: Vec::new(),
            thread: ThreadId(id.0),
            refs: self.refs(),
            body: self.body.clone(),
            structure: self.structure.clone(),
            signature: self.signature.clone(),
            received_at,
            saved_at: received_at,
            sent_at: overview.sent_at,
            summary: Summary {
                from: overview.from.clone(),
                to: overview.to.iter().take(SUMMARY_RECIPIENTS).cloned().collect(),
                subject: overview.subject.clone(),
                preview: overview.preview.clone(),
                has_attachments: overview.has_attachments,
            },
            delivery: Vec::new(),
        }
    }

    /// Hashes of its own Message-ID and of those it refers to, at most [`MAX_REFS`].
    pub(crate) fn refs(&self) -> Vec<RefHash> {
        let refs = &self.parsed.refs;
        let mut all: Vec<RefHash> =
            refs.own.iter().chain(refs.others.iter().rev()).map(|hash| hash.0).collect();
        all.truncate(MAX_REFS);
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// As many recipients as a list shows.
const SUMMARY_RECIPIENTS: usize = 10;
/// Of a long chain the newest lead to its thread as well.
const MAX_REFS: usize = 20;
/// Smaller mails are worked on where they are: handing them to another thread costs more.
const ON_THREAD_BYTES: u64 = 64 << 10;

pub(crate) async fn parse(raw: Bytes) -> Result<Arc<Parsed>> {
    off_thread(raw.len() as u64, move || Arc::new(message::parse(&raw))).await
}

/// Does CPU work on this many bytes of mail where it holds nobody up.
pub(crate) async fn off_thread<T: Send + 'static>(
    size_bytes: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if size_bytes <= ON_THREAD_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("task of a mail: {error}")))
}

fn to_usize(offset: u64) -> Result<usize> {
    usize::try_from(offset).map_err(|_| Error::TooLarge("the message is too large for this machine".into()))
}
