//! SEARCH (RFC 9051 §6.4.4): what is in memory decides first, and only messages that it leaves open are read.

pub(super) mod matching;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use imap::wire::{Options, Search};
use imap::{Code, Status, Writer};
use mail::{Listed, Texts};
use message::Signature;
use types::{MessageId, Uid};

use super::answers;
use super::context::Members;
use super::progress::Progress;
use super::session::{Answer, Session};
use matching::{Facts, Plan};

/// Messages that are read at once.
const WITH_ROWS: usize = 500;
const WITH_STRUCTURES: usize = 200;
const WITH_SIGNATURES: usize = 1_000;
const WITH_LETTERS: usize = 32;
const LETTER_BYTES: u64 = 4 << 20;
/// Signatures that are written by one commit.
const SIGNED_AT_ONCE: usize = 300;

impl Session {
    pub(super) async fn search(&mut self, search: Search, uid: bool) -> Answer {
        self.check_update(&search)?;
        let options = search.options;
        let Found { messages: found, lowest } = match self.find(&search).await {
            Ok(found) => found,
            Err(refusal) => {
                // RFC 5182 §2.1: the last result is not kept beside a search that failed.
                if options.is_some_and(|options| options.save) {
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
        let (list, progress) = (selected.view.list(), Progress::default());
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
    read_and_decide(reach, plan, open, &mut found, progress).await?;
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

async fn read_and_decide<'a>(
    reach: &mail::Reach,
    plan: &Plan,
    mut open: Vec<(u32, &'a Listed)>,
    found: &mut Vec<(u32, &'a Listed)>,
    progress: &Progress,
) -> Result<(), Status> {
    let mut reader = Reader::new(reach, plan);
    let stages = [Stage::Rows, Stage::Structures, Stage::Signatures, Stage::Letters];
    let stages: Vec<_> = stages.into_iter().filter(|stage| stage.is_needed(plan)).collect();
    let (all, of) = (open.len(), open.len() * stages.len());
    for (nth, stage) in stages.into_iter().enumerate() {
        let mut left = Vec::new();
        let mut rest = open.as_slice();
        while !rest.is_empty() {
            // What was decided before counts as looked at.
            progress.set((nth + 1) * all - rest.len(), of);
            let (batch, after) = rest.split_at(stage.length(rest));
            rest = after;
            let ids: Vec<_> = batch.iter().map(|(_, message)| message.id).collect();
            let facts = reader.read(stage, &ids).await?;
            for ((number, message), facts) in batch.iter().zip(&facts) {
                // It is gone, and nothing is known of it.
                let Some(facts) = facts else { continue };
                match plan.decide(*number, message, facts) {
                    Some(true) => found.push((*number, message)),
                    Some(false) => {}
                    None => left.push((*number, *message)),
                }
            }
        }
        open = left;
    }
    reader.sign(0).await;
    Ok(())
}

/// What is read of messages that are not decided yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rows,
    Structures,
    /// What is certainly not in them: that decides most.
    Signatures,
    Letters,
}

impl Stage {
    fn is_needed(self, plan: &Plan) -> bool {
        match self {
            Self::Rows => plan.rows,
            Self::Structures => plan.structures,
            Self::Signatures | Self::Letters => plan.texts.is_some(),
        }
    }

    fn length(self, rest: &[(u32, &Listed)]) -> usize {
        let most = match self {
            Self::Rows => WITH_ROWS,
            Self::Structures => WITH_STRUCTURES,
            Self::Signatures => WITH_SIGNATURES,
            Self::Letters => {
                let mut bytes = 0;
                let fits = rest.iter().take(WITH_LETTERS).take_while(|(_, message)| {
                    bytes += message.size_bytes;
                    bytes <= LETTER_BYTES
                });
                return fits.count().max(1).min(rest.len());
            }
        };
        most.min(rest.len())
    }
}

/// Reads for one search.
pub(super) struct Reader<'a> {
    reach: &'a mail::Reach,
    needs: Needs,
    /// Messages without a signature: they were there before there were any.
    unsigned: HashSet<MessageId>,
    /// The signatures that they get, since they are read anyway.
    fresh: Vec<(MessageId, Vec<u8>)>,
}

/// What a search looks at beside what is in memory.
#[derive(Debug, Clone, Copy)]
struct Needs {
    rows: bool,
    structures: bool,
    texts: Texts,
}

impl<'a> Reader<'a> {
    fn new(reach: &'a mail::Reach, plan: &Plan) -> Self {
        let needs = Needs {
            rows: plan.rows,
            structures: plan.structures,
            texts: plan.texts.unwrap_or(Texts::Header),
        };
        Self { reach, needs, unsigned: HashSet::new(), fresh: Vec::new() }
    }

    /// For those who want to know what every message follows.
    pub(super) fn of_everything(reach: &'a mail::Reach) -> Self {
        let needs = Needs { rows: false, structures: false, texts: Texts::All };
        Self { reach, needs, unsigned: HashSet::new(), fresh: Vec::new() }
    }

    /// The signature of each of these messages; those that have none are read.
    pub(super) async fn signatures(
        &mut self,
        batch: &[(u32, &Listed)],
    ) -> Result<Vec<Option<Arc<[u8]>>>, Status> {
        let ids: Vec<_> = batch.iter().map(|(_, message)| message.id).collect();
        let known = self.reach.signatures(&ids).await.map_err(answers::refusal)?;
        let unsigned: Vec<_> = batch
            .iter()
            .zip(&known)
            .filter(|(_, bits)| !says_something(bits))
            .map(|(message, _)| *message)
            .collect();
        if unsigned.is_empty() {
            return Ok(known);
        }
        self.unsigned.extend(unsigned.iter().map(|(_, message)| message.id));
        let mut rest = unsigned.as_slice();
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(Stage::Letters.length(rest));
            rest = after;
            let ids: Vec<_> = batch.iter().map(|(_, message)| message.id).collect();
            self.read(Stage::Letters, &ids).await?;
        }
        self.sign(0).await;
        self.reach.signatures(&ids).await.map_err(answers::refusal)
    }

    /// What can be told of each of these messages; `None`: it is gone.
    async fn read(&mut self, stage: Stage, ids: &[MessageId]) -> Result<Vec<Option<Facts>>, Status> {
        let mut all: Vec<Option<Facts>> = ids.iter().map(|_| None).collect();
        if self.needs.rows {
            let mut rows = self.reach.rows(ids).await.map_err(answers::refusal)?;
            for (id, facts) in ids.iter().zip(&mut all) {
                *facts = rows.remove(id).map(|row| Facts { row: Some(Box::new(row)), ..Facts::default() });
            }
        }
        if self.needs.structures && matches!(stage, Stage::Structures | Stage::Letters) {
            let mut found = self.reach.structures(ids).await.map_err(answers::refusal)?;
            for (id, facts) in ids.iter().zip(&mut all) {
                let Some(structure) = found.remove(id) else { continue };
                facts.get_or_insert_default().structure = Some(structure);
            }
        }
        match stage {
            Stage::Rows | Stage::Structures => {}
            Stage::Signatures => {
                let found = self.reach.signatures(ids).await.map_err(answers::refusal)?;
                for ((id, facts), bits) in ids.iter().zip(&mut all).zip(found) {
                    let facts = facts.get_or_insert_default();
                    if says_something(&bits) {
                        facts.signature = bits;
                    } else {
                        self.unsigned.insert(*id);
                    }
                }
            }
            Stage::Letters => {
                let has_unsigned = ids.iter().any(|id| self.unsigned.contains(id));
                let wanted = if has_unsigned { Texts::All } else { self.needs.texts };
                let found = self.reach.texts(ids, wanted).await.map_err(answers::refusal)?;
                for ((id, facts), texts) in ids.iter().zip(&mut all).zip(found) {
                    let Some(texts) = texts else { continue };
                    if self.unsigned.contains(id) {
                        self.fresh.push((*id, message::signature(&texts)));
                    }
                    facts.get_or_insert_default().texts = Some(texts);
                }
                self.sign(SIGNED_AT_ONCE).await;
            }
        }
        Ok(all)
    }

    /// Keeps the new signatures once there are more than this. Without them the next search only takes longer.
    async fn sign(&mut self, most: usize) {
        if self.fresh.len() <= most {
            return;
        }
        if let Err(error) = self.reach.sign(std::mem::take(&mut self.fresh)).await {
            tracing::debug!(error = &error as &dyn std::error::Error, "signatures were not kept");
        }
    }
}

/// Whether it is a signature that says something.
fn says_something(bits: &Option<Arc<[u8]>>) -> bool {
    bits.as_deref().and_then(Signature::read).is_some()
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
