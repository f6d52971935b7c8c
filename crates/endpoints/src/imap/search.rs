//! SEARCH (RFC 9051 §6.4.4): what is in memory decides first, and only messages that it leaves open are read.

pub(super) mod matching;
pub(super) mod reading;

use std::num::NonZeroU32;

use imap::wire::{Options, Search};
use imap::{Code, Condition, Status, Writer};
use mail::Listed;
use types::Uid;

use super::answers;
use super::context::Members;
use super::progress::Progress;
use super::session::{Answer, Session};
use matching::{Facts, Plan};

impl Session {
    pub(super) async fn search(&mut self, search: Search, uid: bool) -> Answer {
        self.check_update(&search)?;
        let options = search.options;
        let Found { messages: found, lowest } = match self.find(&search).await {
            Ok(found) => found,
            Err(refusal) => {
                // RFC 5182 §2.1: the last result is not kept beside a search that failed, but for what was never begun.
                let has_failed = refusal.condition != Condition::Bad;
                if has_failed && options.is_some_and(|options| options.save) {
                    self.selected()?.saved.clear();
                }
                return Err(refusal);
            }
        };
        let mentions_modseq = matching::mentions_modseq(&search.key);
        self.enabled.condstore |= mentions_modseq;
        let modseq = found.iter().map(|(_, message)| message.modseq).max().filter(|_| mentions_modseq);
        let names: Vec<u32> =
            found.iter().map(|(number, message)| if uid { message.uid.0 } else { *number }).collect();
        let mut out = self.writer();
        match options {
            None if !self.enabled.rev2 => {
                out.text("* SEARCH");
                for name in &names {
                    out.format(format_args!(" {name}"));
                }
                if let Some(modseq) = modseq.filter(|_| !names.is_empty()) {
                    out.format(format_args!(" (MODSEQ {modseq})"));
                }
                out.end();
            }
            options => {
                let options = options.unwrap_or(Options { all: true, ..Options::default() });
                if options.save {
                    self.save(&found, options)?;
                }
                // RFC 5182 §2.1: who only saves is told nothing.
                let is_asked = options != (Options { save: true, ..Options::default() });
                if let Some(tag) = self.engine.tag().filter(|_| is_asked) {
                    write_esearch(&mut out, tag, None, &names, options, uid, modseq);
                }
            }
        }
        self.send(out);
        let uids = found.iter().map(|(_, message)| message.uid);
        self.keep(search, uid, Members::Plain(uids.collect()))?;
        Ok(self.limited(Status::ok("Searched"), lowest))
    }

    /// RFC 5182 §2.4: what is saved is what was asked for.
    fn save(&mut self, found: &[(u32, Listed)], options: Options) -> Result<(), Status> {
        let uids: Vec<Uid> = found.iter().map(|(_, message)| message.uid).collect();
        let saved =
            if options.all || options.count || options.partial.is_some() || !(options.min || options.max) {
                uids
            } else {
                let mut ends = Vec::new();
                ends.extend(uids.first().filter(|_| options.min));
                ends.extend(uids.last().filter(|_| options.max));
                ends.dedup();
                ends
            };
        self.selected()?.saved = saved;
        Ok(())
    }

    /// The messages that are as wished, with their numbers, in order.
    pub(super) async fn find(&mut self, search: &Search) -> Result<Found, Status> {
        if self.enabled.uid_only && matching::uses_numbers(&search.key) {
            return Err(answers::uid_required());
        }
        let (now, reach) = (self.mail.now(), self.reach().await?);
        let limit = self.settings.message_limit;
        let selected = self.selected()?;
        let plan = Plan::new(search, &selected.view, &selected.saved, now)?;
        let (list, progress) = (selected.view.messages().clone(), Progress::default());
        let all = list.iter().zip(1..).map(|(message, number)| (number, message));
        let (messages, lowest) =
            self.patiently(&progress, decide(&reach, &plan, all, limit, &progress)).await?;
        Ok(Found { messages, lowest })
    }
}

/// What a search found.
pub(super) struct Found {
    pub(super) messages: Vec<(u32, Listed)>,
    /// RFC 9738: below this UID nothing was looked at.
    pub(super) lowest: Option<Uid>,
}

/// Those of these messages that are as wished, in order of their numbers. Of those that may be, no more are looked at
/// than the limit allows, the last ones; then the UID is told that the search got down to.
pub(super) async fn decide<'a>(
    reach: &mail::Reach,
    plan: &Plan,
    messages: impl Iterator<Item = (u32, &'a Listed)>,
    limit: Option<NonZeroU32>,
    progress: &Progress,
) -> Result<(Vec<(u32, Listed)>, Option<Uid>), Status> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    for (number, message) in messages {
        match plan.decide(number, message, &Facts::default()) {
            Some(true) => found.push((number, message)),
            Some(false) => {}
            None => open.push((number, message)),
        }
    }
    let lowest = limit.and_then(|limit| cut(&mut found, &mut open, limit));
    reading::decide(reach, plan, open, &mut found, progress).await?;
    found.sort_unstable_by_key(|(number, _)| *number);
    Ok((found.into_iter().map(|(number, message)| (number, message.clone())).collect(), lowest))
}

/// Leaves the last of both, so many together, if there are more.
fn cut<'a>(
    found: &mut Vec<(u32, &'a Listed)>,
    open: &mut Vec<(u32, &'a Listed)>,
    limit: NonZeroU32,
) -> Option<Uid> {
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let mut uids: Vec<_> = found.iter().chain(open.iter()).map(|(_, message)| message.uid).collect();
    let over = uids.len().checked_sub(limit).filter(|over| *over > 0)?;
    uids.sort_unstable();
    let lowest = *uids.get(over)?;
    for all in [found, open] {
        all.retain(|(_, message)| message.uid >= lowest);
    }
    Some(lowest)
}

/// RFC 4731 §3.1; an empty result has no MIN, MAX and ALL. `of`: the mailbox and its UIDVALIDITY, if it is not the
/// selected one (RFC 7377 §2.1).
pub(super) fn write_esearch(
    out: &mut Writer,
    tag: &str,
    of: Option<(&str, u32)>,
    names: &[u32],
    options: Options,
    uid: bool,
    modseq: Option<types::ModSeq>,
) {
    out.text("* ESEARCH (TAG ").string(tag.as_bytes());
    if let Some((mailbox, validity)) = of {
        out.text(" MAILBOX ").mailbox(mailbox).format(format_args!(" UIDVALIDITY {validity}"));
    }
    out.text(")");
    if uid {
        out.text(" UID");
    }
    if let (Some(min), true) = (names.iter().min(), options.min) {
        out.format(format_args!(" MIN {min}"));
    }
    if let (Some(max), true) = (names.iter().max(), options.max) {
        out.format(format_args!(" MAX {max}"));
    }
    if options.all && !names.is_empty() {
        out.text(" ALL ").set(names.iter().copied());
    }
    if options.count {
        out.format(format_args!(" COUNT {}", names.len()));
    }
    if let Some((start, end)) = options.partial {
        out.format(format_args!(" PARTIAL ({start}:{end} "));
        let piece = partial(names, start, end);
        if piece.is_empty() {
            out.text("NIL");
        } else {
            out.set(piece.iter().copied());
        }
        out.text(")");
    }
    if let Some(modseq) = modseq.filter(|_| !names.is_empty()) {
        out.format(format_args!(" MODSEQ {modseq}"));
    }
    out.end();
}

/// RFC 9394 §3.1: from the front, or with minus signs from the end.
pub(super) fn partial<T>(names: &[T], start: i64, end: i64) -> &[T] {
    let place = |bound: i64| usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX).min(names.len());
    let first =
        usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX).saturating_sub(1).min(names.len());
    let range = if start < 0 { names.len() - place(end)..names.len() - first } else { first..place(end) };
    names.get(range).unwrap_or_default()
}

/// The charset of a search's strings is not known.
pub(super) fn bad_charset() -> Status {
    Status::no("That charset is not known").with(Code::BadCharset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_result_count_from_either_end() {
        let names = [1, 2, 3, 4, 5];
        assert_eq!(partial(&names, 1, 2), [1, 2]);
        assert_eq!(partial(&names, 4, 9), [4, 5]);
        assert_eq!(partial(&names, 7, 9), [0_u32; 0]);
        assert_eq!(partial(&names, -1, -2), [4, 5]);
        assert_eq!(partial(&names, -4, -9), [1, 2]);
    }
}
