//! Folders: made, renamed, deleted.

use leptos::{prelude::*, task::spawn_local};
use types::{
    MailboxId,
    api::{Folder, NewFolder},
};

use super::{Place, Store};

impl Store {
    pub(crate) fn create_folder(self, name: String) {
        let api = self.api();
        spawn_local(async move {
            match api.create_folder(NewFolder { name, parent_id: None }).await {
                Ok(folder) => self.put_folder(folder),
                Err(problem) => self.complain(&problem),
            }
        });
    }

    pub(crate) fn rename_folder(self, id: MailboxId, name: String) {
        let api = self.api();
        spawn_local(async move {
            match api.rename_folder(id, name).await {
                Ok(folder) => self.put_folder(folder),
                Err(problem) => self.complain(&problem),
            }
        });
    }

    pub(crate) fn delete_folder(self, id: MailboxId) {
        let api = self.api();
        spawn_local(async move {
            match api.delete_folder(id).await {
                Ok(()) => {
                    if self.folder().is_some_and(|folder| folder.id == id) {
                        self.go(&Place::folder("inbox"));
                    }
                    self.folders.update(|folders| folders.retain(|folder| folder.id != id));
                }
                Err(problem) => self.complain(&problem),
            }
        });
    }

    fn put_folder(self, changed: Folder) {
        self.folders.update(|folders| match folders.iter_mut().find(|folder| folder.id == changed.id) {
            Some(folder) => *folder = changed,
            None => folders.push(changed),
        });
    }
}
