//! Telling the sender what becomes of a mail (RFC 3464): that it cannot be delivered, that it takes long, or that it has
//! arrived, should that have been asked (RFC 3461). Mails of our own with the null return path.

use bytes::Bytes;
use message::{
    Report,
    dsn::{Action, Recipient, dsn},
    header_of,
};
use storage::{Body, NewQueueEntry, Origin, QueueBody, QueueEntry, QueueRecipient, Segment};
use types::{BodyId, OriginalRecipient, QueueId, Ret, Terms, Timestamp};

use super::Worker;
use crate::Reply;

/// How much of a mail is read for its header.
const HEADER_BYTES: u64 = 64 << 10;
/// The largest mail that is brought back whole.
const MAX_RETURNED: u64 = 1 << 20;

/// What the sender is told of a recipient.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    address: String,
    original: Option<OriginalRecipient>,
    pub(super) action: Action,
    /// RFC 3463.
    status: String,
    /// The last reply, if there was one.
    reply: Option<Reply>,
}

impl Notice {
    pub(super) fn new(to: &QueueRecipient, action: Action, status: String, reply: Option<Reply>) -> Self {
        let original = to.terms.original.clone();
        Self { address: to.address.to_string(), original, action, status, reply }
    }
}

impl Worker {
    /// The notifications to be queued, one of each kind. A mail with the null return path never causes one (RFC 5321
    /// §6.1).
    pub(super) async fn notifications(
        &self,
        entry: &QueueEntry,
        notices: &[Notice],
        now: Timestamp,
    ) -> Vec<NewQueueEntry> {
        let mut all = Vec::new();
        let arrived = &[Action::Delivered, Action::Relayed, Action::Expanded];
        let kinds = [&[Action::Failed][..], &[Action::Delayed], arrived];
        for kind in kinds {
            let of_kind = notices.iter().filter(|notice| kind.contains(&notice.action)).collect::<Vec<_>>();
            if !of_kind.is_empty() {
                all.extend(self.notification(entry, &of_kind, now).await);
            }
        }
        all
    }

    async fn notification(
        &self,
        entry: &QueueEntry,
        notices: &[&Notice],
        now: Timestamp,
    ) -> Option<NewQueueEntry> {
        let to = entry.return_path.clone().filter(|_| entry.origin != Origin::Notification)?;
        let failed = notices.iter().any(|notice| notice.action == Action::Failed);
        let whole = failed && entry.terms.ret == Some(Ret::Full) && entry.size_bytes <= MAX_RETURNED;
        let most = if whole { MAX_RETURNED } else { HEADER_BYTES };
        let mail = self.0.mail.body_start(entry.account, entry.body, most).await;
        let mail = mail.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "a mail that the sender is told of cannot be read");
            Bytes::new()
        });
        let host = &self.0.mail.config().hostname;
        let id = QueueId::at(now, self.random_bytes());
        let report = Report {
            envelope_id: entry.terms.envelope_id.clone(),
            arrival_date: entry.created_at,
            recipients: notices.iter().map(|notice| recipient(notice, entry, now)).collect(),
            original_header: header_of(&mail).to_vec(),
            original: whole.then(|| mail.to_vec()).filter(|mail| !mail.is_empty()),
            ..Report::by(host, &to, &id.to_string(), now)
        };
        let body = Body { segments: vec![Segment::Inline(dsn(&report).into())] };
        let packed = match body.pack(BodyId::at(now, self.random_bytes())) {
            Ok(packed) => packed,
            Err(error) => {
                tracing::error!(%error, "a notification cannot be stored");
                return None;
            }
        };
        Some(NewQueueEntry {
            account: entry.account,
            id,
            message: None,
            body: QueueBody::Own(packed),
            return_path: None,
            recipients: vec![to.into()],
            terms: Terms::default(),
            origin: Origin::Notification,
            created_at: now,
            not_before: now,
            expires_at: now.plus(self.0.mail.config().queue_lifetime),
        })
    }

    fn random_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        self.0.mail.random().fill(&mut bytes);
        bytes
    }
}

fn recipient(notice: &Notice, entry: &QueueEntry, now: Timestamp) -> Recipient {
    // What we say ourselves is not another server's diagnosis: there the status speaks for itself.
    let theirs = notice.reply.as_ref().filter(|reply| reply.host.is_some());
    Recipient {
        address: notice.address.clone(),
        original: notice.original.clone(),
        action: notice.action,
        status: notice.status.clone(),
        diagnostic: theirs.map(|reply| format!("smtp; {}", one_line(&reply.to_string()))),
        remote_mta: theirs.and_then(|reply| reply.host.clone()),
        last_attempt: Some(now),
        will_retry_until: (notice.action == Action::Delayed).then_some(entry.expires_at),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
