//! THREAD (RFC 5256 §3, draft-ietf-morg-inthread).

use std::collections::HashMap;

use imap::thread::{Kind, Mail, threads};
use imap::wire::{SortKey, Thread, ThreadAlgorithm};
use imap::{Code, Status};
use mail::{Listed, Row};
use message::{Links, Signature};
use tokio::task::spawn_blocking;
use types::MessageId;

use super::answers;
use super::search::Reader;
use super::session::{Answer, Session};
use super::sort::{AT_ONCE, Sortable, compare};

impl Session {
    pub(super) async fn thread(&mut self, thread: Thread, uid: bool) -> Answer {
        let found = self.find(&thread.search).await?;
        match thread.algorithm {
            ThreadAlgorithm::OrderedSubject => self.by_subject(found, uid).await,
            ThreadAlgorithm::References => self.by_references(found, Kind::References, uid).await,
            ThreadAlgorithm::Refs => self.by_references(found, Kind::Refs, uid).await,
        }
    }

    /// RFC 5256 §3, ORDEREDSUBJECT: by base subject, then by date; threads by the date of their first message.
    async fn by_subject(&mut self, found: Vec<(u32, Listed)>, uid: bool) -> Answer {
        let keys = [(SortKey::Subject, false), (SortKey::Date, false)];
        let mut all = self.sortable(found, &keys).await?;
        all.sort_by(|a, b| compare(a, b, &keys));
        let mut threads: Vec<&[Sortable]> = all.chunk_by(|a, b| a.subject == b.subject).collect();
        threads.sort_by_key(|thread| thread.first().map(|first| (first.sent_at, first.number)));
        let name = |one: &Sortable| if uid { one.message.uid.0 } else { one.number };
        let mut out = self.writer();
        out.text("* THREAD");
        for (place, thread) in threads.iter().enumerate() {
            out.text(if place == 0 { " (" } else { "(" });
            let mut rest = thread.iter();
            if let Some(first) = rest.next() {
                out.format(format_args!("{}", name(first)));
            }
            match thread.len() {
                0 | 1 => {}
                2 => rest.for_each(|second| {
                    out.format(format_args!(" {}", name(second)));
                }),
                _ => {
                    out.text(" ");
                    rest.for_each(|one| {
                        out.format(format_args!("({})", name(one)));
                    });
                }
            }
            out.text(")");
        }
        out.end();
        self.send(out);
        Ok(Status::ok("Threaded"))
    }

    /// What mails refer to is known of each without reading it.
    async fn by_references(&mut self, found: Vec<(u32, Listed)>, kind: Kind, uid: bool) -> Answer {
        let reach = self.reach().await?;
        let mut reader = Reader::of_everything(&reach);
        let mut mails = Vec::with_capacity(found.len());
        for batch in found.chunks(AT_ONCE) {
            let ids: Vec<MessageId> = batch.iter().map(|(_, message)| message.id).collect();
            let rows: HashMap<_, _> = reach.rows(&ids).await.map_err(answers::refusal)?;
            let signatures = reader.signatures(batch).await?;
            for (_, message) in batch {
                let links = signatures.get(&message.id).and_then(|bits| Signature::read(bits));
                let links = links.map(|signature| signature.links()).unwrap_or_default();
                mails.push(mail(message, rows.get(&message.id), links));
            }
        }
        let name = |(number, message): &(u32, Listed)| if uid { message.uid.0 } else { *number };
        let names: Vec<u32> = found.iter().map(name).collect();
        let text = spawn_blocking(move || {
            let mut text = String::new();
            threads(&mails, kind).write(&mut text, |place| names.get(place).copied().unwrap_or_default());
            text
        });
        let text = text.await.map_err(|error| {
            tracing::error!(%error, "not threaded");
            Status::no("It has been logged, please try again").with(Code::ServerBug)
        })?;
        let mut out = self.writer();
        out.text("* THREAD").text(if text.is_empty() { "" } else { " " }).text(&text).end();
        self.send(out);
        Ok(Status::ok("Threaded"))
    }
}

fn mail(message: &Listed, row: Option<&Row>, links: Links) -> Mail {
    let subject = row.map(|row| row.summary.subject.as_str()).unwrap_or_default();
    let (base_subject, is_reply) = message::bared_subject(subject);
    Mail {
        own: links.own.map(|hash| hash.0),
        ancestors: links.ancestors.iter().map(|hash| hash.0).collect(),
        // RFC 5256 §2.2: without a date, when it arrived.
        sent: row.and_then(|row| row.sent_at).unwrap_or(message.received_at).millis(),
        received: message.received_at.millis(),
        base_subject,
        is_reply,
    }
}
