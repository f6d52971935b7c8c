//! NOTIFY (RFC 5465): news of all mailboxes that a client named, also while it says nothing. Of what others share, only
//! the selected mailbox is told of.

use imap::wire::{Events, Filter, Group, Item, ListReturn, Notify};
use imap::{Code, Expunges, Status};
use mail::{Mailbox, Named};

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
        let known = self.access()?.named().await.map_err(answers::refusal)?;
        let watching = Watching { groups, known };
        if status {
            let mut out = self.writer();
            for named in &watching.known {
                let is_told = watching.events(named).is_some_and(|events| events.messages);
                if is_told && !self.is_selected(&named.mailbox) {
                    status_line(&mut out, named, self.enabled.condstore);
                }
            }
            self.send(out);
        }
        self.watching = Some(Box::new(watching));
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

    /// Tells what has happened since it was last told; two queries, if anything has.
    pub(super) async fn tell_watched(&mut self) -> Result<(), Status> {
        let Some(watching) = &self.watching else { return Ok(()) };
        let selected = watching.selected().filter(|(_, events)| events.messages);
        if let Some(delayed) = selected.map(|(delayed, _)| delayed) {
            let expunges = if delayed { Expunges::Held } else { Expunges::Told };
            self.tell_news_but(expunges, Own::Nothing).await?;
        }
        let now = self.access()?.named().await.map_err(answers::refusal)?;
        let selected = self.selected.as_ref().map(|selected| selected.mailbox.clone());
        let is_selected =
            |named: &Named| selected.as_ref().is_some_and(|selected| is_same(selected, &named.mailbox));
        let condstore = self.enabled.condstore;
        let mut out = self.writer();
        let Some(watching) = &mut self.watching else { return Ok(()) };
        for named in &now {
            let Some(events) = watching.events(named) else { continue };
            let before = watching.known.iter().find(|known| known.mailbox.id == named.mailbox.id);
            let is_named = before.is_none_or(|before| before.name != named.name);
            let is_subscribed =
                before.is_some_and(|before| before.mailbox.subscribed != named.mailbox.subscribed);
            if events.names && is_named || events.subscriptions && is_subscribed {
                let returns = ListReturn { subscribed: true, children: true, ..ListReturn::default() };
                let was = before.filter(|_| is_named).map(|before| before.name.as_str());
                write_line(&mut out, "LIST", &Line { named, only_child: false, was }, &returns);
            }
            let is_changed = before.is_none_or(|before| is_told(&before.mailbox, &named.mailbox, events));
            if events.messages && is_changed && !is_selected(named) {
                status_line(&mut out, named, condstore);
            }
        }
        for gone in
            watching.known.iter().filter(|known| now.iter().all(|now| now.mailbox.id != known.mailbox.id))
        {
            if watching.events(gone).is_some_and(|events| events.names) {
                out.text("* LIST (\\NonExistent) \"/\" ").mailbox(&gone.name).end();
            }
        }
        watching.known = now;
        self.send(out);
        Ok(())
    }
}

impl Watching {
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
fn status_line(out: &mut imap::Writer, named: &Named, condstore: bool) {
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
