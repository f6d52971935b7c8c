//! What mail programs ask for of every message to draw a list: IMAP's ENVELOPE and BODYSTRUCTURE, ready to be sent, and
//! the header. Those that were asked for lately are in memory.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use storage::Snapshot;
use types::MessageId;

use crate::kept::Kept;
use crate::{Access, Result, letters::decode, prepare};

/// ENVELOPE and BODYSTRUCTURE of a message (RFC 9051 §7.5.2).
#[derive(Debug, Clone)]
pub struct Portrait {
    /// One behind the other.
    bytes: Arc<[u8]>,
    envelope: usize,
}

impl Portrait {
    fn of(structure: &message::Structure) -> Self {
        let (envelope, body) = (structure.envelope(), structure.body_structure());
        Self { envelope: envelope.len(), bytes: [envelope, &body].concat().into() }
    }

    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        self.bytes.get(..self.envelope).unwrap_or_default()
    }

    #[must_use]
    pub fn body_structure(&self) -> &[u8] {
        self.bytes.get(self.envelope..).unwrap_or_default()
    }
}

pub(crate) type Portraits = Kept<Portrait>;
pub(crate) type Headers = Kept<Bytes>;

/// Longer headers are read each time.
const LONGEST_HEADER: usize = 64 << 10;
/// So many are drawn where they are asked for, and not on another thread.
const FEW: usize = 20;

/// With memory of so many bytes for each.
pub(crate) fn kept(portraits: u64, headers: u64) -> (Portraits, Headers) {
    (Portraits::new(portraits, |portrait| portrait.bytes.len()), Headers::new(headers, Bytes::len))
}

impl Access {
    /// Of those of these messages that exist, and of such as were there lately; one query for those that are not in
    /// memory.
    pub async fn portraits(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Portrait>> {
        let (kept, account) = (&self.service.portraits, self.id);
        let (mut all, unknown) = kept.known(account, ids);
        if unknown.is_empty() {
            return Ok(all);
        }
        let wanted = unknown.as_slice();
        let look = |mut shard: Box<dyn Snapshot>| async move { shard.structures(account, wanted).await };
        let found = self.service.look_for(account, wanted.len(), look).await?;
        let draw = move || -> Result<Vec<_>> {
            found.into_iter().map(|(id, bytes)| Ok((id, Portrait::of(&decode(id, &bytes)?)))).collect()
        };
        let drawn = if wanted.len() <= FEW { draw()? } else { prepare::off_thread(u64::MAX, draw).await?? };
        kept.keep(account, drawn.iter().cloned());
        all.extend(drawn);
        Ok(all)
    }

    /// Headers, the empty line behind them included. What else of the messages is kept in the shard is in memory while it
    /// reads, so ask for few.
    pub async fn headers(&self, ids: &[MessageId]) -> Result<HashMap<MessageId, Bytes>> {
        let (kept, account) = (&self.service.headers, self.id);
        let (mut all, unknown) = kept.known(account, ids);
        if unknown.is_empty() {
            return Ok(all);
        }
        let mut fresh = Vec::with_capacity(unknown.len());
        for (id, letter) in self.letters(&unknown).await? {
            let range = letter.structure()?.root().map(|root| root.header.clone()).unwrap_or_default();
            let header = letter.collect(range, u64::MAX).await?;
            // A slice would hold on to all that was read with it.
            let header = Bytes::copy_from_slice(&header);
            fresh.push((id, header));
        }
        kept.keep(account, fresh.iter().filter(|(_, header)| header.len() <= LONGEST_HEADER).cloned());
        all.extend(fresh);
        Ok(all)
    }
}
