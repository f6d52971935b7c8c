//! What is told of a mailbox unasked: messages that came, changed and went (RFC 9051 §7.3 to §7.5).

use imap::{Code, Expunges, Status, Writer};
use mail::{Listed, Reach, Roll};
use std::sync::Arc;
use types::{Flags, Uid};

use super::answers;
use super::context;
use super::session::{Features, Session};

/// Of which messages a client need not be told what it did to them itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own<'a> {
    Nothing,
    /// Of these, in order, only the modseq is told where they are as the client believes that it made them
    /// (RFC 9051 §6.4.6, `.SILENT`).
    Silent(&'a [Believed]),
    /// Of these nothing is told: the command does that itself.
    Told(&'a [Uid]),
}

/// What a client believes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Believed {
    pub(super) uid: Uid,
    pub(super) flags: Flags,
    pub(super) keywords: Arc<[String]>,
}

impl Session {
    /// Brings the selected mailbox up to date and tells what is new.
    pub(super) async fn tell_news(&mut self, expunges: Expunges) -> Result<(), Status> {
        self.tell_news_but(expunges, Own::Nothing).await
    }

    pub(super) async fn tell_news_but(&mut self, expunges: Expunges, own: Own<'_>) -> Result<(), Status> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let validity = selected.mailbox.uid_validity;
        let Some(reach) = self.readable().await? else {
            self.tell_barred();
            return Ok(());
        };
        let roll = reach.roll().await.map_err(answers::refusal)?;
        let Some(roll) = roll.filter(|roll| roll.mailbox.uid_validity == validity) else {
            return Err(self.lost());
        };
        let mut out = self.writer();
        let mut changed = Vec::new();
        let (flags, tells_new) = (self.tells_flags(), !self.items_of_new().is_empty());
        if let Some(selected) = &mut self.selected {
            let before = selected.view.len();
            let updates = selected.view.update(&roll.messages, expunges);
            selected.mailbox = roll.mailbox.clone();
            selected.grown |= updates.exists.is_some();
            let old = before.saturating_sub(u32::try_from(updates.expunged.len()).unwrap_or(u32::MAX));
            if tells_new {
                let new = updates.changed.iter().filter(|number| **number > old);
                let new = new.filter_map(|number| Some((*number, selected.view.get(*number)?.clone())));
                self.fresh.extend(new);
            }
            if !updates.expunged.is_empty() {
                context::expunged(&mut out, &mut selected.contexts, &updates.expunged);
            }
            write(&mut out, &selected.view, old, &updates, self.enabled, own, flags);
            changed = updates.changed;
        }
        self.send(out);
        Box::pin(self.update_contexts(&changed)).await;
        Ok(())
    }

    /// The mailbox as it is now, without telling anybody.
    pub(super) async fn roll_of(&mut self, reach: &Reach) -> Result<Arc<Roll>, Status> {
        let roll = reach.roll().await.map_err(answers::refusal)?;
        roll.ok_or_else(answers::non_existent)
    }
}

fn write(
    out: &mut Writer,
    view: &imap::View<Listed>,
    old: u32,
    updates: &imap::Updates,
    enabled: Features,
    own: Own<'_>,
    flags: bool,
) {
    if (enabled.qresync || enabled.uid_only) && !updates.expunged.is_empty() {
        let uids: Vec<u32> = updates.expunged.iter().rev().map(|(_, uid)| uid.0).collect();
        out.text("* VANISHED ").set(uids.iter().copied()).end();
    } else {
        for (number, _) in &updates.expunged {
            out.line(format_args!("{number} EXPUNGE"));
        }
    }
    if let Some(exists) = updates.exists {
        out.line(format_args!("{exists} EXISTS"));
        if !enabled.rev2 {
            out.line(format_args!("0 RECENT"));
        }
    }
    // Of new messages a client asks what it wants to know, and so it does where it said that it wants to hear no flags.
    for number in updates.changed.iter().take_while(|number| flags && **number <= old) {
        let Some(message) = view.get(*number) else { continue };
        match own {
            Own::Told(uids) if uids.binary_search(&message.uid).is_ok() => {}
            Own::Silent(all) if is_believed(all, message) => {
                if enabled.condstore {
                    fetch_line(out, *number, message, enabled, false);
                }
            }
            Own::Nothing | Own::Silent(_) | Own::Told(_) => fetch_line(out, *number, message, enabled, true),
        }
    }
}

fn is_believed(all: &[Believed], message: &Listed) -> bool {
    let at = all.binary_search_by_key(&message.uid, |believed| believed.uid);
    let believed = at.ok().and_then(|at| all.get(at));
    believed
        .is_some_and(|believed| believed.flags == message.flags && *believed.keywords == *message.keywords)
}

/// `FETCH` of UID, FLAGS and, if it was switched on, MODSEQ.
pub(super) fn fetch_line(out: &mut Writer, number: u32, message: &Listed, enabled: Features, flags: bool) {
    // RFC 9586 §3.3
    match enabled.uid_only {
        true => out.format(format_args!("* {} UIDFETCH (", message.uid)),
        false => out.format(format_args!("* {number} FETCH (UID {}", message.uid)),
    };
    let space = if enabled.uid_only { "" } else { " " };
    if flags {
        out.text(space).text("FLAGS ").flags(message.flags, &message.keywords);
    }
    if enabled.condstore {
        let space = if flags { " " } else { space };
        out.format(format_args!("{space}MODSEQ ({})", message.modseq));
    }
    out.text(")").end();
}

/// RFC 7162: with CONDSTORE, clients are told how far they are.
pub(super) fn highest(status: Status, modseq: types::ModSeq, enabled: Features) -> Status {
    match u64::try_from(modseq.0) {
        Ok(modseq) if enabled.qresync => status.with(Code::HighestModSeq(modseq)),
        _ => status,
    }
}
