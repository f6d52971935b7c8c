//! The MeiliSearch adapter: one index on a server, for all accounts of all nodes.
//!
//! - Nothing is left to MeiliSearch's own idea of words. Each message is a document with its account and the words of
//!   `words` as values to filter by ([`encode`]), so that both adapters find the same; a search is one filter, sorted
//!   by an id that has the order of time. MeiliSearch's own searching cannot do it: it finds prefixes only in Korean,
//!   looks at ten words of a query, has no "or", and takes a phrase for its pairs of words.
//! - **Invariant:** a search shows nothing of a document but its id; snippets come from the store.
//! - MeiliSearch's tasks are not seen outside: what was applied is there when the call returns.

mod encode;
mod error;
mod setup;
mod tasks;
mod url;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use meilisearch_sdk::{
    client::Client,
    documents::DocumentDeletionQuery,
    indexes::Index,
    search::{SearchQuery, SearchResults, Selectors},
    task_info::TaskInfo,
};
use serde::Deserialize;
use storage::Result;
use types::{AccountId, MessageId, query::Query};

use self::{
    encode::{AccountFilters, MessageDocument, message_id},
    error::{REQUEST, within},
};
pub use self::{error::OpenError, url::MeiliUrl};
use crate::{Hit, Hits, Op, Rebuild, Search, Size, relax::Text, relax::superset, texts, words::wanted};

/// An index on a MeiliSearch server. Clones are the same index.
#[derive(Clone)]
pub struct MeiliSearch {
    server: Arc<Server>,
}

/// A server, and what our index is called there.
struct Server {
    client: Client,
    /// Without the version.
    name: String,
}

/// Words in one task, at about the most: some megabytes as JSON.
const WORDS_AT_ONCE: usize = 200_000;
/// What tells hits apart, and orders them.
const ID: &str = "id";

impl Server {
    /// The index of this version.
    fn index(&self) -> Index {
        self.client.index(setup::uid(&self.name))
    }

    /// Has the operations applied to an index that must be there: MeiliSearch would make one without our settings.
    async fn enqueue(&self, index: &Index, ops: Vec<Op>) -> Result<Vec<TaskInfo>> {
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        within(REQUEST, self.client.get_raw_index(&index.uid)).await?;
        // Of each message, only what is last counts.
        let mut last = HashMap::new();
        for op in ops {
            let (account, id, document) = match op {
                Op::Put { account, id, document } => (account, id, Some(document)),
                Op::Remove { account, id } => (account, id, None),
            };
            last.insert((account, id), document);
        }
        let mut tasks = Vec::new();
        let mut removed = Vec::new();
        let (mut batch, mut words) = (Vec::new(), 0);
        for ((account, id), document) in last {
            let Some(document) = document else {
                removed.push(encode::key(account, id));
                continue;
            };
            let document = MessageDocument::new(account, id, &document);
            words += document.words.len();
            batch.push(document);
            if words >= WORDS_AT_ONCE {
                tasks.push(within(REQUEST, index.add_or_replace(&batch, Some(ID))).await?);
                (batch, words) = (Vec::new(), 0);
            }
        }
        if !batch.is_empty() {
            tasks.push(within(REQUEST, index.add_or_replace(&batch, Some(ID))).await?);
        }
        if !removed.is_empty() {
            tasks.push(within(REQUEST, index.delete_documents(&removed)).await?);
        }
        Ok(tasks)
    }
}

#[derive(Deserialize)]
struct Found {
    id: String,
}

#[async_trait]
impl Search for MeiliSearch {
    async fn apply(&self, ops: Vec<Op>) -> Result<()> {
        for task in self.server.enqueue(&self.server.index(), ops).await? {
            tasks::done(&self.server.client, &task).await?;
        }
        Ok(())
    }

    async fn find(
        &self,
        account: AccountId,
        query: &Query,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Hits> {
        let filters = AccountFilters(account);
        let Some(matching) = superset(query, &filters) else {
            return Ok(Hits::default());
        };
        // One more than asked for tells whether there are more.
        let limit_and_one = limit.saturating_add(1);
        let older = before.map(|before| format!("{} AND {matching}", filters.before(before)));
        let page = Asked { filter: older.as_deref().unwrap_or(&matching), limit: limit_and_one };
        let mut answers = match &older {
            None => self.ask(&[page]).await?,
            Some(_) => self.ask(&[page, Asked { filter: &matching, limit: 0 }]).await?,
        };
        let total = answers.last().map_or(0, |answer| answer.total);
        let mut ids = std::mem::take(&mut answers.first_mut().ok_or_else(error::unlike)?.ids);
        let more = ids.len() > limit;
        ids.truncate(limit);
        let texts = self.texts(&filters, query, &ids).await?;
        let hits = ids.into_iter().zip(texts).map(|(id, texts)| Hit { id, texts }).collect();
        Ok(Hits { hits, total, more })
    }

    async fn forget(&self, account: AccountId) -> Result<()> {
        let index = self.server.index();
        let filter = AccountFilters(account).all();
        let mut deletion = DocumentDeletionQuery::new(&index);
        deletion.with_filter(&filter);
        let task = within(REQUEST, index.delete_documents_with(&deletion)).await?;
        tasks::done(&self.server.client, &task).await
    }

    async fn size(&self) -> Result<Size> {
        let stats = within(REQUEST, self.server.index().get_stats()).await?;
        let number = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        Ok(Size { documents: number(stats.number_of_documents), bytes: number(stats.raw_document_db_size) })
    }

    async fn rebuild(&self) -> Result<Box<dyn Rebuild>> {
        Ok(Box::new(setup::begin(Arc::clone(&self.server)).await?))
    }
}

/// A search: the newest that pass a filter.
struct Asked<'f> {
    filter: &'f str,
    limit: usize,
}

struct Answer {
    ids: Vec<MessageId>,
    total: u64,
}

impl MeiliSearch {
    async fn ask(&self, asked: &[Asked<'_>]) -> Result<Vec<Answer>> {
        let index = self.server.index();
        let mut all = self.server.client.multi_search();
        for one in asked {
            let mut search = SearchQuery::new(&index);
            search
                .with_index_uid()
                .with_filter(one.filter)
                .with_sort(&["id:desc"])
                .with_limit(one.limit)
                .with_attributes_to_retrieve(Selectors::Some(&[ID]));
            all.with_search_query(search);
        }
        let answers = within(REQUEST, all.execute::<Found>()).await?.results;
        answers.into_iter().map(answer).collect()
    }

    /// Of each hit, which texts of the query it has.
    async fn texts(
        &self,
        filters: &AccountFilters,
        query: &Query,
        ids: &[MessageId],
    ) -> Result<Vec<Option<Vec<bool>>>> {
        let mut texts = vec![Some(Vec::new()); ids.len()];
        let asked: Vec<_> = texts::each(query)
            .into_iter()
            .map(|(field, text)| match wanted(text) {
                words if words.is_empty() => None,
                words => Some(filters.words(field, &words)),
            })
            .collect();
        let held = if texts::all_hold(query) || ids.is_empty() {
            Vec::new()
        } else {
            let among = filters.among(ids);
            let filters: Vec<_> = asked
                .iter()
                .flatten()
                .map(|(Text::Exact(filter) | Text::Superset(filter))| format!("{among} AND {filter}"))
                .collect();
            let asked: Vec<_> = filters.iter().map(|filter| Asked { filter, limit: ids.len() }).collect();
            self.ask(&asked).await?
        };
        let mut held = held.into_iter();
        for text in asked {
            let holding = text.as_ref().and_then(|_| held.next());
            let sure = !matches!(text, Some(Text::Superset(_)));
            for (id, texts) in ids.iter().zip(&mut texts) {
                let holds = holding.as_ref().is_none_or(|answer| answer.ids.contains(id));
                match texts {
                    Some(texts) if sure || !holds => texts.push(holds),
                    _ => *texts = None,
                }
            }
        }
        Ok(texts)
    }
}

fn answer(results: SearchResults<Found>) -> Result<Answer> {
    let ids = results.hits.iter().map(|hit| message_id(&hit.result.id).ok_or_else(error::unlike));
    let total = results.estimated_total_hits.ok_or_else(error::unlike)?;
    Ok(Answer { ids: ids.collect::<Result<_>>()?, total: u64::try_from(total).unwrap_or(u64::MAX) })
}
