//! One client: what its commands mean, written straight down.

mod content;
mod envelope;
mod login;

use std::net::IpAddr;
use std::sync::Arc;

use mail::{Certificate, Offence};
use smtp::{Action, Connection, Question, Reply, ReversePath};
use tokio::time::{Instant, sleep};
use types::{EmailAddress, MessageId, RecipientTerms, Terms, Timestamp};

use self::content::Answer;
use super::{Kind, Mta, Refusal, Settings};
use crate::budget::Spool;
use crate::net::{Conversation, Expects, Peer, Security, Step};

/// The conversation with one SMTP client.
pub struct Session<M: Mta> {
    engine: Connection,
    kind: Kind,
    client: IpAddr,
    /// The client's.
    certificate: Arc<Certificate>,
    mta: Arc<M>,
    settings: Arc<Settings>,
    principal: Option<M::Principal>,
    /// What somebody who logs in is about to prove.
    challenge: Option<M::Challenge>,
    transaction: Option<Transaction<M::Recipient>>,
    /// What the DNS says of the client, once it was asked.
    verdict: Option<Result<(), Refusal>>,
    /// Errors that were answered.
    errors: u32,
    /// It spoke before the greeting, or had too many errors, and is yet to be blamed for it.
    blamable: bool,
}

/// A mail on its way in.
struct Transaction<R> {
    id: MessageId,
    reverse_path: ReversePath,
    terms: Terms,
    not_before: Option<Timestamp>,
    /// What the client said of its size.
    size: Option<u64>,
    /// Its content may be any bytes (RFC 3030 §3).
    binary: bool,
    utf8: bool,
    recipients: Recipients<R>,
    content: Content,
}

/// Where it goes.
enum Recipients<R> {
    /// To accounts here.
    Local(Vec<Local<R>>),
    /// Wherever somebody who logged in wants.
    Anywhere(Vec<(EmailAddress, RecipientTerms)>),
}

struct Local<R> {
    address: EmailAddress,
    recipient: R,
    terms: RecipientTerms,
    /// Bytes of a mail that it takes.
    limit: u64,
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

const TOO_EARLY: Reply = Reply::new(554, (7, 1), "The greeting comes first");

impl<M: Mta> Session<M> {
    pub(super) fn new(
        mut engine: Connection,
        kind: Kind,
        peer: Peer,
        mta: Arc<M>,
        settings: Arc<Settings>,
    ) -> Self {
        if peer.early {
            engine.turn_away(&TOO_EARLY);
        }
        Self {
            engine,
            kind,
            client: peer.address.ip(),
            certificate: peer.security.certificate,
            mta,
            settings,
            principal: None,
            challenge: None,
            transaction: None,
            verdict: None,
            errors: 0,
            blamable: peer.early,
        }
    }

    /// Answers the engine.
    async fn decide(&mut self, question: Question) {
        let answer = match question {
            Question::Authenticate(asked) => match self.authenticate(asked).await {
                Ok(None) => return,
                Ok(Some(reply)) => Ok(Answer::One(reply)),
                Err(refusal) => Err(refusal),
            },
            Question::Mail(mail) => self.mail(mail).await.map(Answer::One),
            Question::Rcpt(rcpt) => self.rcpt(rcpt).await.map(Answer::One),
            Question::Begin => self.begin().map(Answer::One),
            Question::Finish => self.finish().await,
        };
        match answer {
            Ok(Answer::One(reply)) => self.engine.reply(&reply),
            Ok(Answer::Each(replies)) => self.engine.reply_each(&replies),
            Err(refusal) => {
                let reply = refusal.reply();
                self.count_refusal(&reply);
                self.engine.reply(&reply);
            }
        }
    }

    /// Before something is said: errors are answered more slowly the more there are.
    async fn hesitate(&mut self) {
        let fresh = self.engine.errors().saturating_sub(self.errors);
        self.errors = self.engine.errors();
        let delay = self.settings.policy.delay(self.errors) * fresh;
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    /// Before the end.
    async fn settle_up(&mut self) {
        if std::mem::take(&mut self.blamable) || self.engine.errors() > self.settings.limits.errors {
            self.mta.blame(self.client, Offence::Abuse).await;
        }
    }

    fn count_refusal(&self, reply: &Reply) {
        let code = reply.code().to_string();
        metrics::counter!("magpie_smtp_refusals_total", "listener" => self.kind.name(), "code" => code)
            .increment(1);
    }
}

impl<M: Mta> Conversation for Session<M> {
    fn receive(&mut self, bytes: &[u8]) {
        self.expire();
        self.engine.receive(bytes);
    }

    async fn next(&mut self) -> Step {
        loop {
            let action = self.engine.next();
            self.failed_proof().await;
            match action {
                Action::Read => return Step::Read,
                Action::Write(bytes) => {
                    self.hesitate().await;
                    return Step::Write(bytes);
                }
                Action::StartTls => return Step::StartTls,
                Action::Close => {
                    self.settle_up().await;
                    return Step::Close;
                }
                Action::Content(bytes) => self.content(&bytes),
                Action::Abandon => self.transaction = None,
                Action::Ask(question) => self.decide(question).await,
            }
        }
    }

    fn expects(&self) -> Expects {
        match self.engine.expects() {
            smtp::Expects::Command => Expects::Command,
            smtp::Expects::Content => Expects::Content,
        }
    }

    fn tls_started(&mut self, security: Security) {
        self.principal = None;
        self.challenge = None;
        self.transaction = None;
        self.engine.tls_started(security.binding.map(sasl::Binding));
        self.certificate = security.certificate;
        self.engine.certify(self.certificate.is_of_use(self.settings.clock.now()));
    }

    fn drain(&mut self) {
        self.engine.drain();
    }

    fn time_out(&mut self) {
        self.engine.time_out();
    }
}
