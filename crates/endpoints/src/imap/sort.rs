//! SORT (RFC 5256, RFC 5267, RFC 5957).

use std::cmp::Ordering;
use std::collections::HashMap;

use imap::Status;
use imap::wire::{Search, Sort, SortKey};
use mail::{Listed, Reach, Row};
use message::base_subject;
use types::{Address, MessageId, Timestamp};

use super::answers;
use super::context::Members;
use super::progress::Progress;
use super::search::write_esearch;
use super::session::{Answer, Session};

/// Rows that are read at once.
pub(super) const AT_ONCE: usize = 1_000;

/// What a message is sorted by; only what is asked for is filled in.
pub(super) struct Sortable {
    pub(super) number: u32,
    pub(super) message: Listed,
    pub(super) sent_at: Timestamp,
    from: String,
    to: String,
    cc: String,
    pub(super) subject: String,
    display_from: String,
    display_to: String,
}

impl Session {
    pub(super) async fn sort(&mut self, sort: Sort, uid: bool) -> Answer {
        self.check_update(&sort.search)?;
        let mut all = self.find_sortable(&sort.search, &sort.keys).await?;
        all.sort_by(|a, b| compare(a, b, &sort.keys));
        let name = |one: &Sortable| if uid { one.message.uid.0 } else { one.number };
        let names: Vec<u32> = all.iter().map(name).collect();
        let mut out = self.writer();
        match sort.search.options {
            None => {
                out.text("* SORT");
                for name in &names {
                    out.format(format_args!(" {name}"));
                }
                out.end();
            }
            Some(options) => {
                if options.save {
                    self.selected()?.saved = {
                        let mut uids: Vec<_> = all.iter().map(|one| one.message.uid).collect();
                        uids.sort_unstable();
                        uids
                    };
                }
                if let Some(tag) = self.engine.tag() {
                    write_esearch(&mut out, tag, None, &names, options, uid, None);
                }
            }
        }
        self.send(out);
        self.keep(sort.search, uid, Members::Sorted(sort.keys, all))?;
        Ok(Status::ok("Sorted"))
    }

    /// What is found, with what it is sorted by.
    pub(super) async fn find_sortable(
        &mut self,
        search: &Search,
        keys: &[(SortKey, bool)],
    ) -> Result<Vec<Sortable>, Status> {
        let found = self.find_all(search).await?;
        let (reach, progress) = (self.reach().await?, Progress::default());
        self.patiently(&progress, sortable(&reach, found, keys, &progress)).await
    }
}

/// Messages with what they are sorted by.
pub(super) async fn sortable(
    reach: &Reach,
    found: Vec<(u32, Listed)>,
    keys: &[(SortKey, bool)],
    progress: &Progress,
) -> Result<Vec<Sortable>, Status> {
    let is_listed = |key: &SortKey| matches!(key, SortKey::Arrival | SortKey::Date | SortKey::Size);
    let needs_rows = keys.iter().any(|(key, _)| !is_listed(key));
    let needs_cc = keys.iter().any(|(key, _)| *key == SortKey::Cc);
    let mut all = Vec::with_capacity(found.len());
    for batch in found.chunks(AT_ONCE) {
        progress.set(all.len(), found.len());
        let ids: Vec<MessageId> = batch.iter().map(|(_, message)| message.id).collect();
        let rows =
            if needs_rows { reach.rows(&ids).await.map_err(answers::refusal)? } else { HashMap::new() };
        let structures =
            if needs_cc { reach.structures(&ids).await.map_err(answers::refusal)? } else { HashMap::new() };
        for (number, message) in batch {
            let mut one = of_row(*number, message.clone(), rows.get(&message.id));
            one.cc = structures.get(&message.id).and_then(first_cc).unwrap_or_default();
            all.push(one);
        }
    }
    Ok(all)
}

fn of_row(number: u32, message: Listed, row: Option<&Row>) -> Sortable {
    let summary = row.map(|row| &row.summary);
    let from = summary.map(|summary| &summary.from);
    let to = summary.and_then(|summary| summary.to.first());
    // RFC 5256 §2.2: without a date, when it arrived.
    let sent_at = message.sent_at.unwrap_or(message.received_at);
    Sortable {
        number,
        sent_at,
        from: from.map(mailbox).unwrap_or_default(),
        to: to.map(mailbox).unwrap_or_default(),
        cc: String::new(),
        subject: summary.map(|summary| base_subject(&summary.subject)).unwrap_or_default(),
        display_from: from.map(display).unwrap_or_default(),
        display_to: to.map(display).unwrap_or_default(),
        message,
    }
}

/// RFC 5256 §3: the mailbox part of the first address.
fn mailbox(address: &Address) -> String {
    address.email.rsplit_once('@').map_or(address.email.as_str(), |(local, _)| local).to_lowercase()
}

/// RFC 5957: the name, or the address where there is none.
fn display(address: &Address) -> String {
    let shown = if address.name.is_empty() { &address.email } else { &address.name };
    shown.to_lowercase()
}

/// The mailbox of the first address of Cc.
fn first_cc(structure: &message::Structure) -> Option<String> {
    structure.first_cc().map(|local| local.to_lowercase())
}

/// RFC 5256 §3: by the keys in their order; what is still the same stays in order of its number, which is that of UIDs.
pub(super) fn compare(a: &Sortable, b: &Sortable, keys: &[(SortKey, bool)]) -> Ordering {
    let by_key = |(key, reverse): &(SortKey, bool)| {
        let order = match key {
            SortKey::Arrival => a.message.received_at.cmp(&b.message.received_at),
            SortKey::Cc => a.cc.cmp(&b.cc),
            SortKey::Date => a.sent_at.cmp(&b.sent_at),
            SortKey::From => a.from.cmp(&b.from),
            SortKey::Size => a.message.size_bytes.cmp(&b.message.size_bytes),
            SortKey::Subject => a.subject.cmp(&b.subject),
            SortKey::To => a.to.cmp(&b.to),
            SortKey::DisplayFrom => a.display_from.cmp(&b.display_from),
            SortKey::DisplayTo => a.display_to.cmp(&b.display_to),
        };
        if *reverse { order.reverse() } else { order }
    };
    keys.iter().map(by_key).find(|order| order.is_ne()).unwrap_or_else(|| a.message.uid.cmp(&b.message.uid))
}
