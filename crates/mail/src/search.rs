//! Search: texts by the index, everything else by the rows that it leads to.

use std::collections::HashMap;

use search::{Hit, decide, snippet};
use storage::{Filter, Mailbox, Message, PageRequest, Snapshot};
use types::{Flags, MessageId, address::fold, api, query::Query};

use crate::cursor::{self, List};
use crate::indexer::document;
use crate::{Access, Result, convert};

/// Candidates that one request looks at, at the most; the cursor goes on from there.
const MAX_CANDIDATES: usize = 5_000;
const CANDIDATES_AT_ONCE: usize = 500;
/// Bodies that are in memory at the same time.
const BODIES_AT_ONCE: usize = 20;
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
        let query = Query::parse(text, self.service.now());
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
        while more && found.len() <= limit && looked_at < MAX_CANDIDATES {
            let candidates = self.candidates(&mut *snapshot, &query, &mailboxes, before).await?;
            total = total.or(candidates.total);
            more = candidates.more;
            looked_at += candidates.hits.len();
            before = candidates.hits.last().map(|hit| hit.id).or(before);
            found.extend(self.decided(&mut *snapshot, &query, &mailboxes, candidates.hits).await?);
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

    /// Those of the candidates that exist and match, in their order.
    async fn decided(
        &self,
        snapshot: &mut dyn Snapshot,
        query: &Query,
        mailboxes: &[Mailbox],
        hits: Vec<Hit>,
    ) -> Result<Vec<Message>> {
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        let rows = snapshot.messages(self.id, &ids).await?;
        let mut rows: HashMap<_, _> = rows.into_iter().map(|message| (message.id, message)).collect();
        let unsure: Vec<_> = hits.iter().filter(|hit| hit.texts.is_none()).map(|hit| hit.id).collect();
        let mut read = self.read_texts(snapshot, query, &unsure).await?;
        Ok(hits
            .into_iter()
            .filter_map(|hit| {
                let message = rows.remove(&hit.id)?;
                let texts = hit.texts.or_else(|| read.remove(&hit.id))?;
                let matches = decide(query, &texts, &mut |condition| holds(condition, &message, mailboxes));
                matches.then_some(message)
            })
            .collect())
    }

    /// Which texts of the query these messages have, by reading them; where the index could not tell.
    async fn read_texts(
        &self,
        snapshot: &mut dyn Snapshot,
        query: &Query,
        ids: &[MessageId],
    ) -> Result<HashMap<MessageId, Vec<bool>>> {
        let mut read = HashMap::new();
        for ids in ids.chunks(BODIES_AT_ONCE) {
            for content in snapshot.contents(self.id, ids).await? {
                let id = content.id;
                // A damaged mail is found by nothing.
                let found = self.service.text(self.id, content).await.ok();
                read.extend(found.map(|found| (id, search::texts(&document(&found), query))));
            }
        }
        Ok(read)
    }

    /// As the API shows them, each with the words around its first hit.
    async fn with_snippets(
        &self,
        snapshot: &mut dyn Snapshot,
        query: &Query,
        messages: Vec<Message>,
    ) -> Result<Vec<api::Summary>> {
        if query.texts().is_empty() {
            return Ok(messages.into_iter().map(convert::summary).collect());
        }
        let ids: Vec<_> = messages.iter().map(|message| message.id).collect();
        let mut snippets = HashMap::new();
        for ids in ids.chunks(BODIES_AT_ONCE) {
            for content in snapshot.contents(self.id, ids).await? {
                let id = content.id;
                // A damaged mail is shown without; opening it says what is wrong.
                let found = self
                    .service
                    .text_beside(self.id, content)
                    .ok()
                    .and_then(|text| snippet(&text.body, query));
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
