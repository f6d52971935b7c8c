//! What a round does to an account, without a database: as much of it as shows whether rounds fit together.
//!
//! It keeps ids only, some tens of bytes for each message.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
};

use anyhow::{bail, ensure};
use storage::{
    Packed, Segment,
    replica::{self, Counts, Record, Span},
};
use types::{BlobId, BodyId};
use uuid::Uuid;

/// An account, as far as the rounds so far tell.
#[derive(Debug, Default)]
pub(super) struct Replay {
    mailboxes: HashSet<i64>,
    /// With their bodies.
    messages: HashMap<Uuid, Uuid>,
    tombstones: HashSet<(i64, i64)>,
    references: HashSet<i64>,
    bodies: HashMap<Uuid, Body>,
    uploads: BTreeMap<Uuid, BlobId>,
    queue: BTreeMap<Uuid, Uuid>,
}

#[derive(Debug, Default)]
struct Body {
    /// Messages and queue entries that share it.
    users: u64,
    blobs: Vec<BlobId>,
}

/// Who needs a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// A message or an upload.
    Mail,
    Queue,
}

/// A blob that a record names, and its size in bytes.
pub(super) type Named = (BlobId, u64);

impl Replay {
    /// Does what the record says; the blobs that it names.
    pub(super) fn apply(&mut self, record: Record) -> anyhow::Result<Vec<Named>> {
        match record {
            Record::Reference(reference) => {
                self.references.insert(reference.ref_hash);
            }
            Record::Mailbox(mailbox) => {
                self.mailboxes.insert(mailbox.id);
            }
            Record::Body(body) => {
                let id = body.id;
                let named = unpack(body)?;
                self.bodies.entry(id).or_default().blobs = named.iter().map(|(id, _)| *id).collect();
                return Ok(named);
            }
            Record::Message(message) => self.message(&message)?,
            Record::Tombstone(tombstone) => {
                self.tombstones.insert((tombstone.mailbox_id, tombstone.uid));
                if tombstone.expunged
                    && let Some(body) = self.messages.remove(&tombstone.message_id)
                {
                    self.release(body);
                }
            }
            Record::Uploads(span) => remove(&mut self.uploads, span).for_each(drop),
            Record::Upload(upload) => {
                self.uploads.insert(upload.id, upload.blob_id);
                return Ok(vec![(upload.blob_id, u64::try_from(upload.size_bytes).unwrap_or(0))]);
            }
            Record::Queue(span) => {
                let bodies: Vec<_> = remove(&mut self.queue, span).collect();
                bodies.into_iter().for_each(|body| self.release(body));
            }
            Record::QueueEntry(entry) => {
                self.queue.insert(entry.id, entry.body_id);
                self.share(entry.body_id)?;
            }
            Record::Account(_) => {}
        }
        Ok(Vec::new())
    }

    fn message(&mut self, message: &replica::Message) -> anyhow::Result<()> {
        ensure!(self.mailboxes.contains(&message.mailbox_id), "message {} lacks its mailbox", message.id);
        if self.messages.insert(message.id, message.body_id).is_none() {
            self.share(message.body_id)?;
        }
        Ok(())
    }

    /// The blobs that the account needs now, each with who needs it; some more than once.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (BlobId, User)> {
        let blobs = |body: &Uuid| self.bodies.get(body).map(|body| body.blobs.as_slice()).unwrap_or_default();
        let mail = self.messages.values().flat_map(blobs).chain(self.uploads.values());
        let queued = self.queue.values().flat_map(blobs);
        mail.map(|id| (*id, User::Mail)).chain(queued.map(|id| (*id, User::Queue)))
    }

    pub(super) fn counts(&self) -> Counts {
        let count = |count: usize| count as u64;
        Counts {
            mailboxes: count(self.mailboxes.len()),
            messages: count(self.messages.len()),
            tombstones: count(self.tombstones.len()),
            references: count(self.references.len()),
            bodies: count(self.bodies.len()),
            uploads: count(self.uploads.len()),
            queue: count(self.queue.len()),
        }
    }

    fn share(&mut self, body: Uuid) -> anyhow::Result<()> {
        match self.bodies.get_mut(&body) {
            Some(body) => body.users += 1,
            None => bail!("body {body} is missing"),
        }
        Ok(())
    }

    fn release(&mut self, body: Uuid) {
        if let Some(known) = self.bodies.get_mut(&body) {
            known.users = known.users.saturating_sub(1);
            if known.users == 0 {
                self.bodies.remove(&body);
            }
        }
    }
}

/// Takes out what is within the span.
fn remove<V>(map: &mut BTreeMap<Uuid, V>, span: Span) -> impl Iterator<Item = V> {
    let after = span.after.map_or(Bound::Unbounded, Bound::Excluded);
    let upto = span.upto.map_or(Bound::Unbounded, Bound::Included);
    let ids: Vec<_> = map.range((after, upto)).map(|(id, _)| *id).collect();
    ids.into_iter().filter_map(|id| map.remove(&id))
}

/// The blobs of a body that is whole.
fn unpack(body: replica::Body) -> anyhow::Result<Vec<Named>> {
    let replica::Body { id, size_bytes, layout, inline, blobs, .. } = body;
    let size_bytes = u64::try_from(size_bytes)?;
    let body = Packed { id: BodyId(id), size_bytes, layout, inline, blobs }.unpack()?;
    let named = body.segments.into_iter().filter_map(|segment| match segment {
        Segment::Blob { id, size_bytes } => Some((id, size_bytes)),
        Segment::Inline(_) => None,
    });
    Ok(named.collect())
}
