//! Changing messages: read, star, label, move, delete.

use async_trait::async_trait;
use storage::{FlagChange, Message, Needs, Result as StorageResult, Transaction, Unit};
use types::{AccountId, Flags, MailboxId, MessageId, Role, Timestamp, api, flags::is_keyword};

use crate::{Access, Error, Result, convert, junk::judge, recall::check_unscheduled};

const MAX_LABELS: usize = 50;

impl Access {
    /// Changes messages; returns those that exist, as they are then.
    pub async fn patch(&self, ids: &[MessageId], patch: &api::Patch) -> Result<Vec<api::Summary>> {
        self.patch_in(None, ids, patch).await
    }

    /// The same; if a folder is given, of those messages that are in it.
    pub(crate) async fn patch_in(
        &self,
        only_in: Option<MailboxId>,
        ids: &[MessageId],
        patch: &api::Patch,
    ) -> Result<Vec<api::Summary>> {
        let most = self.service.config().max_batch;
        if ids.len() > most {
            return Err(Error::invalid("ids", format!("at most {most} messages can be changed at once")));
        }
        for (field, labels) in [("add_labels", &patch.add_labels), ("remove_labels", &patch.remove_labels)] {
            if labels.len() > MAX_LABELS {
                return Err(Error::invalid(field, format!("at most {MAX_LABELS} labels at once")));
            }
            if let Some(bad) = labels.iter().find(|label| !is_keyword(label)) {
                let bad: String = bad.chars().filter(|c| !c.is_control()).take(64).collect();
                return Err(Error::invalid(
                    field,
                    format!("`{bad}` cannot be a label: 1 to 64 characters without spaces or (){{%*\"\\]"),
                ));
            }
        }
        let unit = Apply {
            account: self.id,
            only_in,
            ids: ids.to_vec(),
            change: flag_change(patch),
            folder: patch.folder_id,
            is_owner: self.warrant.is_owners(),
            now: self.service.now(),
        };
        let changed = self.write(unit).await??;
        Ok(changed.into_iter().map(convert::summary).collect())
    }

    /// Changes one message; `NotFound` if the account has no such message.
    pub async fn patch_one(&self, id: MessageId, patch: &api::Patch) -> Result<api::Summary> {
        self.patch(&[id], patch).await?.pop().ok_or(Error::NotFound("message"))
    }

    /// Moves messages to Trash; those that are there already go for good.
    pub async fn delete(&self, ids: &[MessageId]) -> Result<()> {
        self.delete_in(None, ids).await
    }

    /// The same; if a folder is given, of those messages that are in it.
    pub(crate) async fn delete_in(&self, only_in: Option<MailboxId>, ids: &[MessageId]) -> Result<()> {
        let unit = Delete { account: self.id, only_in, ids: ids.to_vec(), now: self.service.now() };
        self.write(unit).await?
    }
}

fn flag_change(patch: &api::Patch) -> FlagChange {
    let mut change = FlagChange {
        add_keywords: patch.add_labels.clone(),
        remove_keywords: patch.remove_labels.clone(),
        ..FlagChange::default()
    };
    // `unread` is the absence of \Seen, so its truth value turns over.
    for (flag, wanted) in [(Flags::SEEN, patch.unread.map(|unread| !unread)), (Flags::FLAGGED, patch.flagged)]
    {
        match wanted {
            Some(true) => change.add = change.add | flag,
            Some(false) => change.remove = change.remove | flag,
            None => {}
        }
    }
    change
}

struct Apply {
    account: AccountId,
    only_in: Option<MailboxId>,
    ids: Vec<MessageId>,
    change: FlagChange,
    folder: Option<MailboxId>,
    /// Whether the account's owner does it: others say nothing of their mail.
    is_owner: bool,
    now: Timestamp,
}

#[async_trait]
impl Unit for Apply {
    type Output = Result<Vec<Message>>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let target = match self.folder {
            Some(folder) => match tx.mailbox(self.account, folder).await? {
                Some(target) => Some(target),
                None => return Ok(Err(Error::invalid("folder_id", "there is no such folder"))),
            },
            None => None,
        };
        let ids = match self.only_in {
            Some(folder) => {
                let mut placed = tx.placements(self.account, &self.ids).await?;
                placed.retain(|message| message.mailbox == folder);
                placed.into_iter().map(|message| message.id).collect()
            }
            None => self.ids.clone(),
        };
        if target.is_some_and(|target| target.role == Some(Role::Trash))
            && let Err(refused) = check_unscheduled(&tx.messages(self.account, &ids).await?, self.now)
        {
            return Ok(Err(refused));
        }
        if self.change != FlagChange::default() {
            tx.change_flags(self.account, &ids, &self.change).await?;
        }
        if let Some(folder) = self.folder
            && self.is_owner
        {
            judge(tx, self.account, &ids, folder).await?;
        }
        Ok(Ok(match self.folder {
            Some(folder) => tx.move_messages(self.account, &ids, folder, self.now).await?,
            None => tx.messages(self.account, &ids).await?,
        }))
    }
}

struct Delete {
    account: AccountId,
    only_in: Option<MailboxId>,
    ids: Vec<MessageId>,
    now: Timestamp,
}

#[async_trait]
impl Unit for Delete {
    type Output = Result<()>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let mut messages = tx.messages(self.account, &self.ids).await?;
        messages.retain(|message| self.only_in.is_none_or(|folder| message.mailbox == folder));
        if messages.is_empty() {
            return Ok(Err(Error::NotFound("message")));
        }
        if let Err(refused) = check_unscheduled(&messages, self.now) {
            return Ok(Err(refused));
        }
        let mailboxes = tx.mailboxes(self.account).await?;
        let Some(trash) =
            mailboxes.iter().find(|mailbox| mailbox.role == Some(Role::Trash)).map(|trash| trash.id)
        else {
            return Ok(Err(Error::NotFound("Trash folder")));
        };
        let (gone, moved): (Vec<_>, Vec<_>) =
            messages.into_iter().partition(|message| message.mailbox == trash);
        let ids = |messages: Vec<Message>| messages.into_iter().map(|message| message.id).collect::<Vec<_>>();
        let (gone, moved) = (ids(gone), ids(moved));
        if !gone.is_empty() {
            tx.expunge(self.account, &gone).await?;
        }
        if !moved.is_empty() {
            tx.move_messages(self.account, &moved, trash, self.now).await?;
        }
        Ok(Ok(()))
    }
}
