//! Where mail for an address goes: to an account, to a group's members, back to a sender.

use std::collections::HashSet;
use std::sync::Arc;

use storage::{Account, Group};
use types::{AccountId, EmailAddress, address};

use crate::{Error, Result, Service, random, srs};

/// What an address is to this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    Local(AccountId),
    /// Several, here and elsewhere.
    Group(Arc<Expansion>),
    /// A group of more than `limits.group_members`: its mail would reach some of them only.
    Crowd,
    /// An address that stands for a sender whose mail we have sent on; what comes back goes there.
    Back(Arc<Return>),
    /// Of a domain of ours, but nobody's.
    Unknown,
    /// Of a domain of ours, and somebody's until just now; whose it is next, the directory's caches know in a moment.
    Changing,
    /// An account of ours without room, by its own quota or its domain's.
    Full,
    /// Of a domain that is not ours.
    Elsewhere,
}

/// Whom the mail for a group reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expansion {
    pub address: EmailAddress,
    /// The account that answers for the group.
    pub owner: AccountId,
    /// Accounts here, each once, under their main address.
    pub accounts: Vec<(EmailAddress, AccountId)>,
    pub elsewhere: Vec<EmailAddress>,
}

/// Where something goes that comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    pub sender: EmailAddress,
    /// The account whose queue it is in on its way.
    pub keeper: AccountId,
}

const POSTMASTER: &str = "postmaster";
/// For each member that a group may have, so many names are looked up: groups within it, and who is not here any more.
const LOOKS: usize = 4;

impl Service {
    /// Whether mail for this domain is received here.
    pub async fn is_domain(&self, name: &str) -> Result<bool> {
        Ok(self.parts.directory.domain(name).await?.is_some())
    }

    /// Looks an address up: the address itself, then without its tag (RFC 5233). `postmaster` of a domain of ours
    /// without such an account is looked up as the domain's `admin` (RFC 5321 §4.5.1). Then comes the domain's
    /// catch-all, which is an alias `*`; at last, for `postmaster` and `abuse`, an operator.
    pub async fn recipient(&self, address: &EmailAddress) -> Result<Recipient> {
        self.recipient_of(address, 0).await
    }

    /// The same for a mail of so many bytes, as far as the sender has said.
    pub async fn recipient_of(&self, address: &EmailAddress, size_bytes: u64) -> Result<Recipient> {
        let directory = &self.parts.directory;
        if directory.domain(address.domain()).await?.is_none() {
            return Ok(Recipient::Elsewhere);
        }
        if srs::is_rewritten(address) {
            return self.returned(address).await;
        }
        let Some((named, account)) = self.named(address).await? else {
            return Ok(Recipient::Unknown);
        };
        if let Some(group) = directory.group(&named).await? {
            return self.members(group).await;
        }
        match directory.account(account).await? {
            Some(account) if self.is_full(&account, size_bytes).await? => Ok(Recipient::Full),
            Some(account) => Ok(Recipient::Local(account.id)),
            None => Ok(Recipient::Changing),
        }
    }

    /// Whether its domain is ours, and it is nobody's there: mail for it would only come back. While the directory is
    /// away nobody can tell, and the queue finds out.
    pub async fn is_nobody(&self, address: &EmailAddress) -> bool {
        let nobody = async {
            if self.parts.directory.domain(address.domain()).await?.is_none() {
                return Ok(false);
            }
            if srs::is_rewritten(address) {
                return Ok(self.returned(address).await? == Recipient::Unknown);
            }
            let Some((named, _)) = self.named(address).await? else { return Ok(true) };
            Ok(match self.parts.directory.group(&named).await? {
                Some(group) => self.members(group).await? == Recipient::Unknown,
                None => false,
            })
        };
        nobody.await.unwrap_or_else(|error: Error| {
            tracing::warn!(%error, "a recipient is taken without being looked up");
            false
        })
    }

    /// The address under which it is known here, and whose that is.
    pub(crate) async fn named(&self, address: &EmailAddress) -> Result<Option<(EmailAddress, AccountId)>> {
        let untagged = self.config().subaddress_separator.and_then(|separator| address.split_tag(separator));
        let is_postmaster = address.local().eq_ignore_ascii_case(POSTMASTER);
        let admin = || format!("admin@{}", address.domain()).parse().ok();
        let spellings = [
            Some(address.clone()),
            untagged.map(|(untagged, _)| untagged),
            is_postmaster.then(admin).flatten(),
            Some(address.catch_all()),
        ];
        for spelling in spellings.into_iter().flatten() {
            if let Some(account) = self.parts.directory.resolve(&spelling).await? {
                return Ok(Some((spelling, account)));
            }
        }
        if is_postmaster || address.local().eq_ignore_ascii_case("abuse") {
            return self.operator_for(&address.domain_key()).await;
        }
        Ok(None)
    }

    /// Who reads what goes to the operators of a domain of ours (RFC 5321 §4.5.1, RFC 2142): the first of them who is of
    /// that domain, or else of any.
    async fn operator_for(&self, domain: &str) -> Result<Option<(EmailAddress, AccountId)>> {
        let admins = self.parts.directory.admins().await?;
        let own = admins.iter().find(|admin| admin.email.domain_key() == domain);
        Ok(own.or(admins.first()).map(|admin| (admin.email.clone(), admin.id)))
    }

    /// The tag of the address under which the account is named, if mail for it is filed by that.
    pub(crate) fn tag_to_file(&self, address: &EmailAddress) -> Option<String> {
        let config = self.config();
        let separator = config.subaddress_separator.filter(|_| config.subaddress_folders)?;
        let (_, tag) = address.split_tag(separator)?;
        (!tag.is_empty()).then(|| address::fold(tag))
    }

    /// A group's members; groups in it are expanded, however they refer to each other.
    async fn members(&self, group: Group) -> Result<Recipient> {
        let directory = &self.parts.directory;
        let (mut seen, mut members) = (HashSet::from([group.address.key()]), HashSet::new());
        let Group { address, owner, targets } = group;
        let mut expansion = Expansion { address, owner, accounts: Vec::new(), elsewhere: Vec::new() };
        let removed = || storage::Error::Unavailable("a member of a group was removed just now".into());
        let most = self.config().max_group_members;
        let mut waiting = targets;
        waiting.reverse();
        while let Some(target) = waiting.pop() {
            if !seen.insert(target.key()) {
                continue;
            }
            if directory.domain(target.domain()).await?.is_none() {
                expansion.elsewhere.push(target);
            } else if let Some((named, account)) = self.named(&target).await? {
                match directory.group(&named).await? {
                    Some(inner) => waiting.extend(inner.targets.into_iter().rev()),
                    None => {
                        let account = directory.account(account).await?.ok_or_else(removed)?;
                        if members.insert(account.id) {
                            expansion.accounts.push((account.email, account.id));
                        }
                    }
                }
            } else {
                tracing::warn!(group = %expansion.address, %target, "a member of a group is not here");
            }
            let count = expansion.accounts.len() + expansion.elsewhere.len();
            if count > most || seen.len() > most.saturating_mul(LOOKS) {
                tracing::warn!(group = %expansion.address, "a group has more members than limits.group_members");
                return Ok(Recipient::Crowd);
            }
        }
        let reaches = !expansion.accounts.is_empty() || !expansion.elsewhere.is_empty();
        Ok(if reaches { Recipient::Group(Arc::new(expansion)) } else { Recipient::Unknown })
    }

    async fn returned(&self, address: &EmailAddress) -> Result<Recipient> {
        let key = self.srs_key().await?;
        let Some(sender) = srs::sender(&key, address, self.now()) else { return Ok(Recipient::Unknown) };
        Ok(match self.keeper(address).await? {
            Some(keeper) => Recipient::Back(Arc::new(Return { sender, keeper })),
            None => Recipient::Unknown,
        })
    }

    /// The account whose queue mail is in that is nobody's of ours: the postmaster's of the domain, or the first one.
    pub(crate) async fn keeper(&self, address: &EmailAddress) -> Result<Option<AccountId>> {
        if let Ok(postmaster) = format!("{POSTMASTER}@{}", address.domain()).parse()
            && let Some((_, account)) = self.named(&postmaster).await?
        {
            return Ok(Some(account));
        }
        Ok(self.parts.directory.accounts(None, 1).await?.first().map(|account| account.id))
    }

    pub(crate) async fn srs_key(&self) -> Result<[u8; 32]> {
        let fresh = random::bytes(&*self.parts.random);
        Ok(self.parts.directory.secret("srs", fresh).await?)
    }

    /// Whether the account or its domain has no room, or none for so many bytes.
    pub(crate) async fn is_full(&self, account: &Account, size_bytes: u64) -> Result<bool> {
        if self.is_domain_full(&account.email.domain_key(), size_bytes).await? {
            return Ok(true);
        }
        let Some(quota_bytes) = account.quota_bytes else {
            return Ok(false);
        };
        let state = self.latest(account.id).await?.account(account.id).await?;
        let used_bytes = state.map_or(0, |state| state.used_bytes);
        Ok(used_bytes >= quota_bytes || used_bytes.saturating_add(size_bytes) > quota_bytes)
    }

    /// How large a mail may be at most for this account: its own limit, its domain's, or everybody's.
    pub async fn message_limit(&self, account: AccountId) -> Result<u64> {
        let everybodys = self.config().max_message_bytes;
        let Some(account) = self.parts.directory.account(account).await? else { return Ok(everybodys) };
        let mut subjects = account.email.keys();
        subjects.extend(address::domain_keys(account.email.domain()));
        let own = self.parts.directory.message_limit(&subjects).await?;
        Ok(own.map_or(everybodys, |own| own.min(everybodys)))
    }
}
