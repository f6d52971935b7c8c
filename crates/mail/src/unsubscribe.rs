//! Leaving the list that a message came from (RFC 2369 §3.2): by one click (RFC 8058), by a mail, or on a page.

use message::{MailTo, Unsubscribe as Named, is_one_click, unsubscribe as named};
use types::{
    Address, EmailAddress, MessageId, Role, Url,
    api::{Auth, Compose, Message, Unsubscribe},
};

use crate::{Access, Error, Result, authenticity};

/// The best of the ways that a mail names.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    OneClick(Url),
    Mail(MailTo),
    Page(String),
}

const UNSUBSCRIBE: &str = "List-Unsubscribe";
const POST: &str = "List-Unsubscribe-Post";

impl Way {
    /// Its author decides where the reader's wish goes, so it has to be its author's mail.
    fn of(headers: &[(String, String)], auth: Option<&Auth>, hostname: &str) -> Option<Self> {
        if auth.is_some_and(|auth| auth.dmarc == "fail") {
            return None;
        }
        // One at the most (RFC 2369 §2); a signature might cover another than the one that is read.
        let field = |wanted: &str| {
            let mut fields = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            fields.next().filter(|_| fields.next().is_none()).map(|(_, value)| value.as_str())
        };
        let mut ways = named(field(UNSUBSCRIBE)?);
        let may_click = auth.is_some()
            && field(POST).is_some_and(is_one_click)
            && authenticity::is_signed(headers, hostname, &[UNSUBSCRIBE, POST]);
        let rank = |way: &Named| match way {
            Named::Https(_) if may_click => 0,
            Named::Mail(_) => 1,
            Named::Https(_) => 2,
            Named::Http(_) => 3,
        };
        // The list's order among those of a kind.
        ways.sort_by_key(rank);
        Some(match ways.into_iter().next()? {
            Named::Https(url) if may_click => Self::OneClick(url),
            Named::Https(url) => Self::Page(url.to_string()),
            Named::Http(url) => Self::Page(url),
            Named::Mail(mail) => Self::Mail(mail),
        })
    }
}

/// How the API says it.
pub(crate) fn offered(
    headers: &[(String, String)],
    auth: Option<&Auth>,
    hostname: &str,
) -> Option<Unsubscribe> {
    Some(match Way::of(headers, auth, hostname)? {
        Way::OneClick(url) => Unsubscribe::OneClick { host: url.authority() },
        Way::Mail(mail) => Unsubscribe::Mail { address: mail.to.to_string() },
        Way::Page(url) => Unsubscribe::Page { url },
    })
}

impl Access {
    /// Leaves the list that a message came from. Where that is done by mail, the mail is on its way when this returns;
    /// else this is where [`message::ONE_CLICK`] is to be posted.
    pub async fn unsubscribe(&self, id: MessageId) -> Result<Option<Url>> {
        let message = self.message(id).await?;
        let folder = self.service.latest(self.id).await?.mailbox(self.id, message.summary.folder_id).await?;
        let role = folder.and_then(|folder| folder.role);
        if let Some(role @ (Role::Junk | Role::Sent | Role::Drafts)) = role {
            // Who answers spam tells that somebody reads it.
            return Err(Error::Conflict(format!("no list is left by a message in {}", role.name())));
        }
        match Way::of(&message.headers, message.auth.as_ref(), &self.service.config().hostname) {
            Some(Way::OneClick(url)) => {
                self.limit_sends(1).await?;
                Ok(Some(url))
            }
            Some(Way::Mail(mail)) => {
                self.compose(self.farewell(&message, mail).await?).await?;
                Ok(None)
            }
            Some(Way::Page(url)) => {
                Err(Error::Conflict(format!("this list can only be left on its page: {url}")))
            }
            None => Err(Error::Conflict("this message does not say how to leave a list".into())),
        }
    }

    async fn farewell(&self, message: &Message, mail: MailTo) -> Result<Compose> {
        let subject = if mail.subject.is_empty() { "unsubscribe".to_owned() } else { mail.subject };
        Ok(Compose {
            from: self.addressee(message).await?.map(|address| address.to_string()),
            to: vec![Address { name: String::new(), email: mail.to.to_string() }],
            subject,
            text: Some(mail.body),
            ..Compose::default()
        })
    }

    /// The address of the account that the list knows: the one it wrote to.
    async fn addressee(&self, message: &Message) -> Result<Option<EmailAddress>> {
        for address in message.summary.to.iter().chain(&message.cc).take(MAX_ADDRESSEES) {
            if let Ok(address) = address.email.parse()
                && self.may_send_as(&address).await?
            {
                return Ok(Some(address));
            }
        }
        Ok(None)
    }
}

/// A list writes to one.
const MAX_ADDRESSEES: usize = 10;
