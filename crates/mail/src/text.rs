//! The texts of stored messages, as they are searched: read and decoded where it holds nobody up.

use std::{borrow::Cow, collections::HashMap, iter, ops::Range};

use bytes::Bytes;
use message::SearchText;
use search::Document;
use storage::{Body, Content};
use types::{AccountId, MessageId};

use crate::{Result, Service, body, prepare::off_thread};

/// Bodies, and bytes of them, that are in memory at the same time; one that has more is alone.
const BODIES_AT_ONCE: usize = 20;
const BODY_BYTES_AT_ONCE: u64 = 8 << 20;

/// The messages, which have these sizes, in pieces that may be in memory at the same time.
pub(crate) fn pieces(sizes: &[(MessageId, u64)]) -> impl Iterator<Item = Vec<MessageId>> + '_ {
    let mut rest = sizes;
    iter::from_fn(move || {
        let mut bytes: u64 = 0;
        let fits = rest.iter().take(BODIES_AT_ONCE).take_while(|(_, size_bytes)| {
            bytes = bytes.saturating_add(*size_bytes);
            bytes <= BODY_BYTES_AT_ONCE
        });
        let (some, after) = rest.split_at_checked(fits.count().max(1))?;
        rest = after;
        Some(some.iter().map(|(id, _)| *id).collect())
    })
}

/// The texts as the index takes them.
pub(crate) fn document(text: SearchText) -> Document {
    let SearchText { subject, from, to, body, filenames } = text;
    Document { from, to, subject, body, filenames: vec![filenames] }
}

/// A message whose blobs are not read yet.
struct Stored {
    structure: message::Structure,
    body: Body,
}

/// What became of a message without its blobs.
enum First<T, M> {
    Made(T, u64),
    /// These ranges lie in blobs.
    Lacks(Vec<Range<u64>>, Stored, M),
}

impl Service {
    /// What `make` makes of the texts of a stored message, and how many bytes were read for them. Of what lies apart
    /// from it, large files that are texts are read.
    pub(crate) async fn text<T: Send + 'static>(
        &self,
        account: AccountId,
        content: Content,
        make: impl FnOnce(SearchText) -> T + Send + 'static,
    ) -> Result<(T, u64)> {
        let (max, id) = (self.config().max_search_text, content.id);
        let first = off_thread(content.body.size_bytes, move || {
            let stored = Stored::open(account, &content)?;
            let mut apart = Vec::new();
            let (text, bytes) = stored.text(max, |range| {
                apart.push(range.clone());
                None
            });
            Ok::<_, crate::Error>(if apart.is_empty() {
                First::Made(make(text), bytes)
            } else {
                First::Lacks(apart, stored, make)
            })
        });
        let (apart, stored, make) = match first.await?? {
            First::Made(made, bytes) => return Ok((made, bytes)),
            First::Lacks(apart, stored, make) => (apart, stored, make),
        };
        let mut files = HashMap::new();
        for range in apart {
            let start = range.start;
            match body::collect(body::encoded(self, account, &stored.body, range), u64::MAX).await {
                Ok(bytes) => files.extend([(start, bytes)]),
                Err(error) if error.is_temporary() => return Err(error),
                Err(error) => tracing::error!(%account, message = %id, %error, "a file in it is not indexed"),
            }
        }
        let size_bytes = stored.body.size_bytes();
        let again = move || {
            let (text, bytes) = stored.text(max, |range| file(&files, range));
            (make(text), bytes)
        };
        off_thread(size_bytes, again).await
    }

    /// The same of at most `max` bytes of it, without what lies apart.
    pub(crate) async fn text_beside<T: Send + 'static>(
        &self,
        account: AccountId,
        content: Content,
        max: usize,
        make: impl FnOnce(SearchText) -> T + Send + 'static,
    ) -> Result<T> {
        let size_bytes = content.body.size_bytes;
        let made = move || {
            let stored = Stored::open(account, &content)?;
            Ok(make(stored.text(max, |_| None).0))
        };
        off_thread(size_bytes, made).await?
    }
}

impl Stored {
    fn open(account: AccountId, content: &Content) -> Result<Self> {
        let structure = message::Structure::decode(&content.structure).map_err(|error| {
            storage::Error::Corrupt(format!("message {} of {account}: {error}", content.id))
        })?;
        Ok(Self { structure, body: content.body.unpack()? })
    }

    /// Its texts, and how many bytes were read for them; `apart` has what is not in the body.
    fn text<'f>(
        &self,
        max: usize,
        mut apart: impl FnMut(&Range<u64>) -> Option<&'f [u8]>,
    ) -> (SearchText, u64) {
        let mut read = 0;
        let text = message::search_text(&self.structure, max, &mut |range| {
            let inline = body::inline(&self.body, range.clone()).map(Cow::Owned);
            let bytes = inline.or_else(|| apart(&range).map(Cow::Borrowed))?;
            read += bytes.len() as u64;
            Some(bytes)
        });
        (text, read)
    }
}

/// The bytes of the range, or as many as there are, of these that begin where they do.
fn file<'f>(files: &'f HashMap<u64, Bytes>, range: &Range<u64>) -> Option<&'f [u8]> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).ok()?;
    let file = files.get(&range.start)?;
    file.get(..length.min(file.len()))
}
