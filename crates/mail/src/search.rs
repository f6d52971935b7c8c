//! Search: texts by the index, everything else by the rows that it leads to.

use std::{collections::HashMap, sync::Arc};

use message::SearchText;
use search::{Hit, SNIPPET_BYTES, decide, snippet};
use storage::{Filter, Mailbox, Message, PageRequest, Snapshot};
use types::{Flags, MessageId, address::fold, api, query::Query};

use crate::cursor::{self, List};
use crate::text::{document, pieces};
use crate::{Access, Result, convert};

/// Candidates that one request looks at, at the most; the cursor goes on from there.
const MAX_CANDIDATES: usize = 5_000;
const CANDIDATES_AT_ONCE: usize = 500;
const MAX_QUERY_CHARS: usize = 1_000;

impl Access {
    /// Messages that match what a person typed, newest first.
    pub async fn search(&self, text: &str, cursor: Option<&str>, limit: Option<u32>) -> Result<api::Found> {
        if text.chars().count() > MAX_QUERY_CHARS {
            return Err(crate::Error::invalid(
                "q",
                format!("a query has at most {MAX_QUERY_CHARS} characters"),
            ));
        }
        let query = Arc::new(Query::parse(text, self.service.now()));
        let limit = usize::try_from(self.page_limit(limit)?).unwrap_or(usize::MAX);
        let list = List::search(self.id, text);
        let mut before = cursor.map(|cursor| cursor::decode(list, cursor)).transpose()?;
        // Not one view for all of it: that would hold a connection while the index is asked.
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move {
            let mailboxes = shard.mailboxes(account).await?;
            Ok((!mailboxes.is_empty()).then_some(mailboxes))
        };
        let mailboxes = self.service.look(account, look).await?.unwrap_or_default();
        let mut snapshot = self.service.latest(account).await?;
        let (mut found, mut total, mut looked_at, mut more) = (Vec::new(), None, 0, true);
        let mut left = self.service.config().max_search_read.max(1);
        while more && found.len() <= limit && looked_at < MAX_CANDIDATES && left > 0 {
            let mut candidates = self.candidates(&mut *snapshot, &query, &mailboxes, before).await?;
            let all = candidates.hits.len();
            let hits = &mut candidates.hits;
            let rows = self.rows_of(&mut *snapshot, hits).await?;
            self.read_texts(&mut *snapshot, &query, &rows, hits, &mut left).await?;
            total = total.or(candidates.total);
            more = candidates.more || hits.len() < all;
            looked_at += hits.len();
            before = hits.last().map(|hit| hit.id).or(before);
            found.extend(decided(&query, &mailboxes, rows, candidates.hits));
        }
        let cut = found.len() > limit;
        found.truncate(limit);
        let next = match (cut, more) {
            (true, _) => found.last().map(|message| cursor::encode(list, message.id)),
            (false, true) => before.map(|last| cursor::encode(list, last)),
            (false, false) => None,
        };
        let count = found.len() as u64;
        let known = next.is_none() && cursor.is_none();
        Ok(api::Found {
            total: if known { count } else { total.unwrap_or(count) },
            total_is_estimate: !known,
            messages: self.with_snippets(&mut *snapshot, &query, found).await?,
            next,
        })
    }

    /// The next messages that may match.
    async fn candidates(
        &self,
        snapshot: &mut dyn Snapshot,
        query: &Query,
        mailboxes: &[Mailbox],
        before: Option<MessageId>,
    ) -> Result<Candidates> {
        if !query.is_exact() {
            let hits = self.service.parts.search.find(self.id, query, before, CANDIDATES_AT_ONCE).await?;
            return Ok(Candidates { hits: hits.hits, more: hits.more, total: Some(hits.total) });
        }
        let limit = u32::try_from(CANDIDATES_AT_ONCE).unwrap_or(u32::MAX);
        let request = narrowed(query, mailboxes, before, limit);
        let messages = snapshot.page(self.id, &request).await?;
        let more = messages.len() == CANDIDATES_AT_ONCE;
        let hits =
            messages.into_iter().map(|message| Hit { id: message.id, texts: Some(Vec::new()) }).collect();
        Ok(Candidates { hits, more, total: None })
    }

    async fn rows_of(
        &self,
        snapshot: &mut dyn Snapshot,
        hits: &[Hit],
    ) -> Result<HashMap<MessageId, Message>> {
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = snapshot.messages(self.id, &ids).await?;
        Ok(rows.into_iter().map(|message| (message.id, message)).collect())
    }

    /// Finds out which texts of the query the hits have, by reading the messages where the index could not tell. Once
    /// `left` bytes were read, the hits are cut off.
    async fn read_texts(
        &self,
        snapshot: &mut dyn Snapshot,
        query: &Arc<Query>,
        rows: &HashMap<MessageId, Message>,
        hits: &mut Vec<Hit>,
        left: &mut u64,
    ) -> Result<()> {
        let unsure = hits.iter().filter(|hit| hit.texts.is_none()).filter_map(|hit| rows.get(&hit.id));
        let unsure: Vec<_> = unsure.map(|message| (message.id, message.size_bytes)).collect();
        let mut read = HashMap::new();
        for ids in pieces(&unsure) {
            if *left == 0 {
                let end = hits.iter().position(|hit| ids.contains(&hit.id));
                hits.truncate(end.unwrap_or(hits.len()));
                break;
            }
            for content in snapshot.contents(self.id, &ids).await? {
                let (id, query) = (content.id, Arc::clone(query));
                let texts = move |text| search::texts(&document(text), &query);
                match self.service.text(self.id, content, texts).await {
                    Ok((texts, bytes)) => {
                        *left = left.saturating_sub(bytes);
                        read.insert(id, texts);
                    }
                    // It would look as if there were nothing.
                    Err(error) if error.is_temporary() => return Err(error),
                    // A damaged mail is found by nothing; opening it says what is wrong.
                    Err(error) => tracing::debug!(message = %id, %error, "cannot be searched"),
                }
            }
        }
        for hit in hits.iter_mut().filter(|hit| hit.texts.is_none()) {
            hit.texts = read.remove(&hit.id);
        }
        Ok(())
    }

    /// As the API shows them, each with the words around its first hit.
    async fn with_snippets(
        &self,
        snapshot: &mut dyn Snapshot,
        query: &Arc<Query>,
        messages: Vec<Message>,
    ) -> Result<Vec<api::Summary>> {
        if query.texts().is_empty() {
            return Ok(messages.into_iter().map(convert::summary).collect());
        }
        let sizes: Vec<_> = messages.iter().map(|message| (message.id, message.size_bytes)).collect();
        let max = self.service.config().max_search_text.min(SNIPPET_BYTES);
        let mut snippets = HashMap::new();
        for ids in pieces(&sizes) {
            for content in snapshot.contents(self.id, &ids).await? {
                let (id, query) = (content.id, Arc::clone(query));
                let cut = move |text: SearchText| snippet(&text.body, &query);
                // A damaged mail is shown without; opening it says what is wrong.
                let found = self.service.text_beside(self.id, content, max, cut).await.ok().flatten();
                snippets.extend(found.map(|snippet| (id, snippet)));
            }
        }
        Ok(messages
            .into_iter()
            .map(|message| {
                let body = snippets.remove(&message.id);
                let snippet = body.or_else(|| snippet(&message.summary.preview, query));
                api::Summary { snippet, ..convert::summary(message) }
            })
            .collect())
    }
}

struct Candidates {
    hits: Vec<Hit>,
    more: bool,
    total: Option<u64>,
}

/// Those of the candidates that exist and match, in their order.
fn decided(
    query: &Query,
    mailboxes: &[Mailbox],
    mut rows: HashMap<MessageId, Message>,
    hits: Vec<Hit>,
) -> impl Iterator<Item = Message> {
    hits.into_iter().filter_map(move |hit| {
        let (message, texts) = (rows.remove(&hit.id)?, hit.texts?);
        let matches = decide(query, &texts, &mut |condition| holds(condition, &message, mailboxes));
        matches.then_some(message)
    })
}

/// The page request that leaves out as much as indexes can for a query without texts.
fn narrowed(query: &Query, mailboxes: &[Mailbox], before: Option<MessageId>, limit: u32) -> PageRequest {
    let mut request = PageRequest { mailbox: None, filter: Filter::default(), before, limit };
    let conditions = match query {
        Query::And(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    for condition in conditions {
        match condition {
            Query::Unread => request.filter.unread = Some(true),
            Query::Flagged => request.filter.flagged = Some(true),
            Query::HasAttachment => request.filter.attachments = Some(true),
            Query::InRole(_) | Query::InFolder(_) => {
                // Folders of the same name may lie in different folders.
                let mut matching = mailboxes.iter().filter(|mailbox| is_in(condition, mailbox));
                if let (Some(only), None) = (matching.next(), matching.next()) {
                    request.mailbox = Some(only.id);
                }
            }
            _ => {}
        }
    }
    request
}

fn is_in(condition: &Query, mailbox: &Mailbox) -> bool {
    match condition {
        Query::InRole(role) => mailbox.role == Some(*role),
        Query::InFolder(name) => fold(&mailbox.name) == fold(name),
        _ => false,
    }
}

/// Whether a condition that is no text holds for a message.
fn holds(condition: &Query, message: &Message, mailboxes: &[Mailbox]) -> bool {
    let flags = message.flags;
    match condition {
        Query::Unread => flags.is_unread(),
        Query::Flagged => flags.contains(Flags::FLAGGED),
        Query::Answered => flags.contains(Flags::ANSWERED),
        Query::Draft => flags.contains(Flags::DRAFT),
        Query::HasAttachment => message.summary.has_attachments,
        Query::InFolder(_) | Query::InRole(_) => {
            mailboxes.iter().any(|mailbox| mailbox.id == message.mailbox && is_in(condition, mailbox))
        }
        Query::Label(label) => message.keywords.iter().any(|keyword| fold(keyword) == fold(label)),
        Query::Since(time) => message.received_at >= *time,
        Query::Before(time) => message.received_at < *time,
        Query::LargerThan(bytes) => message.size_bytes > *bytes,
        Query::SmallerThan(bytes) => message.size_bytes < *bytes,
        Query::And(_) | Query::Or(_) | Query::Not(_) | Query::Text(..) => false,
    }
}
