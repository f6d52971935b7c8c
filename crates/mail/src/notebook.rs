//! What is noted with all mailboxes that an account sees: of each owner's it is read once.

use std::collections::HashMap;
use std::sync::Arc;

use storage::Annotation;
use types::{AccountId, MailboxId};

use crate::metadata::{OF_OTHERS, TO_READ, above, is_shared};
use crate::{Access, Named, Result};

/// What is noted with an account, its mailboxes, and those that others share with it, as far as it is told of that.
#[derive(Debug, Default)]
pub struct Notebook {
    /// Of the account and its mailboxes, and what it notes privately with others'.
    own: Vec<Annotation>,
    /// What is noted for all with those of an owner's mailboxes that may be read.
    theirs: HashMap<AccountId, Arc<Pages>>,
}

type Pages = HashMap<MailboxId, Vec<Annotation>>;

/// A name and what is noted under it.
pub type Note<'a> = (&'a str, &'a [u8]);

impl Access {
    /// With what is noted with the account and its own mailboxes; one query.
    pub async fn notebook(&self) -> Result<Notebook> {
        Ok(Notebook { own: self.all_annotations().await?, theirs: HashMap::new() })
    }

    /// Adds what is noted with the mailboxes that this owner shares, by the rights as they are now.
    pub async fn read_notes(&self, owner: AccountId, book: &mut Notebook) -> Result<()> {
        let reaches = self.reaches(owner).await?;
        let readable: Vec<_> = reaches.iter().filter(|reach| reach.rights().contains(TO_READ)).collect();
        let mut pages: Pages = readable.iter().map(|reach| (reach.mailbox(), Vec::new())).collect();
        let all = match readable.first() {
            Some(reach) => reach.door().annotations().await?,
            None => Vec::new(),
        };
        for note in all.into_iter().filter(|note| is_shared(&note.name)) {
            if let Some(page) = note.mailbox.and_then(|mailbox| pages.get_mut(&mailbox)) {
                page.push(note);
            }
        }
        book.theirs.insert(owner, Arc::new(pages));
        Ok(())
    }
}

impl Notebook {
    /// What is noted with the account.
    #[must_use]
    pub fn of_account(&self) -> Vec<Note<'_>> {
        self.with(None).collect()
    }

    /// What is noted with a mailbox; `None`: it is somebody else's, and was not read.
    #[must_use]
    pub fn of(&self, named: &Named) -> Option<Vec<Note<'_>>> {
        let (owner, id) = (named.mailbox.account, named.mailbox.id);
        if !named.shared {
            return Some(self.with(Some(id)).collect());
        }
        let for_all = self.theirs.get(&owner)?.get(&id)?.iter().map(note);
        let above = above(owner, id);
        let private = self.own.iter().filter(|one| one.mailbox.is_none()).filter_map(|one| {
            let name = one.name.strip_prefix(&above).filter(|name| name.starts_with('/'))?;
            Some((name, one.value.as_slice()))
        });
        Some(for_all.chain(private).collect())
    }

    /// Takes over what another one knows of this owner's; false if that is nothing.
    pub fn take_over(&mut self, owner: AccountId, other: &Self) -> bool {
        let Some(pages) = other.theirs.get(&owner) else { return false };
        self.theirs.insert(owner, Arc::clone(pages));
        true
    }

    fn with(&self, mailbox: Option<MailboxId>) -> impl Iterator<Item = Note<'_>> {
        let is_with = move |one: &&Annotation| one.mailbox == mailbox && !one.name.starts_with(OF_OTHERS);
        self.own.iter().filter(is_with).map(note)
    }
}

fn note(one: &Annotation) -> Note<'_> {
    (&one.name, &one.value)
}
