//! The mail itself: spooled as it comes, and handed over when it is whole.

use bytes::Bytes;
use smtp::Reply;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Content, Local, Recipients, Session, Spooled, Transaction};
use crate::budget::{Charge, Exhausted, Spool};
use crate::smtp::door::{Arrived, without_our_name};
use crate::smtp::trace::{self, MAX_HOPS, Trace};
use crate::smtp::{Incoming, Kind, Mta, Refusal, Submission};

/// What the end of a mail is answered with: one reply, or in LMTP one for each recipient.
pub(super) enum Answer {
    One(Reply),
    Each(Vec<Reply>),
}

impl<M: Mta> Session<M> {
    /// Puts the trace headers first, so that nothing has to be moved when the content is whole.
    pub(super) fn begin(&mut self) -> Result<Reply, Refusal> {
        let transaction = self.transaction.as_mut().ok_or(Refusal::Unavailable)?;
        let (recipient, mut headers) = match &transaction.recipients {
            Recipients::Local(recipients) => {
                let only = if let [only] = recipients.as_slice() { Some(&only.address) } else { None };
                (only, trace::return_path(&transaction.reverse_path))
            }
            Recipients::Anywhere(recipients) => {
                (if let [(only, _)] = recipients.as_slice() { Some(only) } else { None }, String::new())
            }
        };
        let trace = Trace {
            hello: self.engine.hello(),
            client: self.client,
            hostname: &self.settings.hostname,
            local: self.kind == Kind::Lmtp,
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

    pub(super) fn content(&mut self, bytes: &Bytes) {
        if let Some(Transaction { content, .. }) = &mut self.transaction
            && let Content::Spooled(Spooled { spool, .. }) = content
            && spool.push(bytes).is_err()
        {
            *content = Content::Lost(Refusal::NoRoom);
        }
    }

    /// Gives up content that has been coming for too long, be it in many small chunks (RFC 3030).
    pub(super) fn expire(&mut self) {
        if let Some(Transaction { content, .. }) = &mut self.transaction
            && let Content::Spooled(Spooled { since, .. }) = content
            && since.elapsed() > self.settings.content_within
        {
            *content = Content::Lost(Refusal::TooSlow);
        }
    }

    pub(super) async fn finish(&mut self) -> Result<Answer, Refusal> {
        let mut transaction = self.transaction.take().ok_or(Refusal::Unavailable)?;
        let lost = Content::Lost(Refusal::Unavailable);
        let Spooled { mut spool, trace, .. } = match std::mem::replace(&mut transaction.content, lost) {
            Content::Spooled(spooled) => spooled,
            Content::Lost(refusal) => return Err(refusal),
        };
        if let Recipients::Anywhere(_) = &transaction.recipients {
            let principal = self.principal.as_ref().ok_or(Refusal::Credentials)?;
            let author = self.mta.address(principal);
            let now = self.settings.clock.now();
            let hostname = &self.settings.hostname;
            let fields = trace::missing_fields(spool.content(), transaction.id, hostname, &author, now);
            spool.insert(trace, fields.as_bytes()).map_err(no_room)?;
        }
        let (raw, charge): (Bytes, Charge) = spool.finish();
        // What others send stays as it was signed; what is sent from here has no line that others need not take.
        let is_ours = matches!(transaction.recipients, Recipients::Anywhere(_));
        let lines = match transaction.binary {
            true => message::as_lines(&raw),
            false if is_ours => message::as_short_lines(&raw),
            false => None,
        };
        let raw = lines.map_or(raw, Bytes::from);
        // RFC 5321 §4.4: only the server of the final delivery says where a mail came from.
        let raw = match is_ours {
            true => message::without_fields(&raw, &["Return-Path"]).map_or(raw, Bytes::from),
            false => raw,
        };
        if trace::hops(&raw) > MAX_HOPS + 1 {
            return Err(Refusal::Circle);
        }
        let raw = match self.check(&transaction, raw, trace).await {
            Ok(raw) => raw,
            Err(reply) => {
                info!(id = %transaction.id, client = %self.client, %reply, "mail refused at the door");
                self.count_refusal(&reply);
                return Ok(Answer::One(reply));
            }
        };
        let answer = self.hand_over(transaction, raw).await;
        drop(charge);
        answer
    }

    /// Mail from other servers is checked before it is accepted; from nobody what claims to be found by us.
    async fn check(
        &self,
        transaction: &Transaction<M::Recipient>,
        raw: Bytes,
        trace: usize,
    ) -> Result<Bytes, Reply> {
        let (Kind::Mx, Recipients::Local(recipients), Some(door)) =
            (self.kind, &transaction.recipients, &self.settings.door)
        else {
            return Ok(without_our_name(raw, trace, &self.settings.hostname));
        };
        let arrived = Arrived {
            id: transaction.id,
            client: self.client,
            hello: self.engine.hello().map(|hello| hello.name.as_str().to_owned()),
            sender: transaction.reverse_path.mailbox(),
            recipients: recipients.iter().map(|local| local.address.clone()).collect(),
            raw,
            trace,
        };
        door.check(arrived).await
    }

    async fn hand_over(&self, transaction: Transaction<M::Recipient>, raw: Bytes) -> Result<Answer, Refusal> {
        let Transaction { id, reverse_path, recipients, terms, not_before, size, .. } = transaction;
        let (return_path, length) = (reverse_path.mailbox().cloned(), raw.len());
        match recipients {
            Recipients::Local(recipients) => {
                let fits = self.fitting(&recipients, size, length).await;
                let fates: Vec<_> = match self.kind {
                    Kind::Lmtp => fits,
                    // There is one answer for all: that of the first who cannot take it, unless it is only room that
                    // some have and some have not.
                    Kind::Mx | Kind::Submission | Kind::Submissions => together(fits)?,
                };
                let mut taking = Vec::with_capacity(recipients.len());
                for (Local { address, recipient, terms, .. }, fate) in recipients.into_iter().zip(&fates) {
                    if fate.is_ok() {
                        taking.push((address, recipient, terms));
                    }
                }
                let mail = Incoming { id, return_path, recipients: taking, terms, raw };
                let taken = if mail.recipients.is_empty() { Ok(id) } else { self.mta.receive(mail).await };
                let reply = self.tell(id, taken, length)?;
                Ok(match self.kind {
                    Kind::Lmtp => Answer::Each(
                        fates
                            .into_iter()
                            .map(|fate| fate.map_or_else(|no| no.reply(), |()| reply.clone()))
                            .collect(),
                    ),
                    Kind::Mx | Kind::Submission | Kind::Submissions => Answer::One(reply),
                })
            }
            Recipients::Anywhere(recipients) => {
                let principal = self.principal.as_ref().ok_or(Refusal::Credentials)?;
                let mail = Submission { id, return_path, recipients, terms, not_before, raw };
                let taken = self.mta.submit(principal, mail).await;
                self.tell(id, taken, length).map(Answer::One)
            }
        }
    }

    /// Whether each can take so many bytes; what the client had said before was only what it thought.
    async fn fitting(
        &self,
        recipients: &[Local<M::Recipient>],
        said: Option<u64>,
        length: usize,
    ) -> Vec<Result<(), Refusal>> {
        let length = length as u64;
        let mut fits = Vec::with_capacity(recipients.len());
        for local in recipients {
            fits.push(if length > local.limit {
                Err(Refusal::TooLarge)
            } else if said.is_some_and(|said| said >= length) {
                Ok(())
            } else {
                match self.mta.recipient(&local.address, length).await {
                    Err(Refusal::MailboxFull) => Err(Refusal::MailboxFull),
                    // What was found for it before is good enough.
                    Ok(_) | Err(_) => Ok(()),
                }
            });
        }
        fits
    }

    fn tell(
        &self,
        id: types::MessageId,
        taken: Result<types::MessageId, Refusal>,
        size: usize,
    ) -> Result<Reply, Refusal> {
        match &taken {
            Ok(message) => {
                metrics::counter!("magpie_smtp_messages_total", "listener" => self.kind.name()).increment(1);
                info!(%id, %message, size_bytes = size, "mail accepted");
            }
            Err(refusal) => warn!(%id, size_bytes = size, %refusal, "mail refused"),
        }
        Ok(Reply::new(250, (0, 0), "").with_text(format!("Accepted as {}", taken?)))
    }
}

/// One answer for all. Where only some are full, all get it: they were asked for room before.
fn together(fits: Vec<Result<(), Refusal>>) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    let count = fits.len();
    if fits.contains(&Err(Refusal::TooLarge)) {
        return Err(Refusal::TooLarge);
    }
    if fits.iter().all(Result::is_err)
        && let Some(Err(refusal)) = fits.into_iter().next()
    {
        return Err(refusal);
    }
    Ok(vec![Ok(()); count])
}

fn no_room(_: Exhausted) -> Refusal {
    Refusal::NoRoom
}
