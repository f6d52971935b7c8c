//! What others share, as the API shows it: read and changed, by the rights as they are each time.

use std::collections::hash_map::{Entry, HashMap};

use message::Images;
use types::{AccountId, MailboxId, MessageId, Rights, Role, api};

use crate::across::{TO_MOVE, WITH_FLAGS};
use crate::body::Download;
use crate::names::INBOX;
use crate::open::Shown;
use crate::page::PageQuery;
use crate::shared::OTHER_USERS;
use crate::{Access, Error, Named, Reach, Result, Sharers};

impl Access {
    /// The folders that others share with this account, as far as it may know of them.
    pub async fn shared_folders(&self) -> Result<api::SharedFolders> {
        let shared = self.shared_of(&self.sharers().await?, None).await?;
        let folders = self.as_shared_folders(&shared.named).await?;
        Ok(api::SharedFolders { incomplete: !shared.away.is_empty(), ..folders })
    }

    /// The same, of those who share something as far as they have been asked ([`Access::ask_sharers`]).
    pub async fn watched_folders(&self, sharers: &Sharers) -> Result<api::SharedFolders> {
        self.as_shared_folders(sharers.named()).await
    }

    async fn as_shared_folders<'n>(
        &self,
        all: impl IntoIterator<Item = &'n Named>,
    ) -> Result<api::SharedFolders> {
        let mut owners = HashMap::new();
        let mut folders = Vec::new();
        for Named { name, mailbox, rights, .. } in all {
            let id = mailbox.account;
            let owner = match owners.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.service.parts.directory.account(id).await?),
            };
            let Some(owner) = owner else { continue };
            let above = format!("{OTHER_USERS}{}/", owner.email);
            let may_read = rights.contains(Rights::READ);
            if let Some(name) = name.strip_prefix(&above)
                && rights.contains(Rights::LOOKUP)
            {
                folders.push(api::SharedFolder {
                    owner_id: id,
                    owner: owner.email.to_string(),
                    owner_name: owner.name.clone(),
                    id: mailbox.id,
                    name: as_folder(name),
                    rights: rights.to_string(),
                    total: may_read.then_some(mailbox.total),
                    unread: may_read.then_some(mailbox.unread),
                    modseq: may_read.then_some(mailbox.modseq.0),
                });
            }
        }
        Ok(api::SharedFolders { folders, incomplete: false })
    }

    /// See [`Access::page`]; of a folder that somebody else shares.
    pub async fn shared_page(
        &self,
        owner: AccountId,
        folder: MailboxId,
        query: &PageQuery,
    ) -> Result<api::Page> {
        let mut page = self.visit(owner, folder).await?.door().page(folder, query).await?;
        page.messages.iter_mut().for_each(withhold);
        Ok(page)
    }

    /// See [`Access::message`].
    pub async fn shared_message(
        &self,
        owner: AccountId,
        folder: MailboxId,
        id: MessageId,
    ) -> Result<api::Message> {
        let reach = self.visit(owner, folder).await?;
        let mut message = reach.door().shown(id, Shown::ToGuest(folder)).await?;
        if message.summary.folder_id != folder {
            return Err(Error::NotFound("message"));
        }
        withhold(&mut message.summary);
        Ok(message)
    }

    /// See [`Access::attachment`].
    pub async fn shared_attachment(
        &self,
        owner: AccountId,
        folder: MailboxId,
        id: MessageId,
        section: &str,
    ) -> Result<(api::Attachment, Download)> {
        let attachment = self.visit_message(owner, folder, id).await?.door().attachment(id, section).await?;
        self.still(owner, folder, id, attachment).await
    }

    /// See [`Access::html`].
    pub async fn shared_html(
        &self,
        owner: AccountId,
        folder: MailboxId,
        id: MessageId,
        images: Images,
    ) -> Result<String> {
        let reach = self.visit_message(owner, folder, id).await?;
        let html = reach.door().html_shown(id, images, Shown::ToGuest(folder)).await?;
        self.still(owner, folder, id, html).await
    }

    /// See [`Access::raw`].
    pub async fn shared_raw(&self, owner: AccountId, folder: MailboxId, id: MessageId) -> Result<Download> {
        let raw = self.visit_message(owner, folder, id).await?.door().raw(id).await?;
        self.still(owner, folder, id, raw).await
    }

    /// See [`Access::patch`]; of messages that are in the folder, each change with the right for it. They are moved to
    /// other folders of the same owner's only, and to those where they keep their flags.
    pub async fn shared_patch(
        &self,
        owner: AccountId,
        folder: MailboxId,
        ids: &[MessageId],
        patch: &api::Patch,
    ) -> Result<Vec<api::Summary>> {
        let reach = self.visit(owner, folder).await?;
        let access = match patch.folder_id {
            Some(to) => {
                let to = self.reach(owner, to).await?.filter(|to| to.rights().meets(VISIBLE));
                let to = to.ok_or_else(|| Error::invalid("folder_id", "there is no such folder"))?;
                reach.writing_with(asked(patch), &to, WITH_FLAGS)?
            }
            None => reach.writing(asked(patch))?,
        };
        let mut changed = access.patch_in(Some(folder), ids, patch).await?;
        changed.iter_mut().for_each(withhold);
        Ok(changed)
    }

    /// See [`Access::delete`]: to the owner's Trash, and what is shared of that, for good.
    pub async fn shared_delete(&self, owner: AccountId, folder: MailboxId, ids: &[MessageId]) -> Result<()> {
        let reach = self.visit(owner, folder).await?;
        reach.writing(Rights::DELETED | Rights::EXPUNGE)?.delete_in(Some(folder), ids).await
    }

    /// What was read of a message, if it was there and shared all the while.
    async fn still<T>(&self, owner: AccountId, folder: MailboxId, id: MessageId, read: T) -> Result<T> {
        self.visit_message(owner, folder, id).await.map(|_| read)
    }

    /// A folder of somebody else's that may be read and has the message in it.
    async fn visit_message(&self, owner: AccountId, folder: MailboxId, id: MessageId) -> Result<Reach> {
        let reach = self.visit(owner, folder).await?;
        if reach.rows(&[id]).await?.is_empty() {
            return Err(Error::NotFound("message"));
        }
        Ok(reach)
    }

    /// A folder of somebody else's that may be read. What cannot be seen is not found.
    async fn visit(&self, owner: AccountId, folder: MailboxId) -> Result<Reach> {
        let reach = self.reach(owner, folder).await?.filter(Reach::is_shared);
        let reach = reach.ok_or(Error::NotFound("folder"))?;
        reach.check(Rights::READ)?;
        Ok(reach)
    }
}

/// Of these one is needed to know of a folder.
const VISIBLE: Rights = Rights::from_bits(Rights::LOOKUP.bits() | Rights::READ.bits());

/// The rights for everything that a change is about, where messages are (RFC 4314 §4).
fn asked(patch: &api::Patch) -> Rights {
    let with = |is_asked: bool, right: Rights| if is_asked { right } else { Rights::NONE };
    let labels = !patch.add_labels.is_empty() || !patch.remove_labels.is_empty();
    Rights::READ
        | with(patch.unread.is_some(), Rights::SEEN)
        | with(patch.flagged.is_some() || labels, Rights::WRITE)
        | with(patch.folder_id.is_some(), TO_MOVE)
}

/// The name with the inbox called as in [`Access::folders`], and not as mail programs want it.
fn as_folder(name: &str) -> String {
    match name.strip_prefix(INBOX) {
        Some(below) if below.is_empty() || below.starts_with('/') => format!("{}{below}", Role::Inbox.name()),
        _ => name.to_owned(),
    }
}

/// How mail that the owner sent fares is told to nobody else.
fn withhold(summary: &mut api::Summary) {
    summary.delivery.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inbox_has_one_name_over_rest() {
        for (name, wanted) in [
            ("INBOX", "Inbox"),
            ("INBOX/Work/A", "Inbox/Work/A"),
            ("INBOXES", "INBOXES"),
            ("Work/INBOX", "Work/INBOX"),
        ] {
            assert_eq!(as_folder(name), wanted);
        }
    }
}
