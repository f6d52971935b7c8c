//! NOTIFY (RFC 5465): news of all mailboxes that a client named, also while it says nothing. Of what others share it is
//! told what it may look up, and how many messages are there if it may read them, by the rights as they are then.

use std::collections::BTreeSet;

use imap::wire::{Events, Filter, Group, Item, ListReturn, Notify, Source};
use imap::{Code, Expunges, Status, Writer};
use mail::{Access, Mailbox, Named, Note, Notebook, OTHER_USERS, Sharers};
use tokio::time::Instant;
use types::{AccountId, Rights};

use super::answers;
use super::mailboxes::{Line, write_line};
use super::multi::is_in;
use super::names::is_same;
use super::news::Own;
use super::session::{Answer, Session};

/// What a client wants to hear, and what it has heard.
pub(super) struct Watching {
    groups: Vec<Group>,
    known: Vec<Named>,
    /// What is noted, if somebody wants to hear of that (RFC 5464).
    notes: Option<Notebook>,
    /// If it wants to hear of what others share.
    pub(super) sharers: Option<Sharers>,
}

impl Session {
    pub(super) async fn notify(&mut self, notify: Notify) -> Answer {
        let Notify::Set { status, groups } = notify else {
            self.watching = None;
            return Ok(Status::ok("Nothing will be told"));
        };
        if groups.iter().any(|group| group.events.unknown) {
            return Err(Status::no("Some of that is never told here").with(Code::BadEvent));
        }
        let mut sharers = groups.iter().any(may_be_of_others).then(Sharers::default);
        let (known, asked) = look(&self.access()?, sharers.as_mut()).await?;
        let wants_notes = groups.iter().any(|group| group.events.metadata || group.events.server_metadata);
        let mut watching = Watching { groups, known, notes: None, sharers };
        if wants_notes {
            watching.notes = Some(watching.noted(&self.access()?, &asked).await?);
        }
        if status {
            let mut out = self.writer();
            for named in &watching.known {
                let is_told = watching.events(named).is_some_and(|events| events.messages) && may_read(named);
                if is_told && !self.is_selected(&named.mailbox) {
                    status_line(&mut out, named, self.enabled.condstore);
                }
            }
            self.send(out);
        }
        self.watching = Some(Box::new(watching));
        // All that others share was just looked at.
        if let Some(login) = &mut self.login {
            login.looked_at = Instant::now();
        }
        Ok(Status::ok("It will be told"))
    }

    /// What to tell of a new message in the selected mailbox.
    pub(super) fn items_of_new(&self) -> &[Item] {
        let watching = self.watching.as_ref().and_then(|watching| watching.selected());
        watching.map(|(_, events)| events.items.as_slice()).unwrap_or_default()
    }

    /// Whether a change of flags in the selected mailbox is told.
    pub(super) fn tells_flags(&self) -> bool {
        let watching = self.watching.as_ref().and_then(|watching| watching.selected());
        watching.is_none_or(|(_, events)| events.flags)
    }

    /// Tells what has happened since it was last told. Of those who share something only they are asked who have changed
    /// something.
    pub(super) async fn tell_watched(&mut self) -> Result<(), Status> {
        let Some(watching) = &self.watching else { return Ok(()) };
        let selected = watching.selected().filter(|(_, events)| events.messages);
        if let Some(delayed) = selected.map(|(delayed, _)| delayed) {
            let expunges = if delayed { Expunges::Held } else { Expunges::Told };
            self.tell_news_but(expunges, Own::Nothing).await?;
        }
        let access = self.access()?;
        let Some(watching) = &mut self.watching else { return Ok(()) };
        let (now, asked) = look(&access, watching.sharers.as_mut()).await?;
        let selected = self.selected.as_ref().map(|selected| selected.mailbox.clone());
        let is_selected =
            |named: &Named| selected.as_ref().is_some_and(|selected| is_same(selected, &named.mailbox));
        let condstore = self.enabled.condstore;
        let mut out = self.writer();
        let Some(watching) = &mut self.watching else { return Ok(()) };
        for named in &now {
            let Some(events) = watching.events(named) else { continue };
            let before = watching.known.iter().find(|known| is_same(&known.mailbox, &named.mailbox));
            let is_named = before.is_none_or(|before| before.name != named.name);
            let is_subscribed =
                before.is_some_and(|before| before.mailbox.subscribed != named.mailbox.subscribed);
            if events.names && is_named || events.subscriptions && is_subscribed {
                let returns = ListReturn { subscribed: true, children: true, ..ListReturn::default() };
                let was = before.filter(|_| is_named).map(|before| before.name.as_str());
                write_line(&mut out, "LIST", &Line { named, only_child: false, was }, &returns);
            }
            let before = before.filter(|before| may_read(before));
            let is_changed = before.is_none_or(|before| is_told(&before.mailbox, &named.mailbox, events));
            if events.messages && may_read(named) && is_changed && !is_selected(named) {
                status_line(&mut out, named, condstore);
            }
        }
        let is_there = |known: &Named| now.iter().any(|now| is_same(&now.mailbox, &known.mailbox));
        for gone in watching.known.iter().filter(|known| !is_there(known)) {
            if watching.events(gone).is_some_and(|events| events.names) {
                out.text("* LIST (\\NonExistent) \"/\" ").mailbox(&gone.name).end();
            }
        }
        watching.known = now;
        self.send(out);
        self.tell_notes(&asked).await
    }

    /// RFC 5465 §5.6 and §5.7: which notes have become different; what they say is asked for.
    async fn tell_notes(&mut self, asked: &[AccountId]) -> Result<(), Status> {
        let access = self.access()?;
        let mut out = self.writer();
        let Some(watching) = self.watching.as_mut().filter(|watching| watching.notes.is_some()) else {
            return Ok(());
        };
        let now = watching.noted(&access, asked).await?;
        let before = watching.notes.take().unwrap_or_default();
        if watching.groups.iter().any(|group| group.events.server_metadata) {
            metadata_line(&mut out, "", &changed(&before.of_account(), &now.of_account()));
        }
        for named in watching.known.iter().filter(|named| watching.hears_of_notes(named)) {
            let (before, now) = (before.of(named).unwrap_or_default(), now.of(named).unwrap_or_default());
            metadata_line(&mut out, &named.name, &changed(&before, &now));
        }
        watching.notes = Some(now);
        self.send(out);
        Ok(())
    }
}

/// The mailboxes that may be looked up now, with others' if those are listened to; and which of those were asked just
/// now.
async fn look(
    access: &Access,
    sharers: Option<&mut Sharers>,
) -> Result<(Vec<Named>, Vec<AccountId>), Status> {
    let mut all = access.named().await.map_err(answers::refusal)?;
    let Some(sharers) = sharers else { return Ok((all, Vec::new())) };
    let asked = access.ask_sharers(sharers).await.map_err(answers::refusal)?;
    all.extend(sharers.named().filter(|named| named.rights.contains(Rights::LOOKUP)).cloned());
    Ok((all, asked))
}

/// Whether a group may name mailboxes of others.
fn may_be_of_others(group: &Group) -> bool {
    let Filter::In(Source::Subtree(names) | Source::SubtreeOne(names) | Source::Mailboxes(names)) =
        &group.filter
    else {
        return group.filter == Filter::In(Source::Subscribed);
    };
    names.iter().any(|name| name.0.starts_with(OTHER_USERS) || OTHER_USERS.strip_suffix('/') == Some(&name.0))
}

fn may_read(named: &Named) -> bool {
    named.rights.contains(Rights::READ)
}

/// The names of the notes that are not the same in both.
fn changed<'a>(before: &[Note<'a>], now: &[Note<'a>]) -> BTreeSet<&'a str> {
    let gone = before.iter().filter(|note| !now.contains(note));
    let new = now.iter().filter(|note| !before.contains(note));
    gone.chain(new).map(|(name, _)| *name).collect()
}

/// RFC 5464 §4.4.2
fn metadata_line(out: &mut Writer, mailbox: &str, names: &BTreeSet<&str>) {
    if names.is_empty() {
        return;
    }
    out.text("* METADATA ").mailbox(mailbox);
    for name in names {
        out.text(" ").string(name.as_bytes());
    }
    out.end();
}

impl Watching {
    /// What is noted now. Of what others share it is read where they were asked just now, or it was not known; once for
    /// each of them. Where it cannot be read, it is as it was, until it is tried again.
    async fn noted(&mut self, access: &Access, asked: &[AccountId]) -> Result<Notebook, Status> {
        let wanted = self.known.iter().filter(|named| named.shared && self.hears_of_notes(named));
        let owners: BTreeSet<_> = wanted.map(|named| named.mailbox.account).collect();
        let read = self.read_notes(access, &owners, asked).await;
        let failed = match &read {
            Ok((_, failed)) => failed,
            Err(_) => asked,
        };
        if let Some(sharers) = &mut self.sharers {
            sharers.ask_again(failed);
        }
        read.map(|(now, _)| now)
    }

    /// The same, with those of whom nothing could be read.
    async fn read_notes(
        &self,
        access: &Access,
        owners: &BTreeSet<AccountId>,
        asked: &[AccountId],
    ) -> Result<(Notebook, Vec<AccountId>), Status> {
        let mut now = access.notebook().await.map_err(answers::refusal)?;
        let mut failed = Vec::new();
        for owner in owners {
            let before = self.notes.as_ref();
            let is_asked = asked.contains(owner);
            if !is_asked && before.is_some_and(|before| now.take_over(*owner, before)) {
                continue;
            }
            if let Err(error) = access.read_notes(*owner, &mut now).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "notes of others were not read");
                let before = before.ok_or_else(|| answers::refusal(error))?;
                now.take_over(*owner, before);
                failed.push(*owner);
            }
        }
        Ok((now, failed))
    }

    fn hears_of_notes(&self, named: &Named) -> bool {
        may_read(named) && self.events(named).is_some_and(|events| events.metadata)
    }

    fn selected(&self) -> Option<(bool, &Events)> {
        self.groups.iter().find_map(|group| match group.filter {
            Filter::Selected { delayed } => Some((delayed, &group.events)),
            Filter::In(_) => None,
        })
    }

    /// What is told of a mailbox that is not selected.
    fn events(&self, named: &Named) -> Option<&Events> {
        let group = self.groups.iter().find(|group| match &group.filter {
            Filter::Selected { .. } => false,
            Filter::In(source) => is_in(source, named, None),
        });
        group.map(|group| &group.events)
    }
}

/// Whether what has become different in a mailbox is of the kind that is told.
fn is_told(before: &Mailbox, now: &Mailbox, events: &Events) -> bool {
    let came = u64::from(now.uid_next.0.saturating_sub(before.uid_next.0));
    let is_message = came > 0 || now.total != before.total || now.uid_validity != before.uid_validity;
    is_message || events.flags && now.modseq != before.modseq
}

/// RFC 5465 §5.2 and §5.3
fn status_line(out: &mut Writer, named: &Named, condstore: bool) {
    let mailbox = &named.mailbox;
    out.text("* STATUS ").mailbox(&named.name);
    out.format(format_args!(
        " (MESSAGES {} UIDNEXT {} UIDVALIDITY {} UNSEEN {}",
        mailbox.total, mailbox.uid_next, mailbox.uid_validity, mailbox.unread
    ));
    if condstore {
        out.format(format_args!(" HIGHESTMODSEQ {}", mailbox.modseq));
    }
    out.text(")").end();
}
