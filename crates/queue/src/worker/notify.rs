//! Telling the sender that a mail did not arrive (RFC 3464): a mail of our own with the null return path.

use bytes::Bytes;
use message::{
    Report,
    dsn::{Action, Recipient, dsn},
};
use storage::{Body, NewQueueEntry, Origin, QueueBody, QueueEntry, Segment};
use types::{Address, BodyId, QueueId, Terms, Timestamp};

use super::{Worker, settle::Failure};

/// How much of a mail is read for its header.
const HEADER_BYTES: u64 = 64 << 10;

impl Worker {
    /// The notification to be queued. A mail with the null return path never causes one (RFC 5321 §6.1).
    pub(super) async fn notification(
        &self,
        entry: &QueueEntry,
        failures: &[Failure],
        now: Timestamp,
    ) -> Option<NewQueueEntry> {
        let to = entry.return_path.clone().filter(|_| entry.origin != Origin::Notification)?;
        let mail = self.0.mail.body_start(entry.account, entry.body, HEADER_BYTES).await;
        let mail = mail.unwrap_or_else(|error| {
            tracing::error!(error = ?error, "the header of a mail that failed cannot be read");
            Bytes::new()
        });
        let host = &self.0.mail.config().hostname;
        let id = QueueId::at(now, self.random_bytes());
        let recipient = |failure: &Failure| {
            // What we say ourselves is not another server's diagnosis: there the status speaks for itself.
            let theirs = failure.reply.as_ref().filter(|reply| reply.host.is_some());
            Recipient {
                address: failure.address.clone(),
                action: Action::Failed,
                status: failure.status.clone(),
                diagnostic: theirs.map(|reply| format!("smtp; {}", one_line(&reply.to_string()))),
                remote_mta: theirs.and_then(|reply| reply.host.clone()),
                last_attempt: Some(now),
                will_retry_until: None,
            }
        };
        let report = Report {
            reporting_mta: host.clone(),
            from: Address { name: "Mail Delivery System".to_owned(), email: format!("mailer-daemon@{host}") },
            to: Address { name: String::new(), email: to.to_string() },
            date: now,
            message_id: format!("{id}@{host}"),
            envelope_id: Some(entry.id.to_string()),
            arrival_date: entry.created_at,
            recipients: failures.iter().map(recipient).collect(),
            original_header: header_of(&mail).to_vec(),
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

/// The header fields, with the blank line that ends them.
fn header_of(mail: &[u8]) -> &[u8] {
    let crlf = mail.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
    let lf = mail.windows(2).position(|two| two == b"\n\n").map(|at| at + 2);
    let end = crlf.into_iter().chain(lf).min().unwrap_or(mail.len());
    mail.get(..end).unwrap_or(mail)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
