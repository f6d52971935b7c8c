//! One client: what its commands mean, written straight down.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use smtp::{Action, Connection, Credentials, ForwardPath, Mail, Question, Rcpt, Reply, ReversePath};
use tokio::time::Instant;
use tracing::{info, warn};
use types::{EmailAddress, MessageId};

use super::budget::{Charge, Exhausted, Spool};
use super::door::Arrived;
use super::trace::{self, MAX_HOPS, Trace};
use super::{Incoming, Kind, Mta, Refusal, Settings, Submission};
use crate::net::{Conversation, Expects, Step};

/// The conversation with one SMTP client.
pub struct Session<M: Mta> {
    engine: Connection,
    kind: Kind,
    client: IpAddr,
    mta: Arc<M>,
    settings: Arc<Settings>,
    principal: Option<M::Principal>,
    transaction: Option<Transaction<M::Recipient>>,
}

/// A mail on its way in.
struct Transaction<R> {
    id: MessageId,
    reverse_path: ReversePath,
    utf8: bool,
    recipients: Recipients<R>,
    content: Content,
}

/// Where it goes.
enum Recipients<R> {
    /// To accounts here.
    Local(Vec<(EmailAddress, R)>),
    /// Wherever somebody who logged in wants.
    Anywhere(Vec<EmailAddress>),
}

enum Content {
    Spooled(Spooled),
    /// It cannot be taken any more.
    Lost(Refusal),
}

struct Spooled {
    spool: Spool,
    since: Instant,
    /// Length of the headers that this server has put in front.
    trace: usize,
}

impl<M: Mta> Session<M> {
    pub(super) fn new(
        engine: Connection,
        kind: Kind,
        client: IpAddr,
        mta: Arc<M>,
        settings: Arc<Settings>,
    ) -> Self {
        Self { engine, kind, client, mta, settings, principal: None, transaction: None }
    }

    async fn decide(&mut self, question: Question) -> Reply {
        let answer = match question {
            Question::Authenticate(credentials) => self.authenticate(credentials).await,
            Question::Mail(mail) => self.mail(mail).await,
            Question::Rcpt(rcpt) => self.rcpt(rcpt).await,
            Question::Begin => self.begin(),
            Question::Finish => self.finish().await,
        };
        answer.unwrap_or_else(|refusal| {
            let reply = refusal.reply();
            self.count_refusal(&reply);
            reply
        })
    }

    async fn authenticate(&mut self, credentials: Credentials) -> Result<Reply, Refusal> {
        let Credentials { user, password } = credentials;
        self.principal = Some(self.mta.authenticate(&user, &password, self.client).await?);
        Ok(Reply::new(235, (7, 0), "Welcome"))
    }

    async fn mail(&mut self, mail: Mail) -> Result<Reply, Refusal> {
        let recipients = match self.kind {
            Kind::Mx => Recipients::Local(Vec::new()),
            Kind::Submission | Kind::Submissions => {
                let principal = self.principal.as_ref().ok_or(Refusal::Credentials)?;
                // RFC 6409 §6.1. The null path is for notifications, which programs may send.
                if let ReversePath::Mailbox(sender) = &mail.reverse_path
                    && !self.mta.may_send_as(principal, sender).await?
                {
                    return Err(Refusal::ForeignSender);
                }
                Recipients::Anywhere(Vec::new())
            }
        };
        self.transaction = Some(Transaction {
            id: self.mta.new_id(),
            reverse_path: mail.reverse_path,
            utf8: mail.smtputf8,
            recipients,
            content: Content::Lost(Refusal::Unavailable),
        });
        Ok(Reply::new(250, (1, 0), "Sender ok"))
    }

    async fn rcpt(&mut self, rcpt: Rcpt) -> Result<Reply, Refusal> {
        let address = match rcpt.forward_path {
            ForwardPath::Mailbox(address) => address,
            ForwardPath::Postmaster => self.mta.postmaster().await?,
        };
        let transaction = self.transaction.as_mut().ok_or(Refusal::Unavailable)?;
        match &mut transaction.recipients {
            Recipients::Local(recipients) => {
                let recipient = self.mta.recipient(&address).await?;
                if !recipients.iter().any(|(known, _)| *known == address) {
                    recipients.push((address, recipient));
                }
            }
            Recipients::Anywhere(recipients) => {
                if !recipients.contains(&address) {
                    recipients.push(address);
                }
            }
        }
        Ok(Reply::new(250, (1, 5), "Recipient ok"))
    }

    /// Puts the trace headers first, so that nothing has to be moved when the content is whole.
    fn begin(&mut self) -> Result<Reply, Refusal> {
        let transaction = self.transaction.as_mut().ok_or(Refusal::Unavailable)?;
        let (recipient, mut headers) = match &transaction.recipients {
            Recipients::Local(recipients) => {
                let only = if let [(only, _)] = recipients.as_slice() { Some(only) } else { None };
                (only, trace::return_path(&transaction.reverse_path))
            }
            Recipients::Anywhere(recipients) => {
                (if let [only] = recipients.as_slice() { Some(only) } else { None }, String::new())
            }
        };
        let trace = Trace {
            hello: self.engine.hello(),
            client: self.client,
            hostname: &self.settings.hostname,
            secure: self.engine.is_secure(),
            authenticated: self.engine.is_authenticated(),
            utf8: transaction.utf8,
            id: transaction.id,
            recipient,
            at: self.settings.clock.now(),
        };
        headers.push_str(&trace.received());
        let mut spool = Spool::new(&self.settings.budget, self.client);
        spool.push(headers.as_bytes()).map_err(no_room)?;
        transaction.content =
            Content::Spooled(Spooled { spool, since: Instant::now(), trace: headers.len() });
        Ok(Reply::new(250, (0, 0), "Ok"))
    }

    fn content(&mut self, bytes: &Bytes) {
        if let Some(Transaction { content, .. }) = &mut self.transaction
            && let Content::Spooled(Spooled { spool, .. }) = content
            && spool.push(bytes).is_err()
        {
            *content = Content::Lost(Refusal::NoRoom);
        }
    }

    /// Gives up content that has been coming for too long, be it in many small chunks (RFC 3030).
    fn expire(&mut self) {
        if let Some(Transaction { content, .. }) = &mut self.transaction
            && let Content::Spooled(Spooled { since, .. }) = content
            && since.elapsed() > self.settings.content_within
        {
            *content = Content::Lost(Refusal::TooSlow);
        }
    }

    async fn finish(&mut self) -> Result<Reply, Refusal> {
        let transaction = self.transaction.take().ok_or(Refusal::Unavailable)?;
        let Spooled { mut spool, trace, .. } = match transaction.content {
            Content::Spooled(spooled) => spooled,
            Content::Lost(refusal) => return Err(refusal),
        };
        if matches!(transaction.recipients, Recipients::Anywhere(_)) {
            let Settings { hostname, clock, .. } = &*self.settings;
            let fields = trace::missing_fields(spool.content(), transaction.id, hostname, clock.now());
            spool.insert(trace, fields.as_bytes()).map_err(no_room)?;
        }
        let (raw, charge): (Bytes, Charge) = spool.finish();
        if trace::hops(&raw) > MAX_HOPS + 1 {
            let reply = Reply::new(554, (4, 6), "The mail goes in circles");
            self.count_refusal(&reply);
            return Ok(reply);
        }
        let raw = match self
            .check(&transaction.recipients, &transaction.reverse_path, transaction.id, raw, trace)
            .await
        {
            Ok(raw) => raw,
            Err(reply) => {
                info!(id = %transaction.id, client = %self.client, %reply, "mail refused at the door");
                self.count_refusal(&reply);
                return Ok(reply);
            }
        };
        let (id, size) = (transaction.id, raw.len());
        let return_path = transaction.reverse_path.mailbox().cloned();
        let taken = match transaction.recipients {
            Recipients::Local(recipients) => {
                self.mta.receive(Incoming { id, return_path, recipients, raw }).await
            }
            Recipients::Anywhere(recipients) => {
                let principal = self.principal.as_ref().ok_or(Refusal::Credentials)?;
                self.mta.submit(principal, Submission { id, return_path, recipients, raw }).await
            }
        };
        drop(charge);
        match &taken {
            Ok(message) => {
                metrics::counter!("magpie_smtp_messages_total", "listener" => self.kind.name()).increment(1);
                info!(%id, %message, size_bytes = size, "mail accepted");
            }
            Err(refusal) => warn!(%id, size_bytes = size, %refusal, "mail refused"),
        }
        Ok(Reply::new(250, (0, 0), "").with_text(format!("Accepted as {}", taken?)))
    }

    /// Mail from other servers is checked before it is accepted.
    async fn check(
        &self,
        recipients: &Recipients<M::Recipient>,
        path: &ReversePath,
        id: MessageId,
        raw: Bytes,
        trace: usize,
    ) -> Result<Bytes, Reply> {
        let (Recipients::Local(recipients), Some(door)) = (recipients, &self.settings.door) else {
            return Ok(raw);
        };
        let arrived = Arrived {
            id,
            client: self.client,
            hello: self.engine.hello().map(|hello| hello.name.as_str().to_owned()),
            sender: path.mailbox(),
            recipients: recipients.iter().map(|(address, _)| address.clone()).collect(),
            raw,
            trace,
        };
        door.check(arrived).await
    }

    fn count_refusal(&self, reply: &Reply) {
        let code = reply.code().to_string();
        metrics::counter!("magpie_smtp_refusals_total", "listener" => self.kind.name(), "code" => code)
            .increment(1);
    }
}

fn no_room(_: Exhausted) -> Refusal {
    Refusal::NoRoom
}

impl<M: Mta> Conversation for Session<M> {
    fn receive(&mut self, bytes: &[u8]) {
        self.expire();
        self.engine.receive(bytes);
    }

    async fn next(&mut self) -> Step {
        loop {
            match self.engine.next() {
                Action::Read => return Step::Read,
                Action::Write(bytes) => return Step::Write(bytes),
                Action::StartTls => return Step::StartTls,
                Action::Close => return Step::Close,
                Action::Content(bytes) => self.content(&bytes),
                Action::Abandon => self.transaction = None,
                Action::Ask(question) => {
                    let reply = self.decide(question).await;
                    self.engine.reply(&reply);
                }
            }
        }
    }

    fn expects(&self) -> Expects {
        match self.engine.expects() {
            smtp::Expects::Command => Expects::Command,
            smtp::Expects::Content => Expects::Content,
        }
    }

    fn tls_started(&mut self) {
        self.principal = None;
        self.transaction = None;
        self.engine.tls_started();
    }

    fn drain(&mut self) {
        self.engine.drain();
    }

    fn time_out(&mut self) {
        self.engine.time_out();
    }
}
