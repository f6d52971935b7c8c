//! Where mail comes from and goes to.

use std::time::Duration;

use mail::Rate;
use smtp::{BodyType, By, ForwardPath, Hold, Mail, Rcpt, Reply, ReversePath};
use types::{DeliverBy, EmailAddress, RecipientTerms, Terms, Timestamp};

use super::{Content, Recipients, Session, Transaction};
use crate::smtp::{Kind, Mta, Refusal};

impl<M: Mta> Session<M> {
    pub(super) async fn mail(&mut self, mail: Mail) -> Result<Reply, Refusal> {
        let size = mail.size.unwrap_or_default();
        let recipients = match self.kind {
            Kind::Mx => {
                self.check_client().await?;
                Recipients::Local(Vec::new())
            }
            Kind::Lmtp => Recipients::Local(Vec::new()),
            Kind::Submission | Kind::Submissions => {
                let principal = self.principal.as_ref().ok_or(Refusal::Credentials)?;
                // Who may send no more hears that first.
                let limit = self.mta.sender_limit(principal).await?;
                // RFC 6409 §6.1. The null path is for notifications, which programs may send.
                if let ReversePath::Mailbox(sender) = &mail.reverse_path
                    && !self.mta.may_send_as(principal, sender).await?
                {
                    return Err(Refusal::ForeignSender);
                }
                if size > limit {
                    return Err(Refusal::TooLarge);
                }
                Recipients::Anywhere(Vec::new())
            }
        };
        let now = self.settings.clock.now();
        let not_before = mail.hold.map(|hold| match hold {
            Hold::For(seconds) => now.plus(Duration::from_secs(u64::from(seconds))),
            Hold::Until(at) => at,
        });
        self.transaction = Some(Transaction {
            id: self.mta.new_id(),
            terms: terms(&mail, now),
            not_before,
            size: mail.size,
            binary: mail.body == Some(BodyType::BinaryMime),
            reverse_path: mail.reverse_path,
            utf8: mail.smtputf8,
            recipients,
            content: Content::Lost(Refusal::Unavailable),
        });
        Ok(Reply::new(250, (1, 0), "Sender ok"))
    }

    /// Another server must be welcome before it hands in anything.
    async fn check_client(&self) -> Result<(), Refusal> {
        if self.settings.policy.trusts(self.client) {
            return Ok(());
        }
        self.settings.policy.check_hello(self.engine.hello(), &self.settings.hostname, self.client)?;
        self.mta.check_rate(self.client, Rate::Mail).await
    }

    pub(super) async fn rcpt(&mut self, rcpt: Rcpt) -> Result<Reply, Refusal> {
        let Rcpt { forward_path, notify, original } = rcpt;
        let (address, to_postmaster) = match forward_path {
            ForwardPath::Mailbox(address) => {
                let to_postmaster = address.local().eq_ignore_ascii_case("postmaster");
                (address, to_postmaster)
            }
            ForwardPath::Postmaster => (self.mta.postmaster().await?, true),
        };
        // RFC 5321 §4.5.1: whoever is refused can ask the postmaster why.
        if self.kind == Kind::Mx && !to_postmaster && !self.settings.policy.trusts(self.client) {
            self.check_address().await?;
        }
        let (kind, client, mta) = (self.kind, self.client, &self.mta);
        let transaction = self.transaction.as_mut().ok_or(Refusal::Unavailable)?;
        let terms = RecipientTerms { notify, original };
        let size = transaction.size.unwrap_or_default();
        match &mut transaction.recipients {
            Recipients::Local(recipients) => {
                let recipient = mta.recipient(&address, size).await?;
                if transaction.reverse_path.mailbox().is_some() && mta.takes_only_notifications(&recipient) {
                    return Err(Refusal::OnlyNotifications);
                }
                let limit = mta.recipient_limit(&recipient).await?;
                if size > limit {
                    return Err(Refusal::TooLarge);
                }
                if kind == Kind::Mx && !self.settings.policy.trusts(client) {
                    mta.check_rate(client, Rate::To(&address)).await?;
                    let sender = transaction.reverse_path.mailbox();
                    if !to_postmaster && !mta.is_known(client, sender, &address).await {
                        return Err(Refusal::Unknown);
                    }
                }
                // In LMTP each gets an answer, also who is named twice.
                if kind == Kind::Lmtp || !recipients.iter().any(|known| known.address == address) {
                    recipients.push(super::Local { address, recipient, terms, limit });
                }
            }
            Recipients::Anywhere(recipients) => {
                // As other servers are told. Errors are counted the same way, so names are guessed no faster.
                if mta.is_nobody(&address).await {
                    return Err(Refusal::UnknownRecipient);
                }
                if !recipients.iter().any(|(known, _): &(EmailAddress, _)| *known == address) {
                    recipients.push((address, terms));
                }
            }
        }
        Ok(Reply::new(250, (1, 5), "Recipient ok"))
    }

    /// Asks the DNS once for each connection.
    async fn check_address(&mut self) -> Result<(), Refusal> {
        if self.verdict.is_none() {
            self.verdict = Some(self.settings.policy.check_address(self.client).await);
        }
        self.verdict.clone().unwrap_or(Ok(()))
    }
}

/// What is asked for the mail, with times in place of durations.
fn terms(mail: &Mail, now: Timestamp) -> Terms {
    let deliver_by = mail.by.map(|By { seconds, late, trace }| {
        let from_now = Duration::from_secs(seconds.unsigned_abs());
        let at = if seconds < 0 { now.minus(from_now) } else { now.plus(from_now) };
        DeliverBy { at, late, trace }
    });
    Terms {
        ret: mail.ret,
        envelope_id: mail.envelope_id.clone(),
        require_tls: mail.require_tls,
        utf8: mail.smtputf8,
        // It is the header that says so.
        tls_optional: false,
        priority: mail.priority.unwrap_or_default(),
        deliver_by,
    }
}
