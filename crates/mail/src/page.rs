//! Lists: a folder's messages page by page, and conversations.

use std::time::Duration;

use cluster::Cached;
use serde::{Deserialize, Serialize};
use storage::{Edition, Filter, Message, PageRequest, Snapshot};
use types::{AccountId, MailboxId, ModSeq, ThreadId, UidValidity, api};

use crate::cursor::{self, List};
use crate::{Access, Error, Result, convert};

/// What of a folder is wanted.
#[derive(Debug, Clone, Default)]
pub struct PageQuery {
    pub filter: Filter,
    /// From the page before.
    pub cursor: Option<String>,
    /// At most this many; more than there can be on a page is refused.
    pub limit: Option<u32>,
}

/// The first page of a folder, which is shown again if the folder's shard says that it is still as it was.
#[derive(Serialize, Deserialize)]
struct Kept {
    uid_validity: u32,
    modseq: ModSeq,
    #[serde(with = "as_json")]
    page: api::Page,
}

impl Cached for Kept {
    type Key = str;
    const PREFIX: &'static str = "page-2";
    const TTL: Duration = Duration::from_secs(600);
}

const DEFAULT_LIMIT: u32 = 50;
/// Pages that are kept: those that lists begin with, here and in the webmail.
const KEPT_LIMITS: [u32; 2] = [DEFAULT_LIMIT, 100];
/// Conversations longer than this show their newest messages.
const THREAD_LIMIT: u32 = 200;

impl Access {
    /// A page of a folder, newest first. Its cost does not depend on the folder's size.
    pub async fn page(&self, folder: MailboxId, query: &PageQuery) -> Result<api::Page> {
        let list = List::folder(self.id, folder);
        let before = query.cursor.as_deref().map(|cursor| cursor::decode(list, cursor)).transpose()?;
        let limit = self.page_limit(query.limit)?;
        // One more than wanted tells whether there is a next page.
        let request = PageRequest { mailbox: Some(folder), filter: query.filter, before, limit: limit + 1 };
        let is_kept = before.is_none() && KEPT_LIMITS.contains(&limit);
        let key = is_kept.then(|| key(self.id, folder, &request));
        let cache = &self.service.parts.cache;
        let kept = match &key {
            Some(key) => cache.load::<Kept>(key).await,
            None => None,
        };
        let known = kept.as_ref().map(|kept| kept.edition());
        let (account, asked) = (self.id, &request);
        let look =
            |mut shard: Box<dyn Snapshot>| async move { shard.page_if_new(account, asked, known).await };
        let paged = self.service.look(account, look).await?.ok_or(Error::NotFound("folder"))?;
        let Some(messages) = paged.messages else {
            return kept.map(|kept| kept.page).ok_or(Error::NotFound("folder"));
        };
        let page = page_of(list, messages, limit);
        if let Some(key) = key {
            let Edition { uid_validity, modseq } = paged.edition;
            let kept = Kept { uid_validity: uid_validity.0, modseq, page };
            cache.store(key.as_str(), &kept).await;
            return Ok(kept.page);
        }
        Ok(page)
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

impl Kept {
    const fn edition(&self) -> Edition {
        Edition { uid_validity: UidValidity(self.uid_validity), modseq: self.modseq }
    }
}

fn key(account: AccountId, folder: MailboxId, request: &PageRequest) -> String {
    let Filter { unread, flagged, attachments } = request.filter;
    let bits = [unread, flagged, attachments].map(|bit| bit.map_or('-', |yes| if yes { '1' } else { '0' }));
    format!("{account}:{folder}:{}:{}", request.limit, String::from_iter(bits))
}

/// Of messages of which there may be one more than the page has.
fn page_of(list: List, mut messages: Vec<Message>, limit: u32) -> api::Page {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = messages.len() > wanted;
    messages.truncate(wanted);
    let next = messages.last().filter(|_| more).map(|last| cursor::encode(list, last.id));
    api::Page { messages: messages.into_iter().map(convert::summary).collect(), next }
}

/// What leaves out fields cannot be kept as anything but text that names them.
mod as_json {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _, ser::Error as _};
    use types::api::Page;

    pub(super) fn serialize<S: Serializer>(page: &Page, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&serde_json::to_string(page).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Page, D::Error> {
        serde_json::from_str(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}
