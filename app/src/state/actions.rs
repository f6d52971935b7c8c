//! What the reader does to messages: shown at once, said to the server, and taken back where it refuses.

use leptos::{prelude::*, task::spawn_local};
use types::{
    MailboxId, MessageId, Rights, Role,
    api::{Patch, PatchMany, Summary},
};

use super::{Place, Store, Undo};
use crate::{api::SharedId, browser, i18n::Texts};

/// The status of an answer that somebody else has spoiled.
const BAD_GATEWAY: u16 = 502;

impl Store {
    pub(crate) fn set_unread(self, ids: Vec<MessageId>, unread: bool) {
        if self.may(Rights::SEEN) {
            self.change(ids, Patch { unread: Some(unread), ..Patch::default() });
        }
    }

    pub(crate) fn set_flagged(self, ids: Vec<MessageId>, flagged: bool) {
        if self.may(Rights::WRITE) {
            self.change(ids, Patch { flagged: Some(flagged), ..Patch::default() });
        }
    }

    pub(crate) fn archive(self, ids: Vec<MessageId>, texts: &Texts) {
        if let Some(folder) = self.folder_of(Role::Archive).filter(|_| self.is_own()) {
            let said = texts.archived(ids.len());
            self.move_with_undo(ids, folder.id, said);
        }
    }

    /// To Trash; what is there already, for good, if the reader means it.
    pub(crate) fn delete(self, ids: Vec<MessageId>, texts: &Texts) {
        if let Some(folder) = self.shared_folder() {
            if self.may_delete() {
                self.remove(ids, Some(SharedId::of(&folder)), &texts.confirm_delete_shared(&folder));
            }
            return;
        }
        let trash = self.folder_of(Role::Trash).map(|folder| folder.id);
        let is_trashed =
            |id: &MessageId| self.summary(*id).is_some_and(|message| Some(message.folder_id) == trash);
        match trash {
            Some(trash) if !ids.iter().all(is_trashed) => {
                let said = texts.deleted(ids.len());
                self.move_with_undo(ids, trash, said);
            }
            _ => self.remove(ids, None, texts.confirm_delete),
        }
    }

    pub(crate) fn move_to(self, ids: Vec<MessageId>, folder: MailboxId, texts: &Texts) {
        let name = match self.shared_id() {
            Some(from) => self.shared_name(SharedId { folder, ..from }, texts),
            None => self.folders.with_untracked(|folders| {
                let folder = folders.iter().find(|known| known.id == folder)?;
                Some(folder.role.map_or_else(|| folder.name.clone(), |role| texts.role(role).to_owned()))
            }),
        };
        let said = texts.moved(ids.len(), &name.unwrap_or_default());
        self.move_with_undo(ids, folder, said);
    }

    pub(crate) fn undo(self, undo: Undo) {
        let (before, from, owner) = match undo {
            Undo::Move { before, from, owner } => (before, from, owner),
            Undo::Send(id) => return self.take_back(id),
        };
        let shared = owner.map(|owner| SharedId { owner, folder: from });
        let mut by_folder: Vec<(MailboxId, Vec<Summary>)> = Vec::new();
        for message in before {
            let folder = message.folder_id;
            let now = self.summary(message.id).unwrap_or(Summary { folder_id: from, ..message });
            match by_folder.iter_mut().find(|(known, _)| *known == folder) {
                Some((_, messages)) => messages.push(now),
                None => by_folder.push((folder, vec![now])),
            }
        }
        for (folder, messages) in by_folder {
            self.change_known(shared, messages, Patch { folder_id: Some(folder), ..Patch::default() });
        }
    }

    fn move_with_undo(self, ids: Vec<MessageId>, folder: MailboxId, said: String) {
        let before: Vec<_> = ids
            .iter()
            .filter_map(|id| self.summary(*id))
            .filter(|message| message.folder_id != folder)
            .collect();
        if before.is_empty() {
            return;
        }
        self.step_aside(&ids);
        self.change(ids, Patch { folder_id: Some(folder), ..Patch::default() });
        let shared = self.shared_id();
        let may_undo = shared.is_none_or(|from| self.may_move_back(SharedId { folder, ..from }, from));
        let owner = shared.map(|from| from.owner);
        self.say(said, may_undo.then_some(Undo::Move { before, from: folder, owner }));
    }

    /// Deletes what cannot be brought back from here, if the reader says yes to the question.
    fn remove(self, ids: Vec<MessageId>, shared: Option<SharedId>, question: &str) {
        if !window().confirm_with_message(question).unwrap_or(false) {
            return;
        }
        self.step_aside(&ids);
        let before: Vec<_> = ids.iter().filter_map(|id| self.summary(*id)).collect();
        self.count(shared, &before, -1);
        self.forget(&ids);
        let api = self.api();
        spawn_local(async move {
            for id in ids {
                let outcome = match shared {
                    Some(folder) => api.delete_shared(folder, id).await,
                    None => api.delete(id).await,
                };
                if let Err(problem) = outcome {
                    let lost: Vec<_> = before.iter().filter(|message| message.id == id).cloned().collect();
                    self.count(shared, &lost, 1);
                    self.upsert_of(shared.map(|folder| folder.owner), &lost);
                    self.complain(&problem);
                }
            }
        });
    }

    /// Makes a draft again of a mail that has not left yet, and goes on with it.
    pub(crate) fn take_back(self, id: MessageId) {
        let api = self.api();
        spawn_local(async move {
            match api.recall(id).await {
                Ok(draft) => {
                    self.step_aside(&[id]);
                    self.upsert_of(None, &[draft]);
                    self.edit_draft(id);
                    self.say(self.texts.taken_back, None);
                }
                Err(problem) => self.complain(&problem),
            }
        });
    }

    /// Leaves the list of a message; `left` is then true, and while it is not known.
    pub(crate) fn unsubscribe(self, id: MessageId, left: RwSignal<bool>, texts: &'static Texts) {
        let api = self.api();
        left.set(true);
        spawn_local(async move {
            match api.unsubscribe(id).await {
                Ok(()) => self.say(texts.unsubscribed, None),
                Err(problem) => {
                    left.set(false);
                    match problem.status {
                        BAD_GATEWAY => self.complain_of(texts.unsubscribe_failed.to_owned()),
                        _ => self.complain(&problem),
                    }
                }
            }
        });
    }

    /// Where the opened message goes away: opens its neighbour, or the list where there is room for one thing only.
    fn step_aside(self, leaving: &[MessageId]) {
        self.selection.update(|selection| selection.retain(|id| !leaving.contains(id)));
        let place = self.place.get_untracked();
        let Some(open) = place.message().filter(|open| leaving.contains(open)) else { return };
        let next = self.neighbour(open, false).filter(|next| !leaving.contains(next));
        let next = next.or_else(|| self.neighbour(open, true).filter(|next| !leaving.contains(next)));
        let next = next.filter(|_| !browser::is_phone());
        self.go(&place.with_message(next));
    }

    fn change(self, ids: Vec<MessageId>, patch: Patch) {
        self.change_known(self.shared_id(), ids.iter().filter_map(|id| self.summary(*id)).collect(), patch);
    }

    /// Does it here, then there; and undoes it here if there it fails. Takes the messages as they are now, for they
    /// may be in no list that is loaded; and their folder, if it is somebody else's.
    fn change_known(self, shared: Option<SharedId>, before: Vec<Summary>, patch: Patch) {
        let ids: Vec<_> = before.iter().map(|message| message.id).collect();
        let after: Vec<_> = before.iter().map(|message| patched(message, &patch)).collect();
        if before == after {
            return;
        }
        let owner = shared.map(|folder| folder.owner);
        self.count(shared, &before, -1);
        self.count(shared, &after, 1);
        self.upsert_of(owner, &after);
        let api = self.api();
        spawn_local(async move {
            let outcome = match (shared, ids.as_slice()) {
                (None, [id]) => api.patch(*id, patch).await,
                (None, _) => api.patch_many(many(ids, patch)).await,
                (Some(folder), _) => api.patch_shared(folder, many(ids, patch)).await,
            };
            match outcome {
                Ok(changed) => self.upsert_of(owner, &changed.messages),
                Err(problem) => {
                    self.count(shared, &after, -1);
                    self.count(shared, &before, 1);
                    self.upsert_of(owner, &before);
                    self.complain(&problem);
                }
            }
        });
    }

    /// Adds messages to the counts of their folders, or takes them off.
    fn count(self, shared: Option<SharedId>, messages: &[Summary], by: i64) {
        if let Some(folder) = shared {
            return self.count_shared(folder.owner, messages, by);
        }
        self.folders.update(|folders| {
            for message in messages {
                if let Some(folder) = folders.iter_mut().find(|folder| folder.id == message.folder_id) {
                    folder.total = folder.total.saturating_add_signed(by);
                    folder.unread = folder.unread.saturating_add_signed(by * i64::from(message.unread));
                }
            }
        });
    }

    /// Selects a message, or no longer; with `through`, all from the nearest selected one above.
    pub(crate) fn select(self, id: MessageId, through: bool) {
        let between = self.with_list(|list| {
            let at = list.position(id)?;
            let first = self.selection.with_untracked(|selection| {
                list.rows.iter().take(at).rposition(|row| selection.contains(&row.id))
            })?;
            Some(list.rows.iter().take(at + 1).skip(first).map(|row| row.id).collect::<Vec<_>>())
        });
        self.selection.update(|selection| match between.flatten() {
            Some(between) if through => selection.extend(between),
            _ => {
                if !selection.remove(&id) {
                    selection.insert(id);
                }
            }
        });
    }

    /// What an action is about: what is selected, or else what is open.
    pub(crate) fn targets(self) -> Vec<MessageId> {
        let selected: Vec<_> = self.selection.with_untracked(|selection| selection.iter().copied().collect());
        if selected.is_empty() {
            self.place.with_untracked(Place::message).into_iter().collect()
        } else {
            selected
        }
    }
}

fn many(ids: Vec<MessageId>, patch: Patch) -> PatchMany {
    let Patch { unread, flagged, folder_id, add_labels, remove_labels } = patch;
    PatchMany { ids, unread, flagged, folder_id, add_labels, remove_labels }
}

fn patched(message: &Summary, patch: &Patch) -> Summary {
    let mut message = message.clone();
    message.unread = patch.unread.unwrap_or(message.unread);
    message.flagged = patch.flagged.unwrap_or(message.flagged);
    message.folder_id = patch.folder_id.unwrap_or(message.folder_id);
    message.labels.retain(|label| !patch.remove_labels.contains(label));
    for label in &patch.add_labels {
        if !message.labels.contains(label) {
            message.labels.push(label.clone());
        }
    }
    message
}
