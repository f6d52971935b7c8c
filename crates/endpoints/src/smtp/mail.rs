//! The mail service as what stands behind SMTP sessions.

use std::net::IpAddr;

use ::mail::{Access, Client, Error, Recipient, Service};
use async_trait::async_trait;
use types::{AccountId, EmailAddress, MessageId, QueueId, Secret, address};

use super::{Incoming, Mta, Refusal, Submission};

#[async_trait]
impl Mta for Service {
    type Recipient = AccountId;
    type Principal = Access;

    fn new_id(&self) -> MessageId {
        Self::new_id(self)
    }

    async fn recipient(&self, address: &EmailAddress) -> Result<AccountId, Refusal> {
        match Self::recipient(self, address).await.map_err(refusal)? {
            Recipient::Local(account) => Ok(account),
            Recipient::Unknown => Err(Refusal::UnknownRecipient),
            Recipient::Full => Err(Refusal::MailboxFull),
            Recipient::Elsewhere => Err(Refusal::NotLocal),
        }
    }

    /// Of the domain that the server's name belongs to; if that is not ours, of the first that is.
    async fn postmaster(&self) -> Result<EmailAddress, Refusal> {
        let domains = self.admin().domains().await.map_err(refusal)?;
        let hostname = address::fold(&self.config().hostname);
        let own = domains
            .iter()
            .filter(|domain| is_within(&hostname, &domain.name))
            .max_by_key(|domain| domain.name.len())
            .or(domains.first())
            .ok_or(Refusal::UnknownRecipient)?;
        format!("postmaster@{}", own.name).parse().map_err(|_| Refusal::UnknownRecipient)
    }

    async fn authenticate(&self, user: &str, password: &Secret, client: IpAddr) -> Result<Access, Refusal> {
        let client = Client { ip: Some(client), name: "SMTP".to_owned() };
        Self::authenticate(self, user, password, &client).await.map_err(refusal)
    }

    async fn may_send_as(&self, principal: &Access, sender: &EmailAddress) -> Result<bool, Refusal> {
        principal.may_send_as(sender).await.map_err(refusal)
    }

    async fn receive(&self, mail: Incoming<AccountId>) -> Result<MessageId, Refusal> {
        let Incoming { id, return_path, recipients, raw } = mail;
        self.deliver(::mail::Incoming { id, return_path, recipients, raw }).await.map_err(refusal)?;
        Ok(id)
    }

    async fn submit(&self, principal: &Access, mail: Submission) -> Result<MessageId, Refusal> {
        let Submission { id, return_path, recipients, raw } = mail;
        let submission = ::mail::Submission { id: QueueId(id.0), return_path, recipients, raw };
        principal.submit(submission).await.map_err(refusal)?;
        Ok(id)
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What a client is told of an error; the cause is logged.
fn refusal(error: Error) -> Refusal {
    match error {
        Error::Credentials | Error::Unauthenticated => Refusal::Credentials,
        Error::Limited { .. } => Refusal::TooMany,
        Error::Forbidden(_) => Refusal::ForeignSender,
        Error::TooLarge(_) => Refusal::TooLarge,
        Error::Quota => Refusal::MailboxFull,
        Error::Invalid { detail, .. } | Error::Conflict(detail) => Refusal::Rejected(detail),
        Error::Full(_) => {
            tracing::error!(error = &error as &dyn std::error::Error, "mail not taken");
            Refusal::NoRoom
        }
        Error::Storage(_) | Error::Internal(_) | Error::NotFound(_) | Error::Cursor => {
            tracing::error!(error = &error as &dyn std::error::Error, "mail not taken");
            Refusal::Unavailable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_within_its_domains() {
        let check = |name, domain, wanted| assert_eq!(is_within(name, domain), wanted, "{name} {domain}");
        check("mail.example.com", "example.com", true);
        check("example.com", "example.com", true);
        check("notexample.com", "example.com", false);
        check("example.com", "mail.example.com", false);
    }
}
