//! Lists: a folder's messages page by page, and conversations.

use storage::{Filter, PageRequest};
use types::{MailboxId, ThreadId, api};

use crate::{Access, Error, Result, convert, cursor};

/// What of a folder is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    pub filter: Filter,
    /// From the page before.
    pub cursor: Option<String>,
    /// At most this many; cut to the configured limit.
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
        let mut latest = self.service.latest(self.id).await?;
        // One more than wanted tells whether there is a next page.
        let request = PageRequest { mailbox: Some(folder), filter: query.filter, before, limit: limit + 1 };
        let mut messages = latest.page(self.id, &request).await?;
        if messages.is_empty() && before.is_none() && latest.mailbox(self.id, folder).await?.is_none() {
            return Err(Error::NotFound("folder"));
        }
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = messages.len() > wanted;
        messages.truncate(wanted);
        let next = messages.last().filter(|_| more).map(|last| cursor::encode(last.id));
        Ok(api::Page { messages: messages.into_iter().map(convert::summary).collect(), next })
    }

    /// A conversation, oldest first.
    pub async fn thread(&self, thread: ThreadId) -> Result<api::Thread> {
        let messages = self.service.latest(self.id).await?.thread(self.id, thread, THREAD_LIMIT).await?;
        if messages.is_empty() {
            return Err(Error::NotFound("conversation"));
        }
        Ok(api::Thread { messages: messages.into_iter().map(convert::summary).collect() })
    }

    pub(crate) fn page_limit(&self, limit: Option<u32>) -> Result<u32> {
        let most = u32::try_from(self.service.config().max_batch).unwrap_or(u32::MAX);
        match limit {
            Some(0) => Err(Error::invalid("limit", format!("limit must be from 1 to {most}"))),
            Some(limit) => Ok(limit.min(most)),
            None => Ok(DEFAULT_LIMIT.min(most)),
        }
    }
}
