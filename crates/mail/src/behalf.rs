//! Sending in another's name: who has the right to post to somebody's inbox may write as them, and says so.
//!
//! The mail is the sender's own in every other respect: it counts as theirs and is in their queue. `Sender` names them
//! (RFC 5322 §3.6.2).

use bytes::Bytes;
use message::Authorship;
use storage::{Account, Snapshot};
use types::{EmailAddress, Rights, Role};

use crate::{Access, Error, Result};

impl Access {
    /// Whether the account may send under this address: its own ([`Access::may_send_as`]), or another's.
    pub async fn may_post_as(&self, address: &EmailAddress) -> Result<bool> {
        Ok(self.may_send_as(address).await? || self.in_name_of(address).await?.is_some())
    }

    /// The account whose address this is, if it lets this one write in its name.
    pub(crate) async fn in_name_of(&self, address: &EmailAddress) -> Result<Option<Account>> {
        let directory = &self.service.parts.directory;
        let separator = self.service.config().subaddress_separator;
        let untagged =
            separator.and_then(|separator| address.split_tag(separator)).map(|(untagged, _)| untagged);
        for address in [Some(address), untagged.as_ref()].into_iter().flatten() {
            let Some(owner) = directory.resolve(address).await?.filter(|owner| *owner != self.id) else {
                continue;
            };
            // The address of a group is not its owner's alone.
            if directory.group(address).await?.is_some() {
                return Ok(None);
            }
            let Some(grantee) = self.as_grantee().await? else { return Ok(None) };
            let mut grants = self.granted_by(owner, grantee).await?;
            grants.retain(|grant| grant.rights.contains(Rights::POST));
            if grants.is_empty() {
                return Ok(None);
            }
            let look = |mut shard: Box<dyn Snapshot>| async move {
                let all = shard.mailboxes(owner).await?;
                Ok(all.into_iter().find(|mailbox| mailbox.role == Some(Role::Inbox)))
            };
            let inbox = self.service.look(owner, look).await?;
            let is_granted = inbox.is_some_and(|inbox| grants.iter().any(|grant| grant.mailbox == inbox.id));
            let account = if is_granted { directory.account(owner).await? } else { None };
            return Ok(account.filter(|account| account.enabled));
        }
        Ok(None)
    }

    /// RFC 6409 §6.1: everybody in From must be the account's own or let it write in their name, and Sender must be its
    /// own. What names nobody is nobody's; what is no list of mailboxes names different people to different programs.
    /// True if a Sender is missing that says who really sent it.
    pub(crate) async fn check_authors(&self, raw: &[u8]) -> Result<bool> {
        let Authorship { authors, senders } =
            message::authorship(raw).map_err(|wrong| Error::invalid("from", wrong.to_string()))?;
        if authors.is_empty() {
            return Err(Error::Forbidden(format!("{} does not write as nobody", self.email)));
        }
        let refused = |author: &str| Error::Forbidden(format!("{} does not write as {author}", self.email));
        for sender in &senders {
            let address: EmailAddress = sender.parse().map_err(|_| refused(sender))?;
            if !self.may_send_as(&address).await? {
                return Err(refused(sender));
            }
        }
        let mut lacks_sender = false;
        for author in &authors {
            let address: EmailAddress = author.parse().map_err(|_| refused(author))?;
            if self.may_send_as(&address).await? {
                continue;
            }
            if self.in_name_of(&address).await?.is_none() {
                return Err(refused(author));
            }
            lacks_sender = senders.is_empty();
        }
        Ok(lacks_sender)
    }

    /// The mail with a Sender on top.
    pub(crate) fn with_sender(&self, raw: &[u8]) -> Bytes {
        let field = format!("Sender: <{}>\r\n", self.email);
        [field.as_bytes(), raw].concat().into()
    }
}
