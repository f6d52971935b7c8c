//! The mail service as what stands behind SMTP sessions.

use std::net::IpAddr;

use ::mail::{
    Access, Addressee, Certificate, Challenge, Client, Destination, Error, Offence, Rate, Recipient, Service,
};
use async_trait::async_trait;
use sasl::{Keys, Mechanism};
use types::{EmailAddress, MessageId, QueueId, Secret, address};

use super::{Incoming, Mta, Refusal, Submission};

#[async_trait]
impl Mta for Service {
    type Recipient = Destination;
    type Principal = Access;
    type Challenge = Challenge;

    fn new_id(&self) -> MessageId {
        Self::new_id(self)
    }

    async fn recipient(&self, address: &EmailAddress, size_bytes: u64) -> Result<Destination, Refusal> {
        match self.recipient_of(address, size_bytes).await.map_err(refusal)? {
            Recipient::Local(account) => Ok(Destination::Account(account)),
            Recipient::Group(group) => Ok(Destination::Group(group)),
            Recipient::Back(back) => Ok(Destination::Back(back)),
            Recipient::Crowd => Err(Refusal::GroupTooLarge),
            Recipient::Unknown => Err(Refusal::UnknownRecipient),
            Recipient::Changing => Err(Refusal::Unavailable),
            Recipient::Full => Err(Refusal::MailboxFull),
            Recipient::Elsewhere => Err(Refusal::NotLocal),
        }
    }

    async fn is_nobody(&self, address: &EmailAddress) -> bool {
        Self::is_nobody(self, address).await
    }

    fn takes_only_notifications(&self, recipient: &Destination) -> bool {
        matches!(recipient, Destination::Back(_))
    }

    async fn recipient_limit(&self, recipient: &Destination) -> Result<u64, Refusal> {
        match recipient {
            Destination::Account(account) => self.message_limit(*account).await.map_err(refusal),
            Destination::Group(group) => self.message_limit(group.owner).await.map_err(refusal),
            Destination::Back(_) => Ok(self.config().max_message_bytes),
        }
    }

    /// Of the domain that the server's name belongs to; if that is not ours, of the first that is.
    async fn postmaster(&self) -> Result<EmailAddress, Refusal> {
        let domains = self.admin().domains().await.map_err(refusal)?;
        let hostname = address::domain_key(&self.config().hostname);
        let own = domains
            .iter()
            .filter(|domain| is_within(&hostname, &address::domain_key(&domain.name)))
            .max_by_key(|domain| domain.name.len())
            .or(domains.first())
            .ok_or(Refusal::UnknownRecipient)?;
        format!("postmaster@{}", own.name).parse().map_err(|_| Refusal::UnknownRecipient)
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        Self::mechanisms(self)
    }

    async fn authenticate(&self, user: &str, password: &Secret, client: IpAddr) -> Result<Access, Refusal> {
        Self::authenticate(self, user, password, &named(client)).await.map_err(refusal)
    }

    async fn authenticate_token(
        &self,
        user: Option<&str>,
        token: &Secret,
        client: IpAddr,
    ) -> Result<Access, Refusal> {
        self.access_as(user, token, &named(client)).await.map_err(refusal)
    }

    async fn authenticate_certified(
        &self,
        certificate: &Certificate,
        named: Option<&str>,
        client: IpAddr,
    ) -> Result<Access, Refusal> {
        self.certified(certificate, named, &self::named(client)).await.map_err(refusal)
    }

    async fn challenge(&self, user: &str, client: IpAddr) -> Result<(Vec<Keys>, String, Challenge), Refusal> {
        let challenge = Self::challenge(self, user, &named(client)).await.map_err(refusal)?;
        Ok((challenge.keys(), challenge.nonce.clone(), challenge))
    }

    async fn proven(&self, challenge: Challenge, which: usize) -> Result<Access, Refusal> {
        Self::proven(self, challenge, which).await.map_err(refusal)
    }

    fn address(&self, principal: &Access) -> EmailAddress {
        principal.email().clone()
    }

    async fn sender_limit(&self, principal: &Access) -> Result<u64, Refusal> {
        if !principal.is_still_theirs().await {
            return Err(Refusal::Ended);
        }
        self.message_limit(principal.id()).await.map_err(refusal)
    }

    async fn may_send_as(&self, principal: &Access, sender: &EmailAddress) -> Result<bool, Refusal> {
        principal.may_post_as(sender).await.map_err(refusal)
    }

    async fn receive(&self, mail: Incoming<Destination>) -> Result<MessageId, Refusal> {
        let Incoming { id, return_path, recipients, terms, raw } = mail;
        let addressee = |(address, to, terms)| Addressee { address, to, terms };
        let recipients = recipients.into_iter().map(addressee).collect();
        self.deliver(::mail::Incoming { id, return_path, recipients, terms, raw }).await.map_err(refusal)?;
        Ok(id)
    }

    async fn submit(&self, principal: &Access, mail: Submission) -> Result<MessageId, Refusal> {
        let Submission { id, return_path, recipients, terms, not_before, raw } = mail;
        let submission =
            ::mail::Submission { id: QueueId(id.0), return_path, recipients, terms, not_before, raw };
        principal.submit(submission).await.map_err(|error| match error {
            Error::Unauthenticated => Refusal::Ended,
            error => refusal(error),
        })?;
        Ok(id)
    }

    async fn is_banned(&self, client: IpAddr) -> bool {
        Self::is_banned(self, client).await
    }

    async fn blame(&self, client: IpAddr, offence: Offence) {
        Self::blame(self, client, offence).await;
    }

    async fn check_rate(&self, client: IpAddr, rate: Rate<'_>) -> Result<(), Refusal> {
        Self::check_rate(self, client, rate).await.map_err(|_| Refusal::Slower)
    }

    async fn is_known(
        &self,
        client: IpAddr,
        sender: Option<&EmailAddress>,
        recipient: &EmailAddress,
    ) -> bool {
        Self::is_known(self, client, sender, recipient).await
    }
}

fn named(client: IpAddr) -> Client {
    Client { ip: Some(client), name: "SMTP".to_owned() }
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
        Error::Circle => Refusal::Circle,
        Error::Invalid { detail, .. } | Error::Conflict(detail) => Refusal::Rejected(detail),
        Error::Full(_) => {
            error.log("mail not taken");
            Refusal::NoRoom
        }
        Error::Storage(_) | Error::Internal(_) | Error::NotFound(_) | Error::Cursor => {
            error.log("mail not taken");
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
