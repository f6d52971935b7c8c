//! The one store of the page: signals for what is loaded, and how to load more.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use leptos::{prelude::*, task::spawn_local};
use types::{
    MailboxId, MessageId, Problem, ProblemKind, Role, ThreadId,
    api::{Account, Folder, Message, SharedFolder, Summary},
};

use super::{
    Boot, Draft, List, Place, Source, Status, Toast, Undo,
    boot::{Rows, without_html},
    place::{Named, find_folder},
    shared::{owner_name, shared_name},
};
use crate::{
    Preferences,
    api::{Answer, Api},
    browser,
    i18n::{Texts, texts},
};

/// Rows that one page brings while scrolling.
pub(super) const PAGE: u32 = 100;
/// Opened messages that are kept.
const KEPT_MESSAGES: usize = 40;
/// How long a toast stays, in milliseconds.
pub(super) const TOAST: f64 = 6_000.0;

/// A message on its way to the reading pane.
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    Loading,
    Ready(Arc<Message>),
    Failed(Problem),
}

/// The folder that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    pub(crate) name: String,
    /// Whose it is, if it is somebody else's.
    pub(crate) owner: Option<String>,
    pub(crate) total: u64,
    pub(crate) unread: u64,
}

/// Handles of everything; copied freely.
#[derive(Clone, Copy)]
pub(crate) struct Store {
    api: StoredValue<Arc<dyn Api>>,
    /// What lives as long as the page is made under this.
    owner: StoredValue<Owner>,
    pub(crate) texts: &'static Texts,
    pub(crate) place: Memo<Place>,
    pub(crate) account: RwSignal<Account>,
    pub(crate) folders: RwSignal<Vec<Folder>>,
    /// What others share with the reader.
    pub(crate) shared: RwSignal<Vec<SharedFolder>>,
    /// How often what is shown of it was loaded anew: of answers that overtake one another the last one counts.
    pub(super) reloads: StoredValue<u64>,
    /// How often the server told what is shared: an answer that was asked for before is older.
    pub(super) told_shared: StoredValue<u64>,
    pub(crate) lists: RwSignal<HashMap<Source, List>>,
    pub(crate) messages: RwSignal<HashMap<MessageId, Opened>>,
    pub(crate) threads: RwSignal<HashMap<ThreadId, Vec<Summary>>>,
    pub(crate) selection: RwSignal<BTreeSet<MessageId>>,
    pub(crate) toasts: RwSignal<Vec<Toast>>,
    pub(crate) draft: RwSignal<Option<Draft>>,
    /// Whether events arrive.
    pub(crate) online: RwSignal<bool>,
    /// Whether the browser has taken over: from then on the page may differ from what the server rendered.
    pub(crate) hydrated: RwSignal<bool>,
    /// Where to go next.
    pub(crate) going: RwSignal<Option<String>>,
    pub(crate) sidebar_open: RwSignal<bool>,
    /// Rows that arrived above what is being read: how far the list is to be moved, in rows.
    pub(crate) arrived_above: RwSignal<usize>,
}

impl Store {
    pub(crate) fn new(api: Arc<dyn Api>, place: Memo<Place>, boot: Boot) -> Self {
        let mut lists = HashMap::new();
        if let Some((source, rows)) = boot.list {
            lists.insert(source, rows.into());
        }
        let mut messages = HashMap::new();
        let mut threads = HashMap::new();
        if let Some((id, message)) = boot.message {
            if let Ok(message) = &message {
                threads.insert(message.summary.thread_id, boot.thread);
            }
            messages
                .insert(id, message.map_or_else(Opened::Failed, |message| Opened::Ready(Arc::new(message))));
        }
        Self {
            api: StoredValue::new(api),
            owner: StoredValue::new(Owner::current().unwrap_or_default()),
            texts: texts(),
            place,
            account: RwSignal::new(boot.account),
            folders: RwSignal::new(boot.folders),
            shared: RwSignal::new(boot.shared),
            reloads: StoredValue::new(0),
            told_shared: StoredValue::new(0),
            lists: RwSignal::new(lists),
            messages: RwSignal::new(messages),
            threads: RwSignal::new(threads),
            selection: RwSignal::new(BTreeSet::new()),
            toasts: RwSignal::new(Vec::new()),
            draft: RwSignal::new(None),
            online: RwSignal::new(true),
            hydrated: RwSignal::new(false),
            going: RwSignal::new(None),
            sidebar_open: RwSignal::new(false),
            arrived_above: RwSignal::new(0),
        }
    }

    pub(crate) fn api(&self) -> Arc<dyn Api> {
        self.api.get_value()
    }

    /// Makes signals that live as long as the page, whoever asks for them.
    pub(super) fn owned<T>(self, make: impl FnOnce() -> T) -> T {
        self.owner.with_value(|owner| owner.with(make))
    }

    pub(crate) fn go(&self, place: &Place) {
        self.going.set(Some(place.href()));
    }

    /// The folder that the reader is in, if it is the reader's own.
    pub(crate) fn folder(&self) -> Option<Folder> {
        let place = self.place.get();
        let Place::Folder { folder: Named::Own(name), .. } = &place else { return None };
        self.folders.with(|folders| find_folder(folders, name).cloned())
    }

    /// What is known of the folder that the reader is in, whoever's it is.
    pub(crate) fn here(&self) -> Option<Here> {
        let own = self.folder().map(|Folder { name, role, total, unread, .. }| {
            let name = role.map_or(name, |role| self.texts.role(role).to_owned());
            Here { name, owner: None, total, unread }
        });
        own.or_else(|| {
            self.shared_folder().map(|folder| Here {
                name: shared_name(&folder.name, self.texts),
                owner: Some(owner_name(&folder).to_owned()),
                total: folder.total.unwrap_or_default(),
                unread: folder.unread.unwrap_or_default(),
            })
        })
    }

    pub(crate) fn role(&self) -> Option<Role> {
        self.folder().and_then(|folder| folder.role)
    }

    pub(crate) fn folder_of(&self, role: Role) -> Option<Folder> {
        self.folders.with(|folders| folders.iter().find(|folder| folder.role == Some(role)).cloned())
    }

    pub(crate) fn role_of(&self, id: MailboxId) -> Option<Role> {
        self.folders
            .with(|folders| folders.iter().find(|folder| folder.id == id).and_then(|folder| folder.role))
    }

    /// What the list beside the reading pane is of.
    pub(crate) fn source(&self) -> Option<Source> {
        match self.place.get() {
            Place::Folder { folder: Named::Own(_), filter, .. } => {
                self.folder().map(|folder| Source::Folder { id: folder.id, filter })
            }
            Place::Folder { folder: Named::Shared(folder), filter, .. } => {
                self.shared_folder().map(|_| Source::Shared { folder, filter })
            }
            Place::Search { query, .. } if query.is_empty() => None,
            Place::Search { query, .. } => Some(Source::Search { query }),
            Place::Compose => None,
        }
    }

    /// Reads the list beside the reading pane.
    pub(crate) fn with_list<T>(&self, read: impl FnOnce(&List) -> T) -> Option<T> {
        let source = self.source()?;
        self.lists.with(|lists| lists.get(&source).map(read))
    }

    /// A message as the lists know it now.
    pub(crate) fn summary(&self, id: MessageId) -> Option<Summary> {
        let opened = self.messages.with(|messages| match messages.get(&id) {
            Some(Opened::Ready(message)) => Some(message.summary.clone()),
            _ => None,
        });
        opened
            .or_else(|| self.lists.with(|lists| lists.values().find_map(|list| list.get(id).cloned())))
            .or_else(|| {
                self.threads
                    .with(|threads| threads.values().flatten().find(|message| message.id == id).cloned())
            })
    }

    /// The neighbour of a message in the list; `newer` looks up, otherwise down.
    pub(crate) fn neighbour(&self, id: MessageId, newer: bool) -> Option<MessageId> {
        self.with_list(|list| {
            let at = list.position(id)?;
            let at = if newer { at.checked_sub(1)? } else { at + 1 };
            list.rows.get(at).map(|row| row.id)
        })?
    }

    /// Loads the next page of a list, unless that is under way.
    pub(crate) fn load_more(self, source: Source) {
        let state = self.lists.with_untracked(|lists| {
            let list = lists.get(&source);
            (
                list.is_none_or(|list| list.has_more() && list.status != Status::Loading),
                list.and_then(List::next).cloned(),
                list.is_some_and(|list| list.begun),
            )
        });
        let (true, cursor, begun) = state else { return };
        self.lists.update(|lists| lists.entry(source.clone()).or_default().status = Status::Loading);
        spawn_local(async move {
            let limit = if begun { PAGE } else { PAGE / 2 };
            let outcome = self.load_page(&source, cursor, limit).await;
            if let Err(problem) = &outcome {
                leave_if_over(problem);
            }
            self.lists.update(|lists| {
                let list = lists.entry(source).or_default();
                match outcome {
                    Ok(Rows::Page(page)) => list.add_page(page),
                    Ok(Rows::Found(found)) => list.add_found(found),
                    Err(problem) => list.status = Status::Failed(problem),
                }
            });
        });
    }

    pub(super) async fn load_page(self, source: &Source, cursor: Option<String>, limit: u32) -> Answer<Rows> {
        let api = self.api();
        match source {
            Source::Folder { id, filter } => api.page(*id, cursor, limit, *filter).await.map(Rows::Page),
            Source::Shared { folder, filter } => {
                api.shared_page(*folder, cursor, limit, *filter).await.map(Rows::Page)
            }
            Source::Search { query } => api.search(query.clone(), cursor, limit).await.map(Rows::Found),
        }
    }

    /// Loads a message and its conversation, unless they are there.
    pub(crate) fn open(self, id: MessageId) {
        let known = self
            .messages
            .with_untracked(|messages| matches!(messages.get(&id), Some(Opened::Ready(_) | Opened::Loading)));
        if known {
            return;
        }
        self.messages.update(|messages| {
            if messages.len() >= KEPT_MESSAGES {
                messages.clear();
            }
            messages.insert(id, Opened::Loading);
        });
        let api = self.api();
        let shared = self.place.with_untracked(Place::shared_id);
        spawn_local(async move {
            let opened = match shared {
                Some(folder) => api.shared_message(folder, id).await,
                None => api.message(id).await,
            };
            let opened = opened.map(without_html);
            match &opened {
                // A conversation is the reader's own.
                Ok(message) if shared.is_none() => self.load_thread(message.summary.thread_id),
                Ok(_) => {}
                Err(problem) => leave_if_over(problem),
            }
            let opened = opened.map_or_else(Opened::Failed, |message| Opened::Ready(Arc::new(message)));
            self.messages.update(|messages| {
                messages.insert(id, opened);
            });
        });
    }

    fn load_thread(self, id: ThreadId) {
        let api = self.api();
        spawn_local(async move {
            match api.thread(id).await {
                Ok(thread) => self.threads.update(|threads| {
                    threads.insert(id, thread.messages);
                }),
                Err(problem) => leave_if_over(&problem),
            }
        });
    }

    /// For how long sending can be undone.
    pub(super) fn undo_seconds(self) -> u16 {
        Preferences::from_document().undo_seconds
    }

    pub(crate) fn say(self, text: impl Into<String>, undo: Option<Undo>) {
        self.toast(text.into(), false, undo, None, TOAST);
    }

    /// The same with a page to go to.
    pub(crate) fn say_with_link(
        self,
        text: &str,
        undo: Option<Undo>,
        link: (String, &'static str),
        lasts: f64,
    ) {
        self.toast(text.to_owned(), false, undo, Some(link), lasts);
    }

    /// Tells what went wrong.
    pub(crate) fn complain(self, problem: &Problem) {
        leave_if_over(problem);
        self.complain_of(self.texts.problem(problem));
    }

    /// The same in these words.
    pub(super) fn complain_of(self, text: String) {
        self.toast(text, true, None, None, TOAST);
    }

    fn toast(
        self,
        text: String,
        is_error: bool,
        undo: Option<Undo>,
        link: Option<(String, &'static str)>,
        lasts: f64,
    ) {
        let id = self.toasts.with_untracked(|toasts| toasts.last().map_or(1, |last| last.id + 1));
        self.toasts.update(|toasts| {
            // One after the other: the newest is what the reader wants to take back.
            toasts.retain(|toast| toast.is_error && is_error && toast.text != text);
            toasts.push(Toast { id, text, is_error, undo, link });
        });
        spawn_local(async move {
            browser::sleep(lasts).await;
            self.dismiss(id);
        });
    }

    pub(crate) fn dismiss(self, id: u64) {
        self.toasts.update(|toasts| toasts.retain(|toast| toast.id != id));
    }
}

/// Where the session has ended, there is only one way on.
pub(super) fn leave_if_over(problem: &Problem) {
    if problem.kind() == ProblemKind::Unauthenticated {
        leave();
    }
}

/// To the door.
pub(super) fn leave() {
    browser::leave_to("/login?error=unauthenticated");
}
