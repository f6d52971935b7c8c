//! SELECT, EXAMINE, CLOSE, UNSELECT, EXPUNGE (RFC 9051 §6.3.2, §6.4; RFC 7162).

use std::collections::BTreeSet;

use imap::wire::{Qresync, Select, SequenceSet};
use imap::{Code, Expunges, State, Status, View, Writer};
use mail::{Change, Listed, Reach, Roll, Target};
use types::{Flags, ModSeq, Rights, Sequence, Uid, flags::changed_keywords};

use super::answers;
use super::mailboxes::mailbox_id;
use super::news::{self, fetch_line};
use super::progress::Progress;
use super::session::{Answer, Selected, Session};

const SYSTEM: Flags = Flags::from_bits(63);
/// RFC 4314 §5.2: with none of these a mailbox is for reading only.
const CHANGING: Rights =
    Rights::from_bits(Rights::FLAGS.bits() | Rights::INSERT.bits() | Rights::EXPUNGE.bits());

impl Session {
    pub(super) async fn select(&mut self, select: Select) -> Answer {
        let Select { mailbox, read_only, condstore, qresync } = select;
        if qresync.is_some() && !self.enabled.qresync {
            // RFC 7162 §3.2.5
            return Err(Status::bad("ENABLE QRESYNC comes first"));
        }
        let mut out = self.writer();
        if self.unselect() && (self.enabled.qresync || self.enabled.rev2) {
            out.status(&Status::ok("The mailbox before").with(Code::Closed));
            self.send(out);
            out = self.writer();
        }
        let named = self.named(&mailbox).await?;
        let reach = self.reach_to(&named.mailbox).await?;
        let hints = reach.subscribe();
        let roll = self.roll_of(&reach).await?;
        self.enabled.condstore |= condstore;
        self.write_selected(&mut out, &roll, &named.name, &reach);
        let view = View::new(roll.messages.clone());
        if let Some(known) = qresync
            && known.uid_validity == roll.mailbox.uid_validity.0
        {
            self.resynchronise(&mut out, &reach, &roll, &view, &known).await?;
        }
        self.send(out);
        self.selected = Some(Selected {
            mailbox: roll.mailbox.clone(),
            read_only,
            view,
            saved: Vec::new(),
            contexts: Vec::new(),
            grown: false,
            hints,
            barred: false,
        });
        self.engine.enter(State::Selected);
        let is_writable = !read_only && reach.rights().meets(CHANGING);
        let code = if is_writable { Code::ReadWrite } else { Code::ReadOnly };
        Ok(Status::ok("Selected").with(code))
    }

    fn write_selected(&self, out: &mut Writer, roll: &Roll, name: &str, reach: &Reach) {
        let mailbox = &roll.mailbox;
        let keywords: Vec<String> = keywords(&roll.messages);
        let mut flags = self.writer();
        flags.flag_names(SYSTEM, &keywords);
        let flags = String::from_utf8_lossy(&flags.take()).into_owned();
        out.line(format_args!("FLAGS ({flags})"));
        let permanent = Code::PermanentFlags(match reach.rights() {
            rights if rights.contains(Rights::FLAGS) => format!("{flags} \\*"),
            rights => self.changeable(rights, &keywords),
        });
        out.status(&Status::ok("They stay, and there may be more").with(permanent));
        out.line(format_args!("{} EXISTS", roll.messages.len()));
        if !self.enabled.rev2 {
            out.line(format_args!("0 RECENT"));
            let mut unread = roll.messages.among(|digest| !digest.common.contains(Flags::SEEN));
            let unseen = unread.find(|(_, message)| message.flags.is_unread());
            if let Some((place, _)) = unseen.filter(|_| !self.enabled.uid_only) {
                let number = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
                out.status(&Status::ok("The first that was not read").with(Code::Unseen(number)));
            }
        }
        out.status(&Status::ok("UIDs are valid").with(Code::UidValidity(mailbox.uid_validity.0)));
        out.status(&Status::ok("The next UID").with(Code::UidNext(mailbox.uid_next.0)));
        let modseq = u64::try_from(mailbox.modseq.0).unwrap_or(0);
        out.status(&Status::ok("The last change").with(Code::HighestModSeq(modseq)));
        out.status(
            &Status::ok("It stays the same").with(Code::MailboxId(mailbox_id(mailbox, reach.is_shared()))),
        );
        if self.enabled.rev2 {
            out.text("* LIST () \"/\" ").mailbox(name).end();
        }
    }

    /// RFC 4314 §5.1.1: the flags that these rights are for.
    fn changeable(&self, rights: Rights, keywords: &[String]) -> String {
        let may_write = rights.contains(Rights::WRITE);
        let mut flags = self.writer();
        flags.flag_names(SYSTEM & Change::allowed(rights), if may_write { keywords } else { &[] });
        let flags = String::from_utf8_lossy(&flags.take()).into_owned();
        if may_write { format!("{flags} \\*") } else { flags }
    }

    /// RFC 7162 §3.2.5: what left since the client was here, and what changed.
    async fn resynchronise(
        &mut self,
        out: &mut Writer,
        reach: &Reach,
        roll: &Roll,
        view: &View<Listed>,
        known: &Qresync,
    ) -> Result<(), Status> {
        let since = ModSeq(i64::try_from(known.modseq).unwrap_or(i64::MAX));
        let vanished = self.vanished(reach, roll, since, known.known.as_ref()).await?;
        write_vanished(out, &vanished);
        let last = view.messages().last().map(|message| message.uid.0);
        let wanted = known.known.as_ref().map(|set| set.resolve(last));
        for (number, message) in view.changed_since(since) {
            if wanted.as_ref().is_none_or(|ranges| is_among(ranges, message.uid.0)) {
                fetch_line(out, number, message, self.enabled, true);
            }
        }
        Ok(())
    }

    /// UIDs that left the mailbox after `since`, of those that the client knows. Where that is not remembered any more,
    /// all that are not there.
    pub(super) async fn vanished(
        &mut self,
        reach: &Reach,
        roll: &Roll,
        since: ModSeq,
        known: Option<&SequenceSet>,
    ) -> Result<Vec<(u32, u32)>, Status> {
        let below = roll.mailbox.uid_next.0;
        let known = known.map_or_else(
            || vec![(1, below.saturating_sub(1))],
            |known| known.resolve(Some(below.saturating_sub(1))),
        );
        match reach.vanished(since).await.map_err(answers::refusal)? {
            Some(uids) => Ok(uids
                .into_iter()
                .map(|uid| uid.0)
                // It is looked up later than the list: what that still has is told when it goes.
                .filter(|uid| is_among(&known, *uid) && roll.messages.place(Uid(*uid)).is_none())
                .map(|uid| (uid, uid))
                .collect()),
            None => Ok(gaps(&roll.messages, below, &known)),
        }
    }

    /// Leaves the selected mailbox; false if there was none.
    pub(super) fn unselect(&mut self) -> bool {
        self.fresh.clear();
        let was_selected = self.selected.take().is_some();
        if was_selected {
            self.engine.enter(State::Authenticated);
        }
        was_selected
    }

    pub(super) async fn close(&mut self, expunge: bool) -> Answer {
        let selected = self.selected()?;
        let read_only = selected.read_only;
        let mut modseq = selected.mailbox.modseq;
        // RFC 4314 §4: without the right it is closed all the same.
        if expunge
            && !read_only
            && let Some(reach) = self.readable().await?
            && reach.rights().contains(Rights::EXPUNGE)
        {
            self.expunge_deleted(&reach, None).await?;
            modseq = self.roll_of(&reach).await?.mailbox.modseq;
        }
        self.unselect();
        Ok(news::highest(Status::ok("Closed"), modseq, self.enabled))
    }

    /// Of the whole mailbox, or of a set of UIDs (RFC 4315 §2.1).
    pub(super) async fn expunge(&mut self, set: Option<&SequenceSet>) -> Answer {
        let selected = self.selected()?;
        if selected.read_only {
            return Err(answers::read_only());
        }
        let reach = self.reach().await?;
        let lowest = self.expunge_deleted(&reach, set).await?;
        self.tell_news(Expunges::Told).await?;
        let modseq = self.selected()?.mailbox.modseq;
        let status = news::highest(Status::ok("Expunged"), modseq, self.enabled);
        Ok(self.limited(status, lowest))
    }

    /// Of the mailbox as it is now, whatever the client knows of it. RFC 9738 §3.1: only a set has a limit.
    async fn expunge_deleted(
        &mut self,
        reach: &Reach,
        set: Option<&SequenceSet>,
    ) -> Result<Option<Uid>, Status> {
        let roll = self.roll_of(reach).await?;
        let wanted = match set {
            None => vec![(1, u32::MAX)],
            Some(SequenceSet::Saved) => self.selected()?.saved.iter().map(|uid| (uid.0, uid.0)).collect(),
            Some(set) => set.resolve(roll.messages.last().map(|message| message.uid.0)),
        };
        let deleted =
            roll.messages.among(|digest| digest.any.contains(Flags::DELETED)).filter(|(_, message)| {
                message.flags.contains(Flags::DELETED) && is_among(&wanted, message.uid.0)
            });
        let mut deleted: Vec<_> = deleted.map(|(_, message)| (0, message.clone())).collect();
        let lowest = set.and_then(|_| self.cut(&mut deleted));
        let targets: Vec<_> = deleted.iter().map(|(_, message)| target(message)).collect();
        let progress = Progress::default();
        self.patiently(&progress, reach.expunge(&targets)).await.map_err(answers::refused)?;
        Ok(lowest)
    }

    /// The messages of a set, with their numbers.
    pub(super) fn messages(&mut self, set: &SequenceSet, uid: bool) -> Result<Vec<(u32, Listed)>, Status> {
        self.messages_changed_since(None, set, uid)
    }

    /// The same of those that have changed since, if that is said.
    pub(super) fn messages_changed_since(
        &mut self,
        since: Option<ModSeq>,
        set: &SequenceSet,
        uid: bool,
    ) -> Result<Vec<(u32, Listed)>, Status> {
        let selected = self.selected()?;
        let ranges = match set {
            SequenceSet::Saved => {
                let numbers = selected.saved.iter().filter_map(|uid| selected.view.number(*uid));
                numbers.map(|number| (number, number)).collect()
            }
            SequenceSet::Ranges(_) => selected.view.resolve(set, uid).ok_or_else(answers::no_such_message)?,
        };
        let Some(since) = since else {
            let all = ranges.into_iter().flat_map(|(first, last)| selected.view.range(first, last));
            return Ok(all.map(|(number, message)| (number, message.clone())).collect());
        };
        let changed = selected.view.changed_since(since).filter(|(number, _)| is_among(&ranges, *number));
        Ok(changed.map(|(number, message)| (number, message.clone())).collect())
    }
}

pub(super) fn target(message: &Listed) -> Target {
    Target { id: message.id, uid: message.uid }
}

/// All keywords of a mailbox.
fn keywords(messages: &Sequence<Listed>) -> Vec<String> {
    let all: BTreeSet<&String> =
        messages.digests().flat_map(|digest| &digest.keywords).flat_map(|set| &**set).collect();
    changed_keywords(all.into_iter().cloned().collect(), &[], &[])
}

/// Whether one of the ranges, which are in order, has this UID or number.
fn is_among(ranges: &[(u32, u32)], number: u32) -> bool {
    let at = ranges.partition_point(|(_, end)| *end < number);
    ranges.get(at).is_some_and(|(start, _)| *start <= number)
}

/// The known UIDs below `below` that no message has.
fn gaps(messages: &Sequence<Listed>, below: u32, known: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut gaps = Vec::new();
    let mut next = 1;
    let ends = messages.iter().map(|message| message.uid.0).chain([below]);
    for uid in ends {
        if uid > next {
            let first = known.partition_point(|(_, end)| *end < next);
            let reached = known.iter().skip(first).take_while(|(start, _)| *start < uid);
            gaps.extend(reached.map(|(start, end)| ((*start).max(next), (*end).min(uid - 1))));
        }
        next = uid.saturating_add(1);
    }
    gaps
}

/// `VANISHED (EARLIER)`; ranges in order.
pub(super) fn write_vanished(out: &mut Writer, ranges: &[(u32, u32)]) {
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, before)) if *start <= before.saturating_add(1) => *before = (*before).max(*end),
            Some(_) | None => merged.push((*start, *end)),
        }
    }
    if merged.is_empty() {
        return;
    }
    out.text("* VANISHED (EARLIER) ");
    for (place, (start, end)) in merged.iter().enumerate() {
        if place > 0 {
            out.text(",");
        }
        match start == end {
            true => out.format(format_args!("{start}")),
            false => out.format(format_args!("{start}:{end}")),
        };
    }
    out.end();
}
