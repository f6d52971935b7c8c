//! Who the reader's own folders are shared with: looked at, given, taken back.

use leptos::{prelude::*, task::spawn_local};
use types::{MailboxId, Problem, Rights, api::Granted};

use super::{Store, store::leave_if_over};

/// What somebody may do, as it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Read,
    /// Also mark, sort and delete.
    Write,
    /// Other rights, which a mail program has given.
    Other,
}

impl Level {
    pub(crate) const OFFERED: [Self; 2] = [Self::Read, Self::Write];

    /// The letters of RFC 4314.
    pub(crate) const fn rights(self) -> &'static str {
        match self {
            Self::Read | Self::Other => "lr",
            Self::Write => "lrswite",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Other => "other",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::OFFERED.into_iter().find(|level| level.name() == name)
    }

    pub(crate) fn of(rights: &str) -> Self {
        let is = |level: &Self| Rights::parse(level.rights()) == Rights::parse(rights);
        Self::OFFERED.into_iter().find(is).unwrap_or(Self::Other)
    }
}

/// Who a folder is shared with, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) enum People {
    #[default]
    Loading,
    Known(Vec<Granted>),
    Failed(Problem),
}

/// A folder's people while they are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    pub(crate) folder: MailboxId,
    pub(crate) people: RwSignal<People>,
    /// Why the last change was not made.
    pub(crate) problem: RwSignal<Option<Problem>>,
    /// Whether a change is on its way.
    pub(crate) busy: RwSignal<bool>,
}

impl Sharing {
    pub(crate) fn new(folder: MailboxId) -> Self {
        Self {
            folder,
            people: RwSignal::new(People::Loading),
            problem: RwSignal::new(None),
            busy: RwSignal::new(false),
        }
    }

    pub(crate) fn load(self, store: Store) {
        let api = store.api();
        spawn_local(async move {
            let people = match api.folder_access(self.folder).await {
                Ok(access) => People::Known(access.people),
                Err(problem) => {
                    leave_if_over(&problem);
                    People::Failed(problem)
                }
            };
            self.people.set(people);
        });
    }

    /// Gives somebody these rights and no others; `done` if that could be.
    pub(crate) fn give(self, store: Store, email: String, level: Level, done: impl Fn() + 'static) {
        self.busy.set(true);
        let api = store.api();
        spawn_local(async move {
            let outcome = api.grant(self.folder, email, level.rights().to_owned()).await;
            if let Some(granted) = self.settled(outcome) {
                self.change(|people| match people.iter_mut().find(|known| known.email == granted.email) {
                    Some(known) => *known = granted,
                    None => people.push(granted),
                });
                done();
            }
        });
    }

    pub(crate) fn take_back(self, store: Store, email: String) {
        self.busy.set(true);
        let api = store.api();
        spawn_local(async move {
            if self.settled(api.revoke(self.folder, email.clone()).await).is_some() {
                self.change(|people| people.retain(|known| known.email != email));
            }
        });
    }

    fn settled<T>(self, outcome: Result<T, Problem>) -> Option<T> {
        self.busy.set(false);
        match outcome {
            Ok(value) => {
                self.problem.set(None);
                Some(value)
            }
            Err(problem) => {
                leave_if_over(&problem);
                self.problem.set(Some(problem));
                // What is shown may not be so: a choice is put back to what holds.
                self.people.update(|_| {});
                None
            }
        }
    }

    fn change(self, change: impl FnOnce(&mut Vec<Granted>)) {
        self.people.update(|people| {
            if let People::Known(people) = people {
                change(people);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_of_mail_programs_are_told_apart() {
        for (rights, wanted) in
            [("lr", Level::Read), ("rl", Level::Read), ("lrswite", Level::Write), ("lrs", Level::Other)]
        {
            assert_eq!(Level::of(rights), wanted, "{rights}");
        }
    }
}
