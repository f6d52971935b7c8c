//! Folders: list, create, rename, delete.

use async_trait::async_trait;
use storage::{
    Error as StorageError, Mailbox, Needs, NewMailbox, PageRequest, Result as StorageResult, Transaction,
    Unit,
};
use types::{AccountId, MailboxId, Role, Timestamp, api};

use crate::{Access, Error, Result, convert};

const MAX_NAME_CHARS: usize = 100;
pub(crate) const MAX_DEPTH: usize = 10;

impl Access {
    /// All folders with their counts; one query.
    pub async fn folders(&self) -> Result<api::Folders> {
        let mut mailboxes = self.service.latest(self.id).await?.mailboxes(self.id).await?;
        if mailboxes.is_empty() {
            self.write(Provision { account: self.id, now: self.service.now() }).await?;
            mailboxes = self.service.latest(self.id).await?.mailboxes(self.id).await?;
        }
        Ok(api::Folders { folders: mailboxes.into_iter().map(convert::folder).collect() })
    }

    /// Makes a folder.
    pub async fn create_folder(&self, new: &api::NewFolder) -> Result<api::Folder> {
        let unit = Create {
            account: self.id,
            name: valid_name(&new.name)?,
            parent: new.parent_id,
            max_folders: self.service.config().max_folders,
            now: self.service.now(),
        };
        self.write(unit).await.map_err(taken)?.map(convert::folder)
    }

    /// Renames a folder of the account's own; those with a role keep theirs.
    pub async fn rename_folder(&self, id: MailboxId, name: &str) -> Result<api::Folder> {
        let unit = Rename { account: self.id, id, name: valid_name(name)? };
        self.write(unit).await.map_err(taken)?.map(convert::folder)
    }

    /// Deletes a folder of the account's own. What is in it goes to Trash.
    pub async fn delete_folder(&self, id: MailboxId) -> Result<()> {
        // Piece by piece, so that a large folder never blocks the shard's writer for long.
        let delete = || Delete { account: self.id, id, now: self.service.now() };
        while self.write(delete()).await?? == Deleted::Partly {}
        Ok(())
    }
}

/// The name without surrounding white space, if it can be one.
pub(crate) fn valid_name(name: &str) -> Result<String> {
    let name = name.trim();
    let count = name.chars().count();
    if count == 0 || count > MAX_NAME_CHARS {
        return Err(Error::invalid("name", format!("a folder's name has 1 to {MAX_NAME_CHARS} characters")));
    }
    if name.chars().any(|c| c.is_control() || c == '/' || is_separator(c) || is_direction(c)) {
        let detail = "a folder's name has no slashes, no control characters, is on one line, and nothing in it turns the \
                      direction of text";
        return Err(Error::invalid("name", detail));
    }
    if name.chars().all(|c| c == '.') {
        return Err(Error::invalid("name", "a folder's name is more than dots"));
    }
    Ok(name.to_owned())
}

/// Unicode's ends of lines and paragraphs (RFC 9051 §5.1, RFC 6855 §3).
const fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Unicode's bidirectional controls (UAX #9 §2): with them a name shows as another.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn taken(error: Error) -> Error {
    match error {
        Error::Storage(StorageError::Exists(_)) => {
            Error::Conflict("there is a folder of that name here already; choose another name".into())
        }
        other => other,
    }
}

/// Makes the account's first mailboxes.
pub(crate) struct Provision {
    pub(crate) account: AccountId,
    pub(crate) now: Timestamp,
}

#[async_trait]
impl Unit for Provision {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        tx.provision(self.account, self.now).await
    }
}

struct Create {
    account: AccountId,
    name: String,
    parent: Option<MailboxId>,
    max_folders: usize,
    now: Timestamp,
}

#[async_trait]
impl Unit for Create {
    type Output = Result<Mailbox>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        tx.provision(self.account, self.now).await?;
        let all = tx.mailboxes(self.account).await?;
        if all.len() >= self.max_folders {
            return Ok(Err(Error::Conflict(format!("an account has at most {} folders", self.max_folders))));
        }
        if let Some(parent) = self.parent {
            match depth(&all, parent) {
                None => return Ok(Err(Error::NotFound("parent folder"))),
                Some(depth) if depth >= MAX_DEPTH => {
                    return Ok(Err(Error::Conflict(format!("folders nest at most {MAX_DEPTH} deep"))));
                }
                Some(_) => {}
            }
        }
        let new = NewMailbox {
            account: self.account,
            name: self.name.clone(),
            parent: self.parent,
            role: None,
            now: self.now,
        };
        tx.create_mailbox(new).await.map(Ok)
    }
}

/// How many levels lead down to this folder, itself included; `None` if it is not there.
pub(crate) fn depth(all: &[Mailbox], id: MailboxId) -> Option<usize> {
    let way = up_from(all, id).count();
    (way > 0).then_some(way)
}

/// How many levels this folder has, itself included.
pub(crate) fn levels_of(all: &[Mailbox], id: MailboxId) -> usize {
    let up_to = |mailbox: &Mailbox| up_from(all, mailbox.id).position(|above| above == id);
    all.iter().filter_map(up_to).max().unwrap_or(0) + 1
}

/// Whether a folder is the other one, or in it.
pub(crate) fn is_in(all: &[Mailbox], id: MailboxId, other: MailboxId) -> bool {
    up_from(all, id).any(|above| above == other)
}

/// A folder and those that it is in, up to the root.
fn up_from(all: &[Mailbox], id: MailboxId) -> impl Iterator<Item = MailboxId> {
    let find = |id: MailboxId| all.iter().find(|mailbox| mailbox.id == id);
    std::iter::successors(find(id), move |below| below.parent.and_then(find))
        .map(|mailbox| mailbox.id)
        .take(all.len())
}

struct Rename {
    account: AccountId,
    id: MailboxId,
    name: String,
}

#[async_trait]
impl Unit for Rename {
    type Output = Result<Mailbox>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        match tx.mailbox(self.account, self.id).await? {
            None => return Ok(Err(Error::NotFound("folder"))),
            Some(Mailbox { role: Some(role), .. }) => return Ok(Err(has_role(role, "renamed"))),
            Some(_) => {}
        }
        let renamed = tx.rename_mailbox(self.account, self.id, &self.name).await?;
        Ok(renamed.ok_or(Error::NotFound("folder")))
    }
}

fn has_role(role: Role, what: &str) -> Error {
    Error::Conflict(format!("{} is one of the standard folders and cannot be {what}", role.name()))
}

#[derive(PartialEq, Eq)]
enum Deleted {
    Wholly,
    Partly,
}

struct Delete {
    account: AccountId,
    id: MailboxId,
    now: Timestamp,
}

const MOVED_AT_ONCE: u32 = 500;

#[async_trait]
impl Unit for Delete {
    type Output = Result<Deleted>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let all = tx.mailboxes(self.account).await?;
        let Some(mailbox) = all.iter().find(|mailbox| mailbox.id == self.id) else {
            return Ok(Err(Error::NotFound("folder")));
        };
        if let Some(role) = mailbox.role {
            return Ok(Err(has_role(role, "deleted")));
        }
        if all.iter().any(|mailbox| mailbox.parent == Some(self.id)) {
            return Ok(Err(Error::Conflict("this folder has folders in it; delete those first".into())));
        }
        let Some(trash) = all.iter().find(|mailbox| mailbox.role == Some(Role::Trash)) else {
            return Ok(Err(Error::NotFound("Trash folder")));
        };
        let request = PageRequest {
            mailbox: Some(self.id),
            filter: Default::default(),
            before: None,
            limit: MOVED_AT_ONCE,
        };
        let ids: Vec<_> = tx.page(self.account, &request).await?.iter().map(|message| message.id).collect();
        if !ids.is_empty() {
            tx.move_messages(self.account, &ids, trash.id, self.now).await?;
        }
        if mailbox.total > ids.len() as u64 {
            return Ok(Ok(Deleted::Partly));
        }
        tx.delete_mailbox(self.account, self.id).await?;
        Ok(Ok(Deleted::Wholly))
    }
}
