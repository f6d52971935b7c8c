//! Lists: a folder's messages page by page, and conversations.

use storage::{Filter, PageRequest, Snapshot};
use types::{MailboxId, ThreadId, api};

use crate::{Access, Error, Result, convert, cursor};

/// What of a folder is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    pub filter: Filter,
    /// From the page before.
    pub cursor: Option<String>,
    /// At most this many; more than there can be on a page is refused.
    pub limit: Option<u32>,
}

const DEFAULT_LIMIT: u32 = 50;
/// Conversations longer than this show their newest messages.
const THREAD_LIMIT: u32 = 200;

impl Access {
    /// A page of a folder, newest first. Its cost does not depend on the folder's size.
    pub async fn page(&self, folder: MailboxId, query: &PageQuery) -> Result<api::Page> {
        let before = query.cursor.as_deref().map(cursor::decode).transpose()?;
        let limit = self.page_limit(query.limit)?;
        // One more than wanted tells whether there is a next page.
        let request = PageRequest { mailbox: Some(folder), filter: query.filter, before, limit: limit + 1 };
        let (account, request) = (self.id, &request);
        let look = |mut shard: Box<dyn Snapshot>| async move {
            let messages = shard.page(account, request).await?;
            let is_there = !messages.is_empty()
                || request.before.is_some()
                || shard.mailbox(account, folder).await?.is_some();
            Ok(is_there.then_some(messages))
        };
        let mut messages = self.service.look(account, look).await?.ok_or(Error::NotFound("folder"))?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = messages.len() > wanted;
        messages.truncate(wanted);
        let next = messages.last().filter(|_| more).map(|last| cursor::encode(last.id));
        Ok(api::Page { messages: messages.into_iter().map(convert::summary).collect(), next })
    }

    /// A conversation, oldest first.
    pub async fn thread(&self, thread: ThreadId) -> Result<api::Thread> {
        let account = self.id;
        let look = |mut shard: Box<dyn Snapshot>| async move {
            let messages = shard.thread(account, thread, THREAD_LIMIT).await?;
            Ok((!messages.is_empty()).then_some(messages))
        };
        let messages = self.service.look(account, look).await?.ok_or(Error::NotFound("conversation"))?;
        Ok(api::Thread { messages: messages.into_iter().map(convert::summary).collect() })
    }

    pub(crate) fn page_limit(&self, limit: Option<u32>) -> Result<u32> {
        let most = u32::try_from(self.service.config().max_batch).unwrap_or(u32::MAX);
        match limit {
            Some(limit) if limit == 0 || limit > most => {
                Err(Error::invalid("limit", format!("limit must be from 1 to {most}")))
            }
            Some(limit) => Ok(limit),
            None => Ok(DEFAULT_LIMIT.min(most)),
        }
    }
}
