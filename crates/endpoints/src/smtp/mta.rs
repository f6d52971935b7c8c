//! What stands behind a session: whoever has the mail.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use mail::{Certificate, Offence, Rate};
use sasl::{Keys, Mechanism};
use smtp::Reply;
use types::{EmailAddress, MessageId, RecipientTerms, Secret, Terms, Timestamp};

/// Takes mail in. The service implements it; tests have one in memory.
#[async_trait]
pub trait Mta: Send + Sync + 'static {
    /// What a local address leads to.
    type Recipient: Send + Sync + 'static;
    /// Somebody who logged in.
    type Principal: Send + Sync + 'static;
    /// What somebody is about to prove.
    type Challenge: Send + Sync + 'static;

    /// A fresh id for a transaction; it goes into `Received:`.
    fn new_id(&self) -> MessageId;

    /// Is there such a recipient here, with room for so many bytes?
    async fn recipient(&self, address: &EmailAddress, size_bytes: u64) -> Result<Self::Recipient, Refusal>;

    /// Is its domain ours, and it nobody's there? Whoever cannot tell says no: the queue finds out.
    async fn is_nobody(&self, address: &EmailAddress) -> bool {
        matches!(self.recipient(address, 0).await, Err(Refusal::UnknownRecipient))
    }

    /// Is this address only for what comes back, which has no sender?
    fn takes_only_notifications(&self, _recipient: &Self::Recipient) -> bool {
        false
    }

    /// How large a mail may be at most for this recipient.
    async fn recipient_limit(&self, recipient: &Self::Recipient) -> Result<u64, Refusal>;

    /// Who reads the mail for `<Postmaster>` (RFC 5321 §4.5.1).
    async fn postmaster(&self) -> Result<EmailAddress, Refusal>;

    /// By which mechanisms people may log in.
    fn mechanisms(&self) -> Vec<Mechanism> {
        Mechanism::ALL.to_vec()
    }

    /// Lets somebody in.
    async fn authenticate(
        &self,
        user: &str,
        password: &Secret,
        client: IpAddr,
    ) -> Result<Self::Principal, Refusal>;

    /// Lets somebody in who has a token.
    async fn authenticate_token(
        &self,
        user: Option<&str>,
        token: &Secret,
        client: IpAddr,
    ) -> Result<Self::Principal, Refusal>;

    /// Lets in whom a certificate names that is believed, if it is who they want to be.
    async fn authenticate_certified(
        &self,
        _certificate: &Certificate,
        _named: Option<&str>,
        _client: IpAddr,
    ) -> Result<Self::Principal, Refusal> {
        Err(Refusal::Credentials)
    }

    /// What somebody of this name has to prove, with a fresh nonce.
    async fn challenge(
        &self,
        user: &str,
        client: IpAddr,
    ) -> Result<(Vec<Keys>, String, Self::Challenge), Refusal>;

    /// Lets in whoever has proven to know the password of the keys of this index.
    async fn proven(&self, challenge: Self::Challenge, which: usize) -> Result<Self::Principal, Refusal>;

    /// Under which address they write.
    fn address(&self, principal: &Self::Principal) -> EmailAddress;

    /// How large a mail of theirs may be at most; an error if they may send none any more.
    async fn sender_limit(&self, principal: &Self::Principal) -> Result<u64, Refusal>;

    /// May they send under this address?
    async fn may_send_as(&self, principal: &Self::Principal, sender: &EmailAddress) -> Result<bool, Refusal>;

    /// Takes mail from another server. When it returns, the mail is durable.
    async fn receive(&self, mail: Incoming<Self::Recipient>) -> Result<MessageId, Refusal>;

    /// Takes mail to be sent. When it returns, the mail is durable.
    async fn submit(&self, principal: &Self::Principal, mail: Submission) -> Result<MessageId, Refusal>;

    /// Is this client kept out?
    async fn is_banned(&self, _client: IpAddr) -> bool {
        false
    }

    /// The client did something that it may not do often.
    async fn blame(&self, _client: IpAddr, _offence: Offence) {}

    /// Counts something of this client.
    async fn check_rate(&self, _client: IpAddr, _rate: Rate<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// May such a mail come at once? Who comes back later may.
    async fn is_known(
        &self,
        _client: IpAddr,
        _sender: Option<&EmailAddress>,
        _recipient: &EmailAddress,
    ) -> bool {
        true
    }
}

/// A mail for accounts here, with `Return-Path:` and `Received:` in front.
#[derive(Debug)]
pub struct Incoming<R> {
    pub id: MessageId,
    /// `None`: the null path, to which nothing is ever returned.
    pub return_path: Option<EmailAddress>,
    /// At least one.
    pub recipients: Vec<(EmailAddress, R, RecipientTerms)>,
    pub terms: Terms,
    pub raw: Bytes,
}

/// A mail from somebody here, with `Received:` in front.
#[derive(Debug)]
pub struct Submission {
    pub id: MessageId,
    pub return_path: Option<EmailAddress>,
    /// At least one.
    pub recipients: Vec<(EmailAddress, RecipientTerms)>,
    pub terms: Terms,
    /// Not to be sent before (RFC 4865).
    pub not_before: Option<Timestamp>,
    pub raw: Bytes,
}

/// Why not. What the client is told is [`Refusal::reply`]; causes are for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no such mailbox")]
    UnknownRecipient,
    /// Of a domain that is not ours: mail for it is taken from those who log in only.
    #[error("relaying denied")]
    NotLocal,
    /// Only some of its members would get the mail.
    #[error("the group is too large")]
    GroupTooLarge,
    #[error("only for notifications")]
    OnlyNotifications,
    #[error("the mailbox is full")]
    MailboxFull,
    #[error("wrong user or password")]
    Credentials,
    /// Who logged in is out meanwhile: the account was closed, or has another password.
    #[error("the session has ended")]
    Ended,
    /// Of a client, to log in or to send.
    #[error("too many attempts")]
    TooMany,
    #[error("not their address")]
    ForeignSender,
    #[error("too large")]
    TooLarge,
    /// It has been through here before, or through too many servers.
    #[error("the mail goes in circles")]
    Circle,
    /// Of a client, at the door.
    #[error("too much from there")]
    Slower,
    /// Somebody unknown is to come back later.
    #[error("greylisted")]
    Unknown,
    /// Kept out, for what it is or did.
    #[error("{0}")]
    KeptOut(&'static str),
    /// RFC 7372 §3.2: an address without a name, or with one that is not its own.
    #[error("no name")]
    NoName,
    /// On a list of those to be refused.
    #[error("listed by {0}")]
    Listed(String),
    /// Refused for what it is.
    #[error("{0}")]
    Rejected(String),
    /// The disk is full, or the memory for mails that are being received.
    #[error("no room")]
    NoRoom,
    /// The content did not come in time.
    #[error("too slow")]
    TooSlow,
    /// The storage does not answer, or fails.
    #[error("unavailable")]
    Unavailable,
}

impl Refusal {
    /// What the client is told.
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            Self::UnknownRecipient => Reply::new(550, (1, 1), "No such mailbox here"),
            Self::NotLocal => Reply::new(550, (7, 1), "Relaying denied"),
            Self::GroupTooLarge => Reply::new(550, (2, 4), "The group has more members than are served"),
            Self::OnlyNotifications => {
                Reply::new(550, (7, 1), "This address takes only notifications, from the null sender <>")
            }
            Self::MailboxFull => Reply::new(452, (2, 2), "The mailbox is full"),
            Self::Credentials => Reply::new(535, (7, 8), "Wrong user or password"),
            // Whoever comes again is asked to log in.
            Self::Ended => Reply::new(421, (7, 0), "Your session has ended, please log in again"),
            Self::TooMany => Reply::new(454, (7, 0), "Too many attempts, please try again later"),
            Self::ForeignSender => Reply::new(553, (7, 1), "The sender is not an address of yours"),
            Self::TooLarge => Reply::new(552, (3, 4), "The mail is too large"),
            Self::Circle => Reply::new(554, (4, 6), "The mail goes in circles"),
            Self::Slower => Reply::new(450, (7, 1), "Too much mail from there, please try again later"),
            Self::Unknown => Reply::new(450, (7, 1), "Please try again in a few minutes"),
            Self::KeptOut(why) => Reply::new(550, (7, 1), why),
            Self::NoName => {
                Reply::new(550, (7, 25), "Your address has no name in the DNS that leads back to it")
            }
            Self::Listed(zone) => {
                Reply::new(550, (7, 1), "").with_text(format!("Your address is on the list {zone}"))
            }
            Self::Rejected(why) => Reply::new(554, (7, 1), "").with_text(why.clone()),
            Self::NoRoom => Reply::new(452, (3, 1), "No room left, please try again later"),
            Self::TooSlow => Reply::new(451, (4, 2), "The mail took too long to arrive"),
            Self::Unavailable => Reply::new(451, (3, 0), "Not possible now, please try again later"),
        }
    }
}
