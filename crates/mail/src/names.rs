//! Mailboxes by their whole names, as mail programs know them: levels with slashes between, the inbox `INBOX`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use moka::sync::Cache as Memory;
use storage::{
    Error as StorageError, Mailbox, Needs, NewMailbox, PageRequest, Result as StorageResult, Stamp,
    Transaction, Unit,
};
use types::{AccountId, MailboxId, Rights, Role, Timestamp, address::fold};

use crate::folders::{MAX_DEPTH, Provision, levels_of, valid_name};
use crate::reach::Grantee;
use crate::shared::{is_of_others, may};
use crate::{Access, Error, Result};

/// A mailbox with its whole name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub mailbox: Mailbox,
    pub has_children: bool,
    /// What may be done with it: everything, unless it is somebody else's.
    pub rights: Rights,
    pub shared: bool,
}

/// Why something cannot be done to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    NonExistent,
    AlreadyExists,
    HasChildren,
    /// Its owner has not given the right to do that.
    NoRight,
    /// Never, and why.
    Cannot(&'static str),
    /// There are too many already.
    Limit,
}

pub(crate) const INBOX: &str = "INBOX";

/// Mailboxes by their names, as of a state of their shard. Only speed.
pub(crate) type Names = Memory<AccountId, (Stamp, Arc<[Named]>)>;

const NAMES_KIB: u64 = 16 << 10;

pub(crate) fn kept() -> Names {
    let weight = |_: &_, (_, all): &(Stamp, Arc<[Named]>)| {
        let bytes = all.iter().map(|one| size_of::<Named>() + one.name.len() + one.mailbox.name.len());
        u32::try_from(bytes.sum::<usize>() >> 10).unwrap_or(u32::MAX).saturating_add(1)
    };
    Memory::builder().max_capacity(NAMES_KIB).weigher(weight).build()
}

impl Access {
    /// All mailboxes of the account by their whole names; one query at most.
    pub async fn named(&self) -> Result<Vec<Named>> {
        Ok(self.own_named().await?.to_vec())
    }

    async fn own_named(&self) -> Result<Arc<[Named]>> {
        // Before anything is read.
        let stamp = self.service.stamp(self.id);
        let known = self.service.names.get(&self.id).filter(|(seen, _)| Some(seen) == stamp.as_ref());
        if let Some((_, all)) = known {
            return Ok(all);
        }
        let mut all = self.service.latest(self.id).await?.mailboxes(self.id).await?;
        if all.is_empty() {
            self.write(Provision { account: self.id, now: self.service.now() }).await?;
            all = self.service.latest(self.id).await?.mailboxes(self.id).await?;
        }
        let all: Arc<[Named]> = named(all).into();
        if let Some(stamp) = stamp {
            self.service.names.insert(self.id, (stamp, Arc::clone(&all)));
        }
        Ok(all)
    }

    /// The mailbox of this name; it may be one that somebody else shares, which its account tells.
    pub async fn by_name(&self, name: &str) -> Result<Option<Named>> {
        match find(&self.own_named().await?, name) {
            Some(own) => Ok(Some(own.clone())),
            None if is_of_others(name) => Ok(find(&self.shared(Some(name)).await?, name).cloned()),
            None => Ok(None),
        }
    }

    /// Makes a mailbox, and those that it is in.
    pub async fn create_named(&self, name: &str) -> Result<Result<Mailbox, Denied>> {
        if is_of_others(name) {
            return self.create_shared(name).await;
        }
        let unit = Create { path: self.path(name) };
        settle(self.write(unit).await)
    }

    /// Gives a mailbox another name, which may be elsewhere; what is in it goes along.
    pub async fn rename_named(&self, from: &str, to: &str) -> Result<Result<Mailbox, Denied>> {
        if is_of_others(from) {
            match self.by_name(from).await? {
                Some(named) if named.mailbox.account != self.id => {
                    return self.rename_shared(&named, to).await;
                }
                Some(_) => {}
                None => return Ok(Err(Denied::NonExistent)),
            }
        }
        if is_of_others(to) {
            return Ok(Err(Denied::Cannot("A mailbox stays with its owner")));
        }
        let unit = Rename { from: from.to_owned(), to: self.path(to) };
        settle(self.write(unit).await)
    }

    /// Removes a mailbox and its messages for good.
    pub async fn delete_named(&self, name: &str) -> Result<Result<(), Denied>> {
        if let Some(shared) = self.if_shared(name).await? {
            return self.delete_shared(&shared).await;
        }
        self.delete_which(self.id, Which::Named(name.to_owned()), None).await
    }

    pub(crate) async fn delete_which(
        &self,
        owner: AccountId,
        which: Which,
        grantee: Option<Grantee>,
    ) -> Result<Result<(), Denied>> {
        // Piece by piece, so that a large mailbox never blocks the shard's writer for long.
        loop {
            let unit = Delete { account: owner, which: which.clone(), grantee };
            match self.service.write(self.service.shard_of(owner), unit).await? {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => {}
                Err(denied) => return Ok(Err(denied)),
            }
        }
    }

    /// Subscribes to a mailbox, or not. False if there is none.
    pub async fn subscribe_named(&self, name: &str, subscribed: bool) -> Result<bool> {
        let Some(Named { mailbox, .. }) = self.by_name(name).await? else { return Ok(false) };
        if mailbox.account != self.id {
            return self.subscribe_shared(&mailbox, subscribed).await;
        }
        let unit = Subscribe { account: self.id, id: mailbox.id, subscribed };
        self.write(unit).await
    }

    /// A mailbox of this name that is not one's own, but shared.
    async fn if_shared(&self, name: &str) -> Result<Option<Named>> {
        if !is_of_others(name) {
            return Ok(None);
        }
        Ok(self.by_name(name).await?.filter(|named| named.mailbox.account != self.id))
    }

    fn path(&self, name: &str) -> Path {
        Path {
            account: self.id,
            name: name.to_owned(),
            max_folders: self.service.config().max_folders,
            now: self.service.now(),
        }
    }
}

/// Two that race for a name: the later one finds it taken.
pub(crate) fn settle(outcome: Result<Result<Mailbox, Denied>>) -> Result<Result<Mailbox, Denied>> {
    match outcome {
        Err(Error::Storage(StorageError::Exists(_))) => Ok(Err(Denied::AlreadyExists)),
        outcome => outcome,
    }
}

pub(crate) fn named(all: Vec<Mailbox>) -> Vec<Named> {
    let by_id: HashMap<_, _> = all.iter().map(|mailbox| (mailbox.id, mailbox)).collect();
    // To the root, however deep it lies: a name that ends before would not be the only one of its kind.
    let name = |mailbox: &Mailbox| {
        let mut levels = vec![level(mailbox)];
        let mut parent = mailbox.parent;
        while let Some(above) = parent.and_then(|id| by_id.get(&id)) {
            levels.push(level(above));
            parent = above.parent.filter(|_| levels.len() < all.len());
        }
        levels.reverse();
        levels.join("/")
    };
    let names: Vec<_> = all.iter().map(name).collect();
    let parents: Vec<_> = all.iter().filter_map(|mailbox| mailbox.parent).collect();
    let with_name = |(name, mailbox): (String, Mailbox)| Named {
        has_children: parents.contains(&mailbox.id),
        name,
        mailbox,
        rights: Rights::ALL,
        shared: false,
    };
    let mut named: Vec<_> = names.into_iter().zip(all).map(with_name).collect();
    // Those with a role come first, in their order; the others by their whole names.
    named.sort_by_cached_key(|named| named.mailbox.role.is_none().then(|| fold(&named.name)));
    named
}

fn level(mailbox: &Mailbox) -> &str {
    if mailbox.role == Some(Role::Inbox) { INBOX } else { &mailbox.name }
}

/// The mailbox of this name as it is written, or in other capitals: no two names differ by those alone.
pub(crate) fn find<'a>(all: &'a [Named], name: &str) -> Option<&'a Named> {
    let folded = fold(name);
    all.iter()
        .find(|named| named.name == name)
        .or_else(|| all.iter().find(|named| fold(&named.name) == folded))
}

/// A name to be made.
struct Path {
    account: AccountId,
    name: String,
    max_folders: usize,
    now: Timestamp,
}

impl Path {
    /// Its last level, which is free, and the mailbox that it is in; missing ones are made. There must be room for as
    /// many levels as what gets the name has, itself included.
    async fn place(
        &self,
        tx: &mut dyn Transaction,
        all: Vec<Named>,
        own_levels: usize,
    ) -> StorageResult<Result<(Option<MailboxId>, String), Denied>> {
        // RFC 9051 §6.3.4: a slash at the end only says that there will be levels below.
        let name = self.name.strip_suffix('/').unwrap_or(&self.name);
        if find(&all, name).is_some() {
            return Ok(Err(Denied::AlreadyExists));
        }
        let levels: Vec<_> = name.split('/').collect();
        let is_valid = |level: &&str| valid_name(level).is_ok_and(|valid| valid == *level);
        if !levels.iter().all(is_valid) {
            return Ok(Err(Denied::Cannot("That cannot be the name of a mailbox here")));
        }
        if levels.len() - 1 + own_levels > MAX_DEPTH {
            return Ok(Err(Denied::Cannot("Mailboxes do not lie so deep in one another here")));
        }
        if all.len() + levels.len() > self.max_folders {
            return Ok(Err(Denied::Limit));
        }
        let Some((last, above)) = levels.split_last() else {
            return Ok(Err(Denied::Cannot("A mailbox has a name")));
        };
        let (mut parent, mut path) = (None, String::new());
        for level in above {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(level);
            parent = Some(match find(&all, &path) {
                Some(there) => there.mailbox.id,
                None => self.make(tx, parent, level).await?.id,
            });
        }
        Ok(Ok((parent, (*last).to_owned())))
    }

    async fn make(
        &self,
        tx: &mut dyn Transaction,
        parent: Option<MailboxId>,
        name: &str,
    ) -> StorageResult<Mailbox> {
        let Self { account, now, .. } = *self;
        tx.create_mailbox(NewMailbox { account, name: name.to_owned(), parent, role: None, now }).await
    }
}

struct Create {
    path: Path,
}

#[async_trait]
impl Unit for Create {
    type Output = Result<Mailbox, Denied>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.path.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        tx.provision(self.path.account, self.path.now).await?;
        let all = named(tx.mailboxes(self.path.account).await?);
        match self.path.place(tx, all, 1).await? {
            Ok((parent, name)) => self.path.make(tx, parent, &name).await.map(Ok),
            Err(denied) => Ok(Err(denied)),
        }
    }
}

struct Rename {
    from: String,
    to: Path,
}

#[async_trait]
impl Unit for Rename {
    type Output = Result<Mailbox, Denied>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.to.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let account = self.to.account;
        let mailboxes = tx.mailboxes(account).await?;
        let all = named(mailboxes.clone());
        let Some(Named { name: from, mailbox, .. }) = find(&all, &self.from).cloned() else {
            return Ok(Err(Denied::NonExistent));
        };
        if mailbox.role.is_some() {
            return Ok(Err(Denied::Cannot("The standard mailboxes keep their names")));
        }
        if fold(&self.to.name).starts_with(&format!("{}/", fold(&from))) {
            return Ok(Err(Denied::Cannot("A mailbox cannot be put into itself")));
        }
        // Its own name may be written anew, in other capitals.
        let others = all.into_iter().filter(|named| named.mailbox.id != mailbox.id).collect();
        let (parent, name) = match self.to.place(tx, others, levels_of(&mailboxes, mailbox.id)).await? {
            Ok(place) => place,
            Err(denied) => return Ok(Err(denied)),
        };
        let moved = tx.move_mailbox(account, mailbox.id, parent, &name).await?;
        Ok(moved.ok_or(Denied::NonExistent))
    }
}

/// A mailbox that is to go.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    Named(String),
    Id(MailboxId),
}

struct Delete {
    account: AccountId,
    which: Which,
    /// Who deletes it, unless it is the owner.
    grantee: Option<Grantee>,
}

const AT_ONCE: u32 = 500;

#[async_trait]
impl Unit for Delete {
    /// Whether it is done.
    type Output = Result<bool, Denied>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let all = named(tx.mailboxes(self.account).await?);
        let found = match &self.which {
            Which::Named(name) => find(&all, name),
            Which::Id(id) => all.iter().find(|named| named.mailbox.id == *id),
        };
        let Some(Named { mailbox, has_children, .. }) = found.cloned() else {
            return Ok(Err(Denied::NonExistent));
        };
        if let Some(grantee) = self.grantee
            && let Err(denied) = may(grantee.rights(tx, self.account, mailbox.id).await?, Rights::DELETE)
        {
            return Ok(Err(denied));
        }
        if mailbox.role.is_some() {
            return Ok(Err(Denied::Cannot("The standard mailboxes cannot be deleted")));
        }
        if has_children {
            return Ok(Err(Denied::HasChildren));
        }
        let request = PageRequest {
            mailbox: Some(mailbox.id),
            filter: Default::default(),
            before: None,
            limit: AT_ONCE,
        };
        let ids: Vec<_> = tx.page(self.account, &request).await?.iter().map(|message| message.id).collect();
        tx.expunge(self.account, &ids).await?;
        if mailbox.total > ids.len() as u64 {
            return Ok(Ok(false));
        }
        tx.delete_mailbox(self.account, mailbox.id).await.map(Ok)
    }
}

struct Subscribe {
    account: AccountId,
    id: MailboxId,
    subscribed: bool,
}

#[async_trait]
impl Unit for Subscribe {
    type Output = bool;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.account], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<bool> {
        Ok(tx.subscribe_mailbox(self.account, self.id, self.subscribed).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use types::{ModSeq, Uid, UidValidity};

    use super::*;

    fn mailbox(id: i64, parent: Option<i64>) -> Mailbox {
        Mailbox {
            account: AccountId(1),
            id: MailboxId(id),
            name: "x".into(),
            parent: parent.map(MailboxId),
            role: None,
            uid_validity: UidValidity(1),
            uid_next: Uid(1),
            modseq: ModSeq(1),
            total: 0,
            unread: 0,
            size_bytes: 0,
            subscribed: true,
        }
    }

    #[test]
    fn no_two_have_one_name_however_deep_they_lie() {
        let all: Vec<_> = (1..=30).map(|id| mailbox(id, (id > 1).then(|| id - 1))).collect();
        let named = named(all);
        for one in &named {
            assert_eq!(find(&named, &one.name).unwrap().mailbox.id, one.mailbox.id, "{}", one.name);
        }
        assert_eq!(named.last().unwrap().name.len(), 59);
    }

    #[test]
    fn names_of_what_is_in_itself_end() {
        assert_eq!(named(vec![mailbox(1, Some(2)), mailbox(2, Some(1))]).len(), 2);
    }
}
