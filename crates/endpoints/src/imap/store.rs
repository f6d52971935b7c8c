//! STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use std::sync::Arc;

use imap::wire::{Flag, Store, StoreMode};
use imap::{Code, Expunges, Status, Writer};
use mail::{Change, Listed};
use types::{Flags, ModSeq, Uid};

use super::answers;
use super::news::{Believed, Own, fetch_line};
use super::progress::Progress;
use super::select::target;
use super::session::{Answer, Session};

impl Session {
    pub(super) async fn store(&mut self, store: Store, uid: bool) -> Answer {
        let Store { set, unchanged_since, mode, silent, flags } = store;
        let selected = self.selected()?;
        if selected.read_only {
            return Err(answers::read_only());
        }
        self.enabled.condstore |= unchanged_since.is_some();
        let mut messages = self.messages(&set, uid)?;
        let lowest = self.cut(&mut messages);
        let targets: Vec<_> = messages.iter().map(|(_, message)| target(message)).collect();
        let change = change(mode, &flags);
        let since = unchanged_since.map(|since| ModSeq(i64::try_from(since).unwrap_or(i64::MAX)));
        let (reach, progress) = (self.reach().await?, Progress::default());
        let work = reach.store(&targets, &change, since);
        let stored = self.patiently(&progress, work).await.map_err(answers::refused)?;
        let changed = stored.uids;
        // RFC 9051 §7.5.1: sequence numbers must stay for this command, and for what a client sent behind it.
        let expunges = if uid { Expunges::Told } else { Expunges::Held };
        let believed = if silent { believed(&messages, &change) } else { Vec::new() };
        let own = if silent { Own::Silent(&believed) } else { Own::Told(&changed) };
        self.tell_news_but(expunges, own).await?;
        if !silent {
            self.tell_flags(&changed)?;
        }
        // RFC 9051 §6.4.9: UIDs that are gone are passed over; numbers must not be.
        let missed = if uid { 0 } else { messages.len().saturating_sub(changed.len()) };
        let status = status(&stored.modified, missed, |uids| self.names(uids, uid));
        if lowest.is_none() || status.code.is_none() {
            return Ok(self.limited(status, lowest));
        }
        // There is one code in a status, and both must be told.
        let mut out = self.writer();
        out.status(&self.limited(Status::ok(""), lowest));
        self.send(out);
        Ok(status)
    }

    /// The flags as they are then, of messages that had them before, too.
    fn tell_flags(&mut self, uids: &[Uid]) -> Result<(), Status> {
        let enabled = self.enabled;
        let mut out = self.writer();
        let selected = self.selected()?;
        for (number, message) in selected.view.with_uids(uids.iter().copied()) {
            fetch_line(&mut out, number, message, enabled, true);
        }
        self.send(out);
        Ok(())
    }

    /// As the client names messages: by numbers or by UIDs.
    fn names(&self, uids: &[Uid], uid: bool) -> String {
        let number = |uid: &Uid| self.selected.as_ref().and_then(|selected| selected.view.number(*uid));
        let names: Vec<u32> =
            uids.iter().filter_map(|name| if uid { Some(name.0) } else { number(name) }).collect();
        Writer::set_text(names.iter().copied())
    }
}

/// What the client makes of the messages by itself.
fn believed(messages: &[(u32, Listed)], change: &Change) -> Vec<Believed> {
    let alike = messages.chunk_by(|(_, one), (_, next)| {
        one.flags == next.flags && Arc::ptr_eq(&one.keywords, &next.keywords)
    });
    let believed = |alike: &[(u32, Listed)]| {
        let (flags, keywords) = match alike.first() {
            Some((_, one)) => change.applied(one.flags, &one.keywords),
            None => (Flags::NONE, Vec::new()),
        };
        let keywords: Arc<[String]> = keywords.into();
        let one = |message: &Listed| Believed { uid: message.uid, flags, keywords: Arc::clone(&keywords) };
        alike.iter().map(|(_, message)| one(message)).collect::<Vec<_>>()
    };
    alike.flat_map(believed).collect()
}

fn status(modified: &[Uid], missed: usize, names: impl Fn(&[Uid]) -> String) -> Status {
    if !modified.is_empty() {
        // RFC 7162 §3.1.3: it is OK that some had changed meanwhile.
        return Status::ok("Some had changed meanwhile").with(Code::Modified(names(modified)));
    }
    if missed > 0 {
        return Status::no("Some messages are gone").with(Code::ExpungeIssued);
    }
    Status::ok("Done")
}

pub(super) fn change(mode: StoreMode, flags: &[Flag]) -> Change {
    let (flags, keywords) = parted(flags);
    match mode {
        StoreMode::Replace => Change::Replace { flags, keywords },
        StoreMode::Add => Change::Add { flags, keywords },
        StoreMode::Remove => Change::Remove { flags, keywords },
    }
}

/// The flags as a set, and the keywords. What is not known is left out: no client can set it.
pub(super) fn parted(all: &[Flag]) -> (Flags, Vec<String>) {
    let (mut flags, mut keywords) = (Flags::NONE, Vec::new());
    for flag in all {
        match flag {
            Flag::System(flag) => flags = flags | *flag,
            Flag::Keyword(keyword) => keywords.push(keyword.clone()),
            Flag::Unknown => {}
        }
    }
    (flags, keywords)
}
