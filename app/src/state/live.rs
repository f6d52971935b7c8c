//! Takes in what the server says has changed, wherever it is shown.

use std::{cell::Cell, sync::Arc};

use leptos::{prelude::*, task::spawn_local};
use types::{
    AccountId, MessageId,
    api::{Change, ServerEvent, Summary},
};

use super::{
    Opened, Source, Store,
    boot::Rows,
    store::{PAGE, leave, leave_if_over},
};
use crate::api::events::{Heard, listen};

impl Store {
    /// Listens to the server for as long as the page is open.
    pub(crate) fn listen(self) {
        let caught_up = Cell::new(false);
        spawn_local(async move {
            listen(move |heard| match heard {
                Heard::Lost => {
                    self.online.set(false);
                    self.check_session();
                }
                Heard::Ended => leave(),
                Heard::Event(event) => {
                    self.online.set(true);
                    match event {
                        ServerEvent::Changed(change) => self.apply(&change),
                        ServerEvent::Ready { .. } => {
                            // What changed between the rendering of the page and the first word of the server.
                            if !caught_up.replace(true) {
                                self.catch_up();
                            }
                        }
                        ServerEvent::Reset { .. } => self.refresh(),
                        ServerEvent::Shared(shared) => {
                            self.told_shared.update_value(|told| *told += 1);
                            self.take_shared(shared.folders);
                        }
                    }
                }
            })
            .await;
        });
    }

    /// Leaves where the session ended while nothing could be heard: a refused connection does not tell why.
    fn check_session(self) {
        let api = self.api();
        spawn_local(async move {
            if let Err(problem) = api.session().await {
                leave_if_over(&problem);
            }
        });
    }

    /// Loads folders and the shown list anew, and forgets the other lists.
    pub(crate) fn refresh(self) {
        let source = untrack(|| self.source());
        self.lists.update(|lists| lists.retain(|key, _| Some(key) == source.as_ref()));
        self.load_folders();
        self.load_shared();
        let Some(source) = source else { return };
        spawn_local(async move {
            match self.load_page(&source, None, PAGE).await {
                Ok(rows) => self.lists.update(|lists| {
                    lists.insert(source, rows.into());
                }),
                Err(problem) => self.complain(&problem),
            }
        });
    }

    /// Takes in what is new at the beginning of the shown list.
    fn catch_up(self) {
        self.load_folders();
        let Some(source @ Source::Folder { .. }) = untrack(|| self.source()) else { return };
        spawn_local(async move {
            match self.load_page(&source, None, PAGE / 2).await {
                Ok(Rows::Page(page)) => self.upsert(&page.messages),
                Ok(Rows::Found(_)) => {}
                Err(problem) => leave_if_over(&problem),
            }
        });
    }

    fn load_folders(self) {
        let api = self.api();
        spawn_local(async move {
            match api.folders().await {
                Ok(folders) => self.folders.set(folders.folders),
                Err(problem) => self.complain(&problem),
            }
        });
    }

    /// One change of the account.
    pub(crate) fn apply(self, change: &Change) {
        if !change.folders.is_empty() || !change.removed_folders.is_empty() {
            self.folders.update(|folders| {
                folders.retain(|folder| !change.removed_folders.contains(&folder.id));
                for changed in &change.folders {
                    match folders.iter_mut().find(|folder| folder.id == changed.id) {
                        Some(folder) => *folder = changed.clone(),
                        None => folders.push(changed.clone()),
                    }
                }
            });
        }
        let known: Vec<_> = change.created.iter().chain(&change.updated).cloned().collect();
        self.upsert(&known);
        self.forget(&change.removed);
    }

    /// Takes in messages of the reader's own as they are now.
    pub(crate) fn upsert(self, messages: &[Summary]) {
        self.upsert_of(None, messages);
    }

    /// Takes in messages as they are now; whose, if they are not the reader's own.
    pub(super) fn upsert_of(self, owner: Option<AccountId>, messages: &[Summary]) {
        if messages.is_empty() {
            return;
        }
        let shown = self.source();
        let mut above = 0;
        self.lists.update(|lists| {
            for (source, list) in lists.iter_mut().filter(|(source, _)| source.owner() == owner) {
                for message in messages {
                    let added = list.upsert(source, message);
                    if added.is_some() && Some(source) == shown.as_ref() {
                        above += 1;
                    }
                }
            }
        });
        if above > 0 {
            self.arrived_above.set(above);
        }
        self.renew_opened(messages);
        self.threads.update(|threads| {
            for message in messages {
                let Some(thread) = threads.get_mut(&message.thread_id) else { continue };
                match thread.iter_mut().find(|known| known.id == message.id) {
                    Some(known) => *known = message.clone(),
                    None => {
                        let at = thread.partition_point(|known| known.id < message.id);
                        thread.insert(at, message.clone());
                    }
                }
            }
        });
    }

    /// Takes in what is new about messages that are open or were.
    pub(super) fn renew_opened(self, messages: &[Summary]) {
        self.messages.update(|opened| {
            for message in messages {
                if let Some(Opened::Ready(known)) = opened.get_mut(&message.id) {
                    let known = Arc::make_mut(known);
                    // Lists name the first recipients only; and whom a mail went to does not change.
                    let to = std::mem::take(&mut known.summary.to);
                    known.summary = Summary { to, ..message.clone() };
                }
            }
        });
    }

    /// Takes messages out of everything.
    pub(crate) fn forget(self, ids: &[MessageId]) {
        if ids.is_empty() {
            return;
        }
        self.lists
            .update(|lists| lists.values_mut().for_each(|list| ids.iter().for_each(|id| list.remove(*id))));
        self.threads.update(|threads| {
            threads.values_mut().for_each(|thread| thread.retain(|known| !ids.contains(&known.id)));
        });
        self.messages.update(|messages| messages.retain(|id, _| !ids.contains(id)));
        self.selection.update(|selection| selection.retain(|id| !ids.contains(id)));
    }
}
