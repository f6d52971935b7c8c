//! Full-text search over an inverted index: Tantivy.
//!
//! **Invariant:** derived state. The index can be thrown away and built again from storage, may lag behind it, and
//! never decides what exists: its hits are looked up in the shard before anybody sees them.

mod decide;
mod excluded;
mod index;
mod newest;
mod relax;
mod schema;
mod snippet;
mod words;

pub use index::{Opened, TantivySearch};
pub use snippet::snippet;

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
    /// The text, without markup. What lies beyond [`MAX_WORDS`] is not found.
    pub body: String,
    pub filenames: Vec<String>,
}

/// How many words of a field are indexed.
pub const MAX_WORDS: usize = 50_000;

/// One page of what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hits {
    /// Newest first.
    pub hits: Vec<Hit>,
    /// All hits of the query, on this page or not. Exact if the query has texts only, else an upper bound.
    pub total: u64,
    /// Whether there are hits after the last of these.
    pub more: bool,
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub id: MessageId,
    /// Of each text of the query, in its order, whether the message has it; for [`decide`].
    pub texts: Vec<bool>,
}

/// Whether a message fulfils the query: `texts` as its [`Hit`] says, and every other condition as `holds` says.
#[must_use]
pub fn decide(query: &Query, texts: &[bool], holds: &mut dyn FnMut(&Query) -> bool) -> bool {
    decide::decide(query, &mut texts.iter().copied(), holds).unwrap_or(true)
}
