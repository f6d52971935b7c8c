//! Who the reader's own folders are shared with: looked at, given, taken back.

use types::{MailboxId, Rights, api::Granted};

use super::{Looked, Store};

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

/// A folder's people while they are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sharing {
    pub(crate) folder: MailboxId,
    pub(crate) people: Looked<Granted>,
}

impl Sharing {
    pub(crate) fn new(folder: MailboxId) -> Self {
        Self { folder, people: Looked::new() }
    }

    pub(crate) fn load(self, store: Store) {
        let api = store.api();
        self.people.load(async move { Ok(api.folder_access(self.folder).await?.people) });
    }

    /// Gives somebody these rights and no others; `done` if that could be.
    pub(crate) fn give(self, store: Store, email: String, level: Level, done: impl Fn() + 'static) {
        let api = store.api();
        let given = async move { api.grant(self.folder, email, level.rights().to_owned()).await };
        self.people.ask(given, move |granted| {
            self.people.change(|people| match people.iter_mut().find(|known| known.email == granted.email) {
                Some(known) => *known = granted,
                None => people.push(granted),
            });
            done();
        });
    }

    pub(crate) fn take_back(self, store: Store, email: String) {
        let (api, of) = (store.api(), email.clone());
        self.people.ask(async move { api.revoke(self.folder, of).await }, move |()| {
            self.people.change(|people| people.retain(|known| known.email != email));
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
