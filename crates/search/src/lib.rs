//! Full-text search over an inverted index: Tantivy in a folder, or MeiliSearch over the network.
//!
//! **Invariant:** derived state. The index can be thrown away and built again from storage, may lag behind it, and
//! never decides what exists: its hits are looked up in the shard before anybody sees them.

mod decide;
mod excluded;
mod index;
mod leisure;
mod meili;
mod newest;
mod phrases;
mod relax;
mod schema;
mod snippet;
mod texts;
mod tokenizer;
mod trouble;
mod words;

pub use index::TantivySearch;
pub use meili::{MeiliSearch, MeiliUrl, OpenError};
pub use snippet::{SNIPPET_BYTES, snippet};
pub use texts::texts;

use async_trait::async_trait;
use storage::Result;
use types::{AccountId, MessageId, query::Query};

/// Finds messages by their text.
///
/// The index answers the texts of a query. Everything else (flags, folders, dates, sizes, labels) it does not know:
/// [`Search::find`] answers the query as far as texts alone can rule a message out, so its hits are a superset, and
/// the caller decides each hit by [`decide`] with the message's row.
///
/// - A text is found where its words follow each other within one field. The last one may be the beginning of a word,
///   unless the text has white space (it was quoted then). In scripts without spaces, and in Korean, any part of a
///   run of characters is found.
/// - A condition that is not a text holds for every message, and so does its negation: `foo is:unread` finds
///   what has `foo`; `foo OR is:unread` and `-(foo is:unread)` rule nothing out.
/// - A text without anything to search for (`"!?"`) is treated the same way, and [`decide`] takes it for true.
#[async_trait]
pub trait Search: Send + Sync {
    /// Applies the operations in order; durable, and seen by every search, when it returns. Large batches are much
    /// cheaper than many calls. Applying the same operations again changes nothing.
    async fn apply(&self, ops: Vec<Op>) -> Result<()>;

    /// Messages of the account that may fulfil the query, newest first, at most `limit`; after `before`, if it is
    /// given, in that order.
    async fn find(
        &self,
        account: AccountId,
        query: &Query,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Hits>;

    /// Removes everything of the account.
    async fn forget(&self, account: AccountId) -> Result<()>;

    /// How large the index is.
    async fn size(&self) -> Result<Size>;

    /// Begins an empty index, while this one goes on being searched and written. One that somebody began before and
    /// left is thrown away.
    async fn rebuild(&self) -> Result<Box<dyn Rebuild>>;
}

/// An index that is built beside the one it is to replace.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// As [`Search::apply`], on the index that is built; but it may be done only when that takes over.
    async fn apply(&self, ops: Vec<Op>) -> Result<()>;

    /// Puts it in the place of the other, which is removed. What went into the other alone has to be applied again.
    async fn take_over(self: Box<Self>) -> Result<()>;
}

/// An index that was opened.
pub struct Opened<S> {
    pub search: S,
    /// Whether it is new and empty: there was none of this version, or it was damaged. The caller then has everything
    /// indexed anew: first resets its marks of how far the index has got, then calls the adapter's `accept`.
    pub fresh: bool,
}

/// How large an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Size {
    pub documents: u64,
    /// On disk, as far as the index knows.
    pub bytes: u64,
}

/// A change of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Adds the message, or replaces it.
    Put { account: AccountId, id: MessageId, document: Document },
    /// Removes it; nothing happens if it is not there.
    Remove { account: AccountId, id: MessageId },
}

/// The texts of a message, decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    /// Names and addresses.
    pub from: String,
    /// Names and addresses of To, Cc and Bcc.
    pub to: String,
    pub subject: String,
    /// The text, without markup.
    pub body: String,
    pub filenames: Vec<String>,
}

/// One page of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hits {
    /// Newest first.
    pub hits: Vec<Hit>,
    /// All hits of the query, on this page or not. Exact if the query has texts only, and the index was sure of each;
    /// else an upper bound.
    pub total: u64,
    /// Whether there are hits after the last of these.
    pub more: bool,
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub id: MessageId,
    /// Of each text of the query, in its order, whether the message has it; for [`decide`]. `None` if the index
    /// cannot tell: [`texts`] finds out by the message itself.
    pub texts: Option<Vec<bool>>,
}

/// Whether a message fulfils the query: `texts` as its [`Hit`] says, and every other condition as `holds` says.
#[must_use]
pub fn decide(query: &Query, texts: &[bool], holds: &mut dyn FnMut(&Query) -> bool) -> bool {
    decide::decide(query, &mut texts.iter().copied(), holds).unwrap_or(true)
}
