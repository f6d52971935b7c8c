//! SEARCH (RFC 9051 §6.4.4): what is in memory decides first, and only messages that it leaves open are read.

mod matching;

use std::collections::HashMap;

use imap::wire::{Options, Search};
use imap::{Code, Status, Writer};
use mail::Listed;
use types::{MessageId, Uid};

use super::answers;
use super::session::{Answer, Session};
use matching::{Facts, Plan};

/// Messages that are read at once.
const WITH_ROWS: usize = 500;
const WITH_STRUCTURES: usize = 200;
const WITH_LETTERS: usize = 32;
const LETTER_BYTES: u64 = 4 << 20;

impl Session {
    pub(super) async fn search(&mut self, search: Search, uid: bool) -> Answer {
        let Search { options, .. } = &search;
        let options = *options;
        let found = match self.find(&search).await {
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
                    write_esearch(&mut out, tag, &names, options, uid, modseq);
                }
            }
        }
        self.send(out);
        Ok(Status::ok("Searched"))
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
    pub(super) async fn find(&mut self, search: &Search) -> Result<Vec<(u32, Listed)>, Status> {
        let now = self.mail.now();
        let selected = self.selected()?;
        let plan = Plan::new(search, &selected.view, &selected.saved, now)?;
        let mut found = Vec::new();
        let mut open = Vec::new();
        for (message, number) in selected.view.messages().iter().zip(1..) {
            match plan.decide(number, message, &Facts::default()) {
                Some(true) => found.push((number, message.clone())),
                Some(false) => {}
                None => open.push((number, message.clone())),
            }
        }
        self.read_and_decide(&plan, open, &mut found).await?;
        found.sort_unstable_by_key(|(number, _)| *number);
        Ok(found)
    }

    async fn read_and_decide(
        &mut self,
        plan: &Plan,
        mut open: Vec<(u32, Listed)>,
        found: &mut Vec<(u32, Listed)>,
    ) -> Result<(), Status> {
        let access = self.access()?;
        for stage in [Stage::Rows, Stage::Structures, Stage::Letters] {
            if !stage.is_needed(plan) {
                continue;
            }
            let mut left = Vec::new();
            let mut rest = open.as_slice();
            while !rest.is_empty() {
                let (batch, after) = rest.split_at(stage.length(rest));
                rest = after;
                let ids: Vec<_> = batch.iter().map(|(_, message)| message.id).collect();
                let facts = stage.read(&access, &ids, plan).await?;
                for (number, message) in batch {
                    // What is gone meanwhile is found by nobody.
                    let Some(facts) = facts.get(&message.id) else { continue };
                    match plan.decide(*number, message, facts) {
                        Some(true) => found.push((*number, message.clone())),
                        Some(false) => {}
                        None => left.push((*number, message.clone())),
                    }
                }
            }
            open = left;
        }
        Ok(())
    }
}

/// What is read of messages that are not decided yet; each knows what the one before did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Rows,
    Structures,
    Letters,
}

impl Stage {
    const fn is_needed(self, plan: &Plan) -> bool {
        match self {
            Self::Rows => plan.rows,
            Self::Structures => plan.structures,
            Self::Letters => plan.letters,
        }
    }

    fn length(self, rest: &[(u32, Listed)]) -> usize {
        let most = match self {
            Self::Rows => WITH_ROWS,
            Self::Structures => WITH_STRUCTURES,
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

    async fn read(
        self,
        access: &mail::Access,
        ids: &[MessageId],
        plan: &Plan,
    ) -> Result<HashMap<MessageId, Facts>, Status> {
        let mut facts: HashMap<MessageId, Facts> = HashMap::new();
        if plan.rows {
            for (id, row) in access.rows(ids).await.map_err(answers::refusal)? {
                facts.entry(id).or_default().row = Some(row);
            }
        }
        match self {
            Self::Rows => {}
            Self::Structures => {
                for (id, structure) in access.structures(ids).await.map_err(answers::refusal)? {
                    facts.entry(id).or_default().structure = Some(structure);
                }
            }
            Self::Letters => {
                for (id, letter) in access.letters(ids).await.map_err(answers::refusal)? {
                    let texts = matching::texts(&letter, plan).await.map_err(answers::refusal)?;
                    let facts = facts.entry(id).or_default();
                    facts.texts = Some(texts);
                    facts.structure = Some(letter.structure);
                }
            }
        }
        Ok(facts)
    }
}

/// RFC 4731 §3.1; an empty result has no MIN, MAX and ALL.
pub(super) fn write_esearch(
    out: &mut Writer,
    tag: &str,
    names: &[u32],
    options: Options,
    uid: bool,
    modseq: Option<types::ModSeq>,
) {
    out.text("* ESEARCH (TAG ").string(tag.as_bytes()).text(")");
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
