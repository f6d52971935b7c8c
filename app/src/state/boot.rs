//! What a page needs to be shown whole, loaded at once: on the server while rendering, and so already in the page.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::{
    MessageId, Problem,
    api::{Account, Folder, Found, Message, Page, SharedFolder, Summary},
};

use super::{
    List, Place, Source,
    place::{Named, find_folder},
    shared::find_shared,
};
use crate::api::Api;

/// Rows that the first page shows.
const FIRST_ROWS: u32 = 50;

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Boot {
    pub(crate) account: Account,
    pub(crate) folders: Vec<Folder>,
    pub(crate) shared: Vec<SharedFolder>,
    pub(crate) list: Option<(Source, Rows)>,
    pub(crate) message: Option<(MessageId, Result<Message, Problem>)>,
    pub(crate) thread: Vec<Summary>,
}

/// The beginning of the list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Rows {
    Page(Page),
    Found(Found),
}

impl From<Rows> for List {
    fn from(rows: Rows) -> Self {
        match rows {
            Rows::Page(page) => Self::of_page(page),
            Rows::Found(found) => Self::of_found(found),
        }
    }
}

/// Loads what a place shows.
pub(crate) async fn load(api: Arc<dyn Api>, place: Place) -> Result<Boot, Problem> {
    let account = api.session().await?.account;
    let folders = api.folders().await?.folders;
    // What others share may be away; one's own mail is shown without it.
    let shared = api.shared().await.map(|shared| shared.folders).unwrap_or_default();
    let list = match &place {
        Place::Folder { folder: Named::Own(name), filter, .. } => match find_folder(&folders, name) {
            Some(folder) => {
                let page = api.page(folder.id, None, FIRST_ROWS, *filter).await?;
                Some((Source::Folder { id: folder.id, filter: *filter }, Rows::Page(page)))
            }
            None => None,
        },
        Place::Folder { folder: Named::Shared(folder), filter, .. } => match find_shared(&shared, *folder) {
            Some(_) => {
                let page = api.shared_page(*folder, None, FIRST_ROWS, *filter).await?;
                Some((Source::Shared { folder: *folder, filter: *filter }, Rows::Page(page)))
            }
            None => None,
        },
        Place::Search { query, .. } if !query.is_empty() => {
            let found = api.search(query.clone(), None, FIRST_ROWS).await?;
            Some((Source::Search { query: query.clone() }, Rows::Found(found)))
        }
        Place::Search { .. } | Place::Compose => None,
    };
    let mut thread = Vec::new();
    let mut message = None;
    if let Some(id) = place.message() {
        let found = match place.shared_id() {
            Some(folder) => api.shared_message(folder, id).await,
            None => api.message(id).await,
        };
        let found = found.map(without_html);
        if let Ok(found) = &found
            && place.shared_id().is_none()
        {
            thread =
                api.thread(found.summary.thread_id).await.map(|thread| thread.messages).unwrap_or_default();
        }
        message = Some((id, found));
    }
    Ok(Boot { account, folders, shared, list, message, thread })
}

/// The HTML of a message has a request of its own: here it is enough to know that there is some.
pub(crate) fn without_html(mut message: Message) -> Message {
    message.html = message.html.map(|_| String::new());
    message
}
