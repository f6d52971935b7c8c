//! THREAD (RFC 5256 §3, draft-ietf-morg-inthread).

use std::collections::HashMap;

use imap::thread::{Kind, Mail, threads};
use imap::wire::{Search, SortKey, Thread, ThreadAlgorithm};
use imap::{Code, Status};
use mail::{Listed, Portrait, Reach};
use message::{Links, Signature};
use tokio::task::spawn_blocking;
use types::MessageId;

use super::answers;
use super::progress::Progress;
use super::search::reading;
use super::session::{Answer, Session};
use super::sort::{AT_ONCE, Sortable, compare};

impl Session {
    pub(super) async fn thread(&mut self, thread: Thread, uid: bool) -> Answer {
        match thread.algorithm {
            ThreadAlgorithm::OrderedSubject => self.by_subject(&thread.search, uid).await,
            ThreadAlgorithm::References => self.by_references(&thread.search, Kind::References, uid).await,
            ThreadAlgorithm::Refs => self.by_references(&thread.search, Kind::Refs, uid).await,
        }
    }

    /// RFC 5256 §3, ORDEREDSUBJECT: by base subject, then by date; threads by the date of their first message.
    async fn by_subject(&mut self, search: &Search, uid: bool) -> Answer {
        let keys = [(SortKey::Subject, false), (SortKey::Date, false)];
        let mut all = self.find_sortable(search, &keys).await?;
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
    async fn by_references(&mut self, search: &Search, kind: Kind, uid: bool) -> Answer {
        let found = self.find_all(search).await?;
        let (reach, progress) = (self.reach().await?, Progress::default());
        let mails = self.patiently(&progress, read(&reach, &found, &progress)).await?;
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

async fn read(reach: &Reach, found: &[(u32, Listed)], progress: &Progress) -> Result<Vec<Mail>, Status> {
    let mut mails = Vec::with_capacity(found.len());
    for batch in found.chunks(AT_ONCE) {
        progress.set(mails.len(), found.len());
        let ids: Vec<MessageId> = batch.iter().map(|(_, message)| message.id).collect();
        let portraits: HashMap<_, _> = reach.portraits(&ids).await.map_err(answers::refusal)?;
        let asked: Vec<_> = batch.iter().map(|(number, message)| (*number, message)).collect();
        let signatures = reading::signatures(reach, &asked).await?;
        for ((_, message), bits) in batch.iter().zip(&signatures) {
            let links = bits.as_deref().and_then(Signature::read);
            let links = links.map(|signature| signature.links()).unwrap_or_default();
            mails.push(mail(message, portraits.get(&message.id), links));
        }
    }
    Ok(mails)
}

fn mail(message: &Listed, portrait: Option<&Portrait>, links: Links) -> Mail {
    let subject = portrait.and_then(|portrait| message::subject_in(portrait.envelope()));
    let (base_subject, is_reply) = message::bared_subject(subject.as_deref().unwrap_or_default());
    Mail {
        own: links.own.map(|hash| hash.0),
        ancestors: links.ancestors.iter().map(|hash| hash.0).collect(),
        // RFC 5256 §2.2: without a date, when it arrived.
        sent: message.sent_at.unwrap_or(message.received_at).millis(),
        received: message.received_at.millis(),
        base_subject,
        is_reply,
    }
}
