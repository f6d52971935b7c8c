//! Telling senders who asked for it that their mail has arrived (RFC 3461 §5.2.2), or went on to a group's members.

use bytes::Bytes;
use message::dsn::{Action, Recipient, dsn};
use message::{Report, header_of};
use storage::queue::QueueBody;
use storage::{Body, NewQueueEntry, Origin, Segment};
use types::{AccountId, BodyId, EmailAddress, QueueId, RecipientTerms, Terms};

use crate::{Error, Result, Service};

/// Whose mail arrived, and whether that was the end of its way.
pub(crate) struct Arrived<'a> {
    pub(crate) address: &'a EmailAddress,
    pub(crate) terms: &'a RecipientTerms,
    pub(crate) expanded: bool,
}

impl Service {
    /// The notification to be queued for those of the recipients whose sender wants to hear it.
    pub(crate) fn arrival(
        &self,
        account: AccountId,
        return_path: Option<&EmailAddress>,
        terms: &Terms,
        arrived: &[Arrived<'_>],
        raw: &Bytes,
    ) -> Result<Option<NewQueueEntry>> {
        let wanted: Vec<_> = arrived.iter().filter(|arrived| arrived.terms.wants_success()).collect();
        let Some(to) = return_path.filter(|_| !wanted.is_empty()) else { return Ok(None) };
        let (now, host) = (self.now(), &self.config().hostname);
        let id = QueueId::at(now, self.random_bytes());
        let recipient = |arrived: &&Arrived<'_>| Recipient {
            address: arrived.address.to_string(),
            original: arrived.terms.original.clone(),
            action: if arrived.expanded { Action::Expanded } else { Action::Delivered },
            status: "2.1.5".to_owned(),
            last_attempt: Some(now),
            ..Recipient::default()
        };
        let report = Report {
            envelope_id: terms.envelope_id.clone(),
            arrival_date: now,
            recipients: wanted.iter().map(recipient).collect(),
            original_header: header_of(raw).to_vec(),
            ..Report::by(host, to, &id.to_string(), now)
        };
        let body = Body { segments: vec![Segment::Inline(dsn(&report).into())] };
        let packed = body
            .pack(BodyId::at(now, self.random_bytes()))
            .map_err(|error| Error::Internal(format!("a notification cannot be stored: {error}")))?;
        Ok(Some(NewQueueEntry {
            account,
            id,
            message: None,
            body: QueueBody::Own(packed),
            return_path: None,
            recipients: vec![to.clone().into()],
            terms: Terms::default(),
            origin: Origin::Notification,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.config().queue_lifetime),
        }))
    }
}
