//! What others share with the reader: what may be done with it, and how it follows what they do.

use std::collections::HashSet;

use leptos::{prelude::*, task::spawn_local};
use types::{
    AccountId, MessageId, Problem, ProblemKind, Rights, Role,
    api::{SharedFolder, Summary},
};

use super::{
    List, Opened, Place, Source, Store,
    boot::Rows,
    store::{PAGE, leave_if_over},
};
use crate::{
    api::{Filter, SharedId},
    i18n::Texts,
};

/// Rows that are loaded anew at most; those after them come again as one scrolls.
const MOST: usize = 500;

/// What is wanted of where messages are moved to, and what moving takes where they are.
const TO_TAKE_IN: Rights = Rights::from_bits(Rights::INSERT.bits() | Rights::FLAGS.bits());
const TO_GIVE_AWAY: Rights =
    Rights::from_bits(Rights::READ.bits() | Rights::DELETED.bits() | Rights::EXPUNGE.bits());

/// The folder with this id, if it may be read.
pub(crate) fn find_shared(folders: &[SharedFolder], id: SharedId) -> Option<&SharedFolder> {
    folders.iter().find(|folder| SharedId::of(folder) == id && rights(folder).contains(Rights::READ))
}

fn rights(folder: &SharedFolder) -> Rights {
    Rights::parse(&folder.rights).unwrap_or_default()
}

/// What its owner is called.
pub(crate) fn owner_name(folder: &SharedFolder) -> &str {
    if folder.owner_name.is_empty() { &folder.owner } else { &folder.owner_name }
}

impl Store {
    /// Which of somebody else's folders the reader is in.
    pub(crate) fn shared_id(&self) -> Option<SharedId> {
        self.place.with(Place::shared_id)
    }

    /// The same, as far as it is (still) shared and may be read.
    pub(crate) fn shared_folder(&self) -> Option<SharedFolder> {
        let id = self.shared_id()?;
        self.shared.with(|folders| find_shared(folders, id).cloned())
    }

    /// Whether what is listed is the reader's own.
    pub(crate) fn is_own(&self) -> bool {
        self.shared_id().is_none()
    }

    /// Whether all of this may be done where the reader is.
    pub(crate) fn may(&self, needed: Rights) -> bool {
        self.is_own() || self.shared_folder().is_some_and(|folder| rights(&folder).contains(needed))
    }

    pub(crate) fn may_delete(&self) -> bool {
        self.may(Rights::DELETED | Rights::EXPUNGE)
    }

    /// Whether anything may be done to messages beside reading them.
    pub(crate) fn may_anything(&self) -> bool {
        self.may_delete() || self.may(Rights::SEEN) || self.may(Rights::WRITE)
    }

    /// Whether messages may be taken away from where the reader is.
    pub(crate) fn may_move(&self) -> bool {
        self.may(TO_GIVE_AWAY)
    }

    /// The shared folders that messages may be moved to from where the reader is: those of the same owner.
    pub(crate) fn shared_targets(&self) -> Vec<SharedFolder> {
        let Some(here) = self.shared_id() else { return Vec::new() };
        let is_target = |folder: &&SharedFolder| {
            folder.owner_id == here.owner && folder.id != here.folder && rights(folder).contains(TO_TAKE_IN)
        };
        self.shared.with(|folders| folders.iter().filter(is_target).cloned().collect())
    }

    pub(super) fn may_move_back(&self, from: SharedId, to: SharedId) -> bool {
        self.shared.with(|folders| {
            let may = |id: SharedId, needed: Rights| {
                folders.iter().any(|folder| SharedId::of(folder) == id && rights(folder).contains(needed))
            };
            may(from, TO_GIVE_AWAY) && may(to, TO_TAKE_IN)
        })
    }

    pub(super) fn shared_name(&self, id: SharedId, texts: &Texts) -> Option<String> {
        self.shared.with(|folders| {
            let folder = folders.iter().find(|folder| SharedId::of(folder) == id)?;
            Some(shared_name(&folder.name, texts))
        })
    }

    /// Where a message that is listed is found over REST.
    pub(crate) fn address_of(&self, id: MessageId) -> String {
        match self.shared_id() {
            Some(folder) => format!("{}/{id}", folder.messages()),
            None => format!("/v1/messages/{id}"),
        }
    }

    pub(super) fn count_shared(self, owner: AccountId, messages: &[Summary], by: i64) {
        self.shared.update(|folders| {
            for message in messages {
                let id = SharedId { owner, folder: message.folder_id };
                let Some(folder) = folders.iter_mut().find(|folder| SharedId::of(folder) == id) else {
                    continue;
                };
                let added = |count: Option<u64>, by: i64| count.map(|count| count.saturating_add_signed(by));
                folder.total = added(folder.total, by);
                folder.unread = added(folder.unread, by * i64::from(message.unread));
            }
        });
    }

    /// Asks what others share now.
    pub(crate) fn load_shared(self) {
        let api = self.api();
        let told = self.told_shared.get_value();
        spawn_local(async move {
            match api.shared().await {
                // What is not known now is told later, and what was told meanwhile is newer.
                Ok(shared) if shared.incomplete || self.told_shared.get_value() != told => {}
                Ok(shared) => self.take_shared(shared.folders),
                Err(problem) => leave_if_over(&problem),
            }
        });
    }

    /// Takes in what others share now. What has changed is loaded anew where it is shown, and later where it is not; what
    /// is shared no longer is gone at once.
    pub(super) fn take_shared(self, now: Vec<SharedFolder>) {
        let before = self.shared.get_untracked();
        let shown = self.shared_id_untracked();
        let as_of = |folders: &[SharedFolder], id| find_shared(folders, id).and_then(|folder| folder.modseq);
        let is_gone = |id| find_shared(&now, id).is_none();
        let has_changed = |id| as_of(&before, id) != as_of(&now, id);
        let is_stale = |source: &Source| match source {
            Source::Shared { folder, .. } => {
                is_gone(*folder) || (has_changed(*folder) && Some(*folder) != shown)
            }
            Source::Folder { .. } | Source::Search { .. } => false,
        };
        self.lists.update(|lists| lists.retain(|source, _| !is_stale(source)));
        if before.iter().any(|folder| is_gone(SharedId::of(folder))) {
            self.close_all_but_own();
        }
        let reload = shown.filter(|id| !is_gone(*id) && has_changed(*id));
        if before != now {
            self.shared.set(now);
        }
        if reload.is_some()
            && let Some(source) = untrack(|| self.source())
        {
            self.reload(source);
        }
    }

    fn shared_id_untracked(self) -> Option<SharedId> {
        self.place.with_untracked(Place::shared_id)
    }

    /// Forgets every message that was opened, but for the reader's own that is open: some are not for the reader any
    /// more. An open one of somebody else's is asked for again, which tells.
    fn close_all_but_own(self) {
        let place = self.place.get_untracked();
        let open = place.message();
        let is_own = place.shared_id().is_none();
        self.messages.update(|messages| messages.retain(|id, _| is_own && Some(*id) == open));
        if let Some(open) = open.filter(|_| !is_own) {
            self.open(open);
        }
    }

    /// Loads what is shown of a list anew, as far as it was loaded.
    fn reload(self, source: Source) {
        self.reloads.update_value(|reloads| *reloads += 1);
        let turn = self.reloads.get_value();
        let loaded = self.lists.with_untracked(|lists| lists.get(&source).map_or(0, |list| list.rows.len()));
        let limit = u32::try_from(loaded.min(MOST)).unwrap_or(PAGE).max(PAGE / 2);
        spawn_local(async move {
            match self.load_page(&source, None, limit).await {
                Ok(Rows::Page(page)) if self.reloads.get_value() == turn => {
                    self.renew(source, List::of_page(page));
                }
                Ok(_) => {}
                Err(problem) => leave_if_over(&problem),
            }
        });
    }

    /// Takes in the beginning of a list as it is now.
    fn renew(self, source: Source, now: List) {
        if !matches!(&source, Source::Shared { filter, .. } if *filter == Filter::default()) {
            // Filters do not take away what is being looked at.
            return self.upsert_of(source.owner(), &now.rows);
        }
        let before = self.lists.with_untracked(|lists| lists.get(&source).cloned()).unwrap_or_default();
        let there: HashSet<_> = now.rows.iter().map(|row| row.id).collect();
        // Beyond what was loaded nothing is known.
        let last = now.next().and(now.rows.last()).map(|row| row.id);
        let is_gone = |id: &MessageId| !there.contains(id) && last.is_none_or(|last| *id > last);
        let gone: Vec<_> = before.rows.iter().map(|row| row.id).filter(is_gone).collect();
        let newest = before.rows.first().map(|row| row.id);
        let above = now.rows.iter().take_while(|row| newest.is_some_and(|newest| row.id > newest)).count();
        self.renew_opened(&now.rows);
        self.lists.update(|lists| {
            lists.insert(source, now);
        });
        if above > 0 {
            self.arrived_above.set(above);
        }
        self.selection.update(|selection| selection.retain(|id| !gone.contains(id)));
        self.messages.update(|messages| {
            for id in &gone {
                if let Some(opened) = messages.get_mut(id) {
                    *opened =
                        Opened::Failed(Problem::new(ProblemKind::NotFound, "It is not there any more."));
                }
            }
        });
    }
}

/// Those that one owner shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) owner: AccountId,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) lines: Vec<Line>,
}

/// A folder in the side bar.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Line {
    pub(crate) id: SharedId,
    pub(crate) label: String,
    pub(crate) role: Option<Role>,
    /// How many of those that are listed it is in.
    pub(crate) depth: usize,
}

/// The folders that may be read, by their owners; the inbox first, each followed by those that are in it.
pub(crate) fn groups(folders: &[SharedFolder], texts: &Texts) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut sorted: Vec<_> = folders.iter().filter(|folder| rights(folder).contains(Rights::READ)).collect();
    sorted.sort_by_cached_key(|folder| {
        let role = role_of(&folder.name).and_then(|role| Role::ALL.iter().position(|known| *known == role));
        let levels: Vec<_> = folder.name.split('/').map(str::to_lowercase).collect();
        (owner_name(folder).to_lowercase(), folder.owner_id, role.unwrap_or(usize::MAX), levels)
    });
    for folder in &sorted {
        let is_above = |other: &&&SharedFolder| {
            other.owner_id == folder.owner_id
                && folder.name.strip_prefix(&other.name).is_some_and(|rest| rest.starts_with('/'))
        };
        let above = sorted.iter().filter(is_above).map(|other| other.name.len()).max();
        let depth = sorted.iter().filter(is_above).count();
        let label = match above.and_then(|length| folder.name.get(length + 1..)) {
            Some(rest) => rest.replace('/', " / "),
            None => shared_name(&folder.name, texts),
        };
        let role = role_of(&folder.name).filter(|role| role.name() == folder.name);
        let line = Line { id: SharedId::of(folder), label, role, depth };
        match groups.last_mut().filter(|group| group.owner == folder.owner_id) {
            Some(group) => group.lines.push(line),
            None => groups.push(Group {
                owner: folder.owner_id,
                name: owner_name(folder).to_owned(),
                email: folder.owner.clone(),
                lines: vec![line],
            }),
        }
    }
    groups
}

/// The role that the first level of a name is called by.
fn role_of(name: &str) -> Option<Role> {
    let first = name.split('/').next();
    Role::ALL.into_iter().find(|role| Some(role.name()) == first)
}

/// A whole name, with folders that every account has in the reader's language.
pub(crate) fn shared_name(name: &str, texts: &Texts) -> String {
    let mut levels: Vec<_> = name.split('/').collect();
    if let (Some(role), Some(first)) = (role_of(name), levels.first_mut()) {
        *first = texts.role(role);
    }
    levels.join(" / ")
}

#[cfg(test)]
mod tests {
    use types::MailboxId;

    use super::*;
    use crate::i18n::Lang;

    #[test]
    fn folders_are_listed_by_whose_they_are() {
        let folder = |owner: i64, id: i64, name: &str, rights: &str| SharedFolder {
            owner_id: AccountId(owner),
            owner: format!("{owner}@demo.test"),
            owner_name: if owner == 1 { "Zoe".to_owned() } else { String::new() },
            id: MailboxId(id),
            name: name.to_owned(),
            rights: rights.to_owned(),
            total: None,
            unread: None,
            modseq: None,
        };
        let folders = [
            folder(1, 4, "Work/2026/Plans", "lr"),
            folder(1, 2, "Work", "lr"),
            folder(1, 3, "Work/2026", "l"),
            folder(1, 5, "Workshop", "lr"),
            folder(1, 1, "Inbox", "lrs"),
            folder(2, 9, "Sent/Old", "lr"),
        ];
        let groups = groups(&folders, Lang::Ko.texts());
        let plain: Vec<_> = groups
            .iter()
            .map(|group| {
                let lines = group.lines.iter().map(|line| (line.label.as_str(), line.depth));
                (group.name.as_str(), lines.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            plain,
            [
                ("2@demo.test", vec![("보낸편지함 / Old", 0)]),
                ("Zoe", vec![("받은편지함", 0), ("Work", 0), ("2026 / Plans", 1), ("Workshop", 0)]),
            ]
        );
    }
}
