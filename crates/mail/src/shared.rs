//! Mailboxes that others share, by their whole names: `Other Users/bob@demo.test/Projects`.
//!
//! Whose they may be says the directory; what of them is shared, and how, says their owner's shard.

use async_trait::async_trait;
use storage::{Mailbox, Needs, NewMailbox, Result as StorageResult, Snapshot, Transaction, Unit};
use types::{AccountId, MailboxId, Rights, Timestamp, address::fold};

use crate::folders::{MAX_DEPTH, depth, is_in, levels_of, valid_name};
use crate::grants::MAX_GRANTS;
use crate::names::{Denied, Named, Which, find, named, settle};
use crate::reach::Grantee;
use crate::{Access, Result};

/// The level that all of them are in, with the slash behind it.
pub const OTHER_USERS: &str = "Other Users/";
/// Accounts that are looked at; who is shared more with sees those of the oldest accounts.
const MAX_OWNERS: u32 = 200;

/// What others share with an account.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) named: Vec<Named>,
    /// Whose shards are away or damaged: of what they share nothing is known now.
    pub(crate) away: Vec<AccountId>,
}

impl Access {
    /// The account's own mailboxes, then those that others share with it.
    pub async fn all_named(&self) -> Result<Vec<Named>> {
        let mut all = self.named().await?;
        all.extend(self.shared(None).await?);
        Ok(all)
    }

    /// What others share with this account; if a name is given, only of whose it could be.
    pub(crate) async fn shared(&self, name: Option<&str>) -> Result<Vec<Named>> {
        let owners = self.sharers().await?;
        Ok(self.shared_of(&owners, name).await?.named)
    }

    /// Who may share something with this account.
    pub(crate) async fn sharers(&self) -> Result<Vec<AccountId>> {
        Ok(self.service.parts.directory.sharers(self.id, MAX_OWNERS).await?)
    }

    /// What these share with it.
    pub(crate) async fn shared_of(&self, owners: &[AccountId], name: Option<&str>) -> Result<Shared> {
        let directory = &self.service.parts.directory;
        let mut all = Shared::default();
        if owners.is_empty() {
            return Ok(all);
        }
        let Some(grantee) = self.as_grantee().await? else { return Ok(all) };
        for owner in owners.iter().copied() {
            let account = directory.account(owner).await?.filter(|account| account.enabled);
            let Some(account) = account else { continue };
            let above = format!("{OTHER_USERS}{}", account.email);
            let fits = |name: &str| fold(name).starts_with(&fold(&format!("{above}/")));
            if !name.is_none_or(fits) {
                continue;
            }
            match self.shared_by(owner, grantee, &above).await {
                Ok(some) => all.named.extend(some),
                // Somebody else's shard that is away does not hide one's own mailboxes.
                Err(error) if name.is_none() && error.is_temporary() => {
                    tracing::warn!(%owner, error = &error as &dyn std::error::Error, "shared mailboxes are not listed");
                    all.away.push(owner);
                }
                Err(error) if name.is_none() && error.is_damage() => {
                    error.log_now_and_then(
                        "mailboxes are shared from a shard that is damaged, and are not listed",
                    );
                    all.away.push(owner);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn shared_by(&self, owner: AccountId, grantee: Grantee, above: &str) -> Result<Vec<Named>> {
        let grants = self.granted_by(owner, grantee).await?;
        if grants.is_empty() {
            return Ok(Vec::new());
        }
        let look = |mut shard: Box<dyn Snapshot>| async move {
            let all = shard.mailboxes(owner).await?;
            Ok((!all.is_empty()).then_some(all))
        };
        let all = named(self.service.look(owner, look).await?.unwrap_or_default());
        let as_shared = |Named { name, mut mailbox, .. }: Named| {
            let grant = grants.iter().find(|grant| grant.mailbox == mailbox.id)?;
            mailbox.subscribed = grant.subscribed;
            // Somebody else's Trash or Sent is not where one's own mail program puts things.
            mailbox.role = None;
            let name = format!("{above}/{name}");
            Some(Named { name, mailbox, has_children: false, rights: grant.rights, shared: true })
        };
        let mut shared: Vec<_> = all.into_iter().filter_map(as_shared).collect();
        let listed = shared.iter().filter(|named| named.rights.contains(Rights::LOOKUP));
        let names: Vec<_> = listed.map(|named| named.name.clone()).collect();
        for named in &mut shared {
            let below = format!("{}/", named.name);
            named.has_children = names.iter().any(|name| name.starts_with(&below));
        }
        Ok(shared)
    }

    /// Makes a mailbox in one that is shared. It is shared like that one, since else nobody there would see it.
    pub(crate) async fn create_shared(&self, name: &str) -> Result<Result<Mailbox, Denied>> {
        let name = name.strip_suffix('/').unwrap_or(name);
        let (owner, parent, last) = match self.place_shared(name).await? {
            Ok(place) => place,
            Err(denied) => return Ok(Err(denied)),
        };
        let Some(grantee) = self.as_grantee().await? else { return Ok(Err(Denied::NonExistent)) };
        let unit = CreateShared {
            owner,
            grantee,
            parent,
            name: last,
            max_folders: self.service.config().max_folders,
            now: self.service.now(),
        };
        settle(self.service.write(self.service.shard_of(owner), unit).await)
    }

    /// Gives a shared mailbox another name, or puts it into another of the same owner's.
    pub(crate) async fn rename_shared(&self, from: &Named, to: &str) -> Result<Result<Mailbox, Denied>> {
        if let Err(denied) = may(from.rights, Rights::DELETE) {
            return Ok(Err(denied));
        }
        let (owner, parent, last) = match self.place_shared(to).await? {
            Ok(place) => place,
            Err(denied) => return Ok(Err(denied)),
        };
        if owner != from.mailbox.account {
            return Ok(Err(Denied::Cannot("A mailbox stays with its owner")));
        }
        let Some(grantee) = self.as_grantee().await? else { return Ok(Err(Denied::NonExistent)) };
        let unit = RenameShared { owner, grantee, id: from.mailbox.id, parent, name: last };
        settle(self.service.write(self.service.shard_of(owner), unit).await)
    }

    /// Removes a shared mailbox and its messages for good.
    pub(crate) async fn delete_shared(&self, shared: &Named) -> Result<Result<(), Denied>> {
        let Some(grantee) = self.as_grantee().await? else { return Ok(Err(Denied::NonExistent)) };
        let Mailbox { account: owner, id, .. } = shared.mailbox;
        self.delete_which(owner, Which::Id(id), Some(grantee)).await
    }

    /// Notes for the grantee alone whether they have subscribed. False if they cannot see it.
    pub(crate) async fn subscribe_shared(&self, mailbox: &Mailbox, subscribed: bool) -> Result<bool> {
        let Some(grantee) = self.as_grantee().await? else { return Ok(false) };
        let unit = SubscribeShared { owner: mailbox.account, grantee, id: mailbox.id, subscribed };
        self.service.write(self.service.shard_of(mailbox.account), unit).await
    }

    /// Whether a mailbox that is not there may be made under this name, as far as that hangs on others.
    pub async fn may_create(&self, name: &str) -> Result<bool> {
        Ok(!is_of_others(name) || self.place_shared(name).await?.is_ok())
    }

    /// Whose a new name would be, the mailbox that it would be in, and its last level.
    async fn place_shared(&self, name: &str) -> Result<Result<(AccountId, MailboxId, String), Denied>> {
        let Some((above, last)) = name.rsplit_once('/').filter(|_| is_of_others(name)) else {
            return Ok(Err(Denied::Cannot("That name is for what others share")));
        };
        let all = self.shared(Some(name)).await?;
        if find(&all, name).is_some_and(|there| there.rights.contains(Rights::LOOKUP)) {
            return Ok(Err(Denied::AlreadyExists));
        }
        let Some(above) = find(&all, above) else { return Ok(Err(Denied::NonExistent)) };
        if let Err(denied) = may(above.rights, Rights::CREATE) {
            return Ok(Err(denied));
        }
        Ok(Ok((above.mailbox.account, above.mailbox.id, last.to_owned())))
    }
}

/// Whether the name is one for what others share.
pub(crate) fn is_of_others(name: &str) -> bool {
    let (name, of_others) = (fold(name), fold(OTHER_USERS));
    name.starts_with(&of_others) || of_others.strip_suffix('/') == Some(&name)
}

/// What cannot be seen does not exist.
pub(crate) fn may(rights: Rights, needed: Rights) -> Result<(), Denied> {
    match rights {
        _ if rights.contains(needed) => Ok(()),
        _ if rights.meets(Rights::LOOKUP | Rights::READ) => Err(Denied::NoRight),
        _ => Err(Denied::NonExistent),
    }
}

fn needs(account: AccountId) -> Needs {
    Needs { accounts: vec![account], ..Needs::default() }
}

struct CreateShared {
    owner: AccountId,
    grantee: Grantee,
    parent: MailboxId,
    name: String,
    max_folders: usize,
    now: Timestamp,
}

#[async_trait]
impl Unit for CreateShared {
    type Output = Result<Mailbox, Denied>;

    fn needs(&self) -> Needs {
        needs(self.owner)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let Self { owner, grantee, parent, now, .. } = *self;
        if let Err(denied) = may(grantee.rights(tx, owner, parent).await?, Rights::CREATE) {
            return Ok(Err(denied));
        }
        let all = tx.mailboxes(owner).await?;
        match depth(&all, parent) {
            None => return Ok(Err(Denied::NonExistent)),
            Some(depth) if depth >= MAX_DEPTH => {
                return Ok(Err(Denied::Cannot("Mailboxes do not lie so deep in one another here")));
            }
            Some(_) if all.len() >= self.max_folders => return Ok(Err(Denied::Limit)),
            Some(_) => {}
        }
        if !is_name(&self.name) {
            return Ok(Err(Denied::Cannot("That cannot be the name of a mailbox here")));
        }
        let grants = tx.grants(owner, None).await?;
        let above: Vec<_> = grants.iter().filter(|grant| grant.mailbox == parent).copied().collect();
        if grants.len() + above.len() > MAX_GRANTS {
            return Ok(Err(Denied::Limit));
        }
        let new =
            NewMailbox { account: owner, name: self.name.clone(), parent: Some(parent), role: None, now };
        let made = tx.create_mailbox(new).await?;
        for mut grant in above {
            grant.mailbox = made.id;
            grant.subscribed = false;
            tx.set_grant(owner, &grant).await?;
        }
        Ok(Ok(made))
    }
}

fn is_name(name: &str) -> bool {
    valid_name(name).is_ok_and(|valid| valid == name)
}

struct RenameShared {
    owner: AccountId,
    grantee: Grantee,
    id: MailboxId,
    parent: MailboxId,
    name: String,
}

#[async_trait]
impl Unit for RenameShared {
    type Output = Result<Mailbox, Denied>;

    fn needs(&self) -> Needs {
        needs(self.owner)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let Self { owner, grantee, id, parent, .. } = *self;
        let all = tx.mailboxes(owner).await?;
        let Some(mailbox) = all.iter().find(|mailbox| mailbox.id == id) else {
            return Ok(Err(Denied::NonExistent));
        };
        if mailbox.role.is_some() {
            return Ok(Err(Denied::Cannot("The standard mailboxes keep their names")));
        }
        if !is_name(&self.name) {
            return Ok(Err(Denied::Cannot("That cannot be the name of a mailbox here")));
        }
        if is_in(&all, parent, id) {
            return Ok(Err(Denied::Cannot("A mailbox cannot be put into itself")));
        }
        if let Err(denied) = may(grantee.rights(tx, owner, parent).await?, Rights::CREATE) {
            return Ok(Err(denied));
        }
        // What is in it goes along, and must be theirs to move, too.
        for moved in all.iter().filter(|mailbox| is_in(&all, mailbox.id, id)) {
            if let Err(denied) = may(grantee.rights(tx, owner, moved.id).await?, Rights::DELETE) {
                return Ok(Err(if moved.id == id { denied } else { Denied::NoRight }));
            }
        }
        let levels = levels_of(&all, id);
        if depth(&all, parent).is_none_or(|above| above + levels > MAX_DEPTH) {
            return Ok(Err(Denied::Cannot("Mailboxes do not lie so deep in one another here")));
        }
        let moved = tx.move_mailbox(owner, id, Some(parent), &self.name).await?;
        Ok(moved.ok_or(Denied::NonExistent))
    }
}

struct SubscribeShared {
    owner: AccountId,
    grantee: Grantee,
    id: MailboxId,
    subscribed: bool,
}

#[async_trait]
impl Unit for SubscribeShared {
    type Output = bool;

    fn needs(&self) -> Needs {
        needs(self.owner)
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<bool> {
        let grants = tx.grants(self.owner, Some(self.grantee.id)).await?;
        let is_this = |grant: &storage::Grant| grant.mailbox == self.id && self.grantee.is_meant(grant);
        let Some(mut grant) = grants.into_iter().find(is_this) else { return Ok(false) };
        if !grant.rights.contains(Rights::LOOKUP) {
            return Ok(false);
        }
        if grant.subscribed != self.subscribed {
            grant.subscribed = self.subscribed;
            tx.set_grant(self.owner, &grant).await?;
        }
        Ok(true)
    }
}
