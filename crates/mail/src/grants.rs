//! Who may do what with a mailbox: looked at and changed by its owner, and by whom the owner lets.

use async_trait::async_trait;
use storage::{Account, Grant, Needs, Result as StorageResult, Snapshot, Transaction, Unit};
use types::{AccountId, EmailAddress, MailboxId, Rights, api};

use crate::reach::Grantee;
use crate::{Access, Error, Reach, Result, Service};

/// People that a mailbox is shared with, and grants of an account: they are read at once.
const MAX_GRANTEES: usize = 100;
pub(crate) const MAX_GRANTS: usize = 1_000;

/// What becomes of somebody's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RightsChange {
    Replace(Rights),
    Add(Rights),
    Remove(Rights),
}

impl RightsChange {
    fn applied(self, before: Rights) -> Rights {
        match self {
            Self::Replace(rights) => rights,
            Self::Add(rights) => before | rights,
            Self::Remove(rights) => before & !rights,
        }
    }
}

impl Reach {
    /// Everybody who has rights, the owner first.
    pub async fn everybody(&self) -> Result<Vec<(EmailAddress, Rights)>> {
        self.check(Rights::ADMINISTER)?;
        let (owner, mailbox) = (self.owner(), self.mailbox());
        let service = &self.door().service;
        let look = |mut shard: Box<dyn Snapshot>| async move {
            let is_there = shard.mailbox(owner, mailbox).await?.is_some();
            let grants = shard.grants(owner, None).await?;
            Ok(is_there.then_some(grants))
        };
        let grants = service.look(owner, look).await?.ok_or(Error::NotFound("folder"))?;
        let mut all = vec![(self.owner_email().clone(), Rights::ALL)];
        for grant in grants.into_iter().filter(|grant| grant.mailbox == mailbox) {
            // Of an account that is gone something may be left.
            let grantee = service.parts.directory.account(grant.grantee).await?;
            let grantee = grantee.filter(|grantee| grantee.created_at == grant.grantee_since);
            all.extend(grantee.map(|grantee| (grantee.email, grant.rights)));
        }
        Ok(all)
    }

    /// Whether rights of whoever has this address are their own as the owner.
    pub async fn is_of_owner(&self, address: &str) -> Result<bool> {
        self.check(Rights::ADMINISTER)?;
        Ok(self.named_by(address).await?.id == self.owner())
    }

    /// Changes the rights of whoever has this address; what they are then.
    pub async fn grant(&self, address: &str, change: RightsChange) -> Result<Rights> {
        self.check(Rights::ADMINISTER)?;
        let grantee = self.named_by(address).await?;
        let owner = self.owner();
        if grantee.id == owner {
            return Err(Error::invalid("address", "a mailbox's owner has all rights to it"));
        }
        let service = &self.door().service;
        let directory = &service.parts.directory;
        if change.applied(Rights::NONE) != Rights::NONE {
            // Who looks for it in vain does no harm; who did not look would miss it.
            directory.add_share(owner, grantee.id).await?;
        }
        let unit = SetRights {
            owner,
            mailbox: self.mailbox(),
            grantee: Grantee { id: grantee.id, since: grantee.created_at },
            change,
            by: self.grantee(),
        };
        let rights = service.write(self.door().shard(), unit).await?;
        // Also where it was refused: then nothing is to be looked for.
        service.note_share(owner, grantee.id).await?;
        rights
    }

    /// The account whose own address this is. An alias is nobody's own, since all that a domain does not know may be one;
    /// and whose it is, is not told to who asks, nor which addresses are groups.
    async fn named_by(&self, address: &str) -> Result<Account> {
        let unknown = || Error::invalid("address", "no account here has that address for its own");
        let address: EmailAddress = address.parse().map_err(|_| unknown())?;
        let directory = &self.door().service.parts.directory;
        let id = directory.resolve(&address).await?.ok_or_else(unknown)?;
        let account = directory.account(id).await?;
        account.filter(|account| account.email.key() == address.key()).ok_or_else(unknown)
    }
}

impl Access {
    /// Who may do what with a folder, its owner left out.
    pub async fn folder_access(&self, id: MailboxId) -> Result<api::FolderAccess> {
        let everybody = self.own(id).await?.everybody().await?.into_iter().skip(1);
        let one = |(email, rights): (EmailAddress, Rights)| api::Granted {
            email: email.to_string(),
            rights: rights.to_string(),
        };
        Ok(api::FolderAccess { people: everybody.map(one).collect() })
    }

    /// Gives somebody these rights to a folder, and no others.
    pub async fn share_folder(&self, id: MailboxId, address: &str, rights: &str) -> Result<api::Granted> {
        let rights = Rights::parse(rights).filter(|rights| !rights.is_empty());
        let unknown = || Error::invalid("rights", format!("rights are {}", Rights::SPELLING));
        let rights = rights.ok_or_else(unknown)?;
        let reach = self.own(id).await?;
        let rights = reach.grant(address, RightsChange::Replace(rights)).await?;
        let email = reach.named_by(address).await?.email.to_string();
        Ok(api::Granted { email, rights: rights.to_string() })
    }

    /// Takes all rights to a folder away from somebody.
    pub async fn unshare_folder(&self, id: MailboxId, address: &str) -> Result<()> {
        let change = RightsChange::Replace(Rights::NONE);
        self.own(id).await?.grant(address, change).await.map(|_| ())
    }

    async fn own(&self, id: MailboxId) -> Result<Reach> {
        self.reach(self.id, id).await?.ok_or(Error::NotFound("folder"))
    }
}

impl Service {
    /// Has the directory say whether the owner shares anything with the grantee.
    async fn note_share(&self, owner: AccountId, grantee: AccountId) -> Result<()> {
        let directory = &self.parts.directory;
        if !self.is_sharing(owner, grantee).await? {
            directory.remove_share(owner, grantee).await?;
            // Somebody may have shared something just now.
            if !self.is_sharing(owner, grantee).await? {
                return Ok(());
            }
        }
        Ok(directory.add_share(owner, grantee).await?)
    }

    async fn is_sharing(&self, owner: AccountId, grantee: AccountId) -> Result<bool> {
        Ok(!self.snapshot(owner).await?.grants(owner, Some(grantee)).await?.is_empty())
    }

    /// Ends everything that was shared with an account which is going. What cannot be ended now is never theirs again
    /// either: a grant says when its account was made.
    pub(crate) async fn end_grants(&self, grantee: AccountId) -> Result<()> {
        for owner in self.parts.directory.sharers(grantee, u32::MAX).await? {
            let ended = self.write(self.shard_of(owner), EndGrants { owner, grantee }).await;
            if let Err(error) = ended {
                tracing::warn!(%owner, %grantee, error = &error as &dyn std::error::Error, "grants are left behind");
            }
        }
        Ok(())
    }
}

struct SetRights {
    owner: AccountId,
    mailbox: MailboxId,
    grantee: Grantee,
    change: RightsChange,
    /// Who changes them, unless it is the owner.
    by: Option<Grantee>,
}

#[async_trait]
impl Unit for SetRights {
    type Output = Result<Rights>;

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.owner], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<Self::Output> {
        let Self { owner, mailbox, grantee, .. } = *self;
        if tx.mailbox(owner, mailbox).await?.is_none() {
            return Ok(Err(Error::NotFound("folder")));
        }
        if let Some(by) = self.by
            && !by.rights(tx, owner, mailbox).await?.contains(Rights::ADMINISTER)
        {
            return Ok(Err(Error::NotFound("folder")));
        }
        let all = tx.grants(owner, None).await?;
        let there = all.iter().find(|grant| grant.mailbox == mailbox && grantee.is_meant(grant));
        let before = there.map(|grant| grant.rights).unwrap_or_default();
        let rights = self.change.applied(before);
        let people = all.iter().filter(|grant| grant.mailbox == mailbox).count();
        if before.is_empty() && !rights.is_empty() && (people >= MAX_GRANTEES || all.len() >= MAX_GRANTS) {
            let detail = format!(
                "a mailbox is shared with at most {MAX_GRANTEES} people, and an account has at most {MAX_GRANTS} grants"
            );
            return Ok(Err(Error::Conflict(detail)));
        }
        if rights != before {
            let subscribed = there.is_some_and(|grant| grant.subscribed);
            let grant =
                Grant { grantee: grantee.id, mailbox, grantee_since: grantee.since, rights, subscribed };
            tx.set_grant(owner, &grant).await?;
        }
        Ok(Ok(rights))
    }
}

struct EndGrants {
    owner: AccountId,
    grantee: AccountId,
}

#[async_trait]
impl Unit for EndGrants {
    type Output = ();

    fn needs(&self) -> Needs {
        Needs { accounts: vec![self.owner], ..Needs::default() }
    }

    async fn run(&self, tx: &mut dyn Transaction) -> StorageResult<()> {
        for grant in tx.grants(self.owner, Some(self.grantee)).await? {
            tx.set_grant(self.owner, &Grant { rights: Rights::NONE, ..grant }).await?;
        }
        Ok(())
    }
}
