//! What others share, as the API shows it: to be read, by the rights as they are each time.

use types::{AccountId, MailboxId, MessageId, Rights, Role, api};

use crate::body::Download;
use crate::names::INBOX;
use crate::open::Shown;
use crate::page::PageQuery;
use crate::shared::OTHER_USERS;
use crate::{Access, Error, Reach, Result};

impl Access {
    /// The folders that others share with this account, as far as it may know of them.
    pub async fn shared_folders(&self) -> Result<api::SharedFolders> {
        let mut folders = Vec::new();
        for named in self.shared(None).await? {
            let Some(owner) = self.service.parts.directory.account(named.mailbox.account).await? else {
                continue;
            };
            let above = format!("{OTHER_USERS}{}/", owner.email);
            let may_read = named.rights.contains(Rights::READ);
            if let Some(name) = named.name.strip_prefix(&above)
                && named.rights.contains(Rights::LOOKUP)
            {
                folders.push(api::SharedFolder {
                    owner_id: owner.id,
                    owner: owner.email.to_string(),
                    id: named.mailbox.id,
                    name: as_folder(name),
                    rights: named.rights.to_string(),
                    total: may_read.then_some(named.mailbox.total),
                    unread: may_read.then_some(named.mailbox.unread),
                });
            }
        }
        Ok(api::SharedFolders { folders })
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
        let reach = self.visit(owner, folder).await?;
        if reach.rows(&[id]).await?.is_empty() {
            return Err(Error::NotFound("message"));
        }
        reach.door().attachment(id, section).await
    }

    /// A folder of somebody else's that may be read. What cannot be seen is not found.
    async fn visit(&self, owner: AccountId, folder: MailboxId) -> Result<Reach> {
        let reach = self.reach(owner, folder).await?.filter(Reach::is_shared);
        let reach = reach.ok_or(Error::NotFound("folder"))?;
        reach.check(Rights::READ)?;
        Ok(reach)
    }
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
