//! What SEARCH and THREAD read of messages that the list leaves open, in stages: few bytes of many first, then texts.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use imap::Status;
use mail::{Listed, Reach, Texts};
use message::Signature;
use types::MessageId;

use super::super::answers;
use super::super::progress::Progress;
use super::matching::{Facts, Plan};

/// Messages that are read by one query.
const WITH_ROWS: usize = 500;
const WITH_STRUCTURES: usize = 200;
const WITH_SIGNATURES: usize = 1_000;
const WITH_LETTERS: usize = 64;
const LETTER_BYTES: u64 = 2 << 20;
/// Batches that are read at the same time, unless they have a larger message.
const AT_ONCE: usize = 3;
const LARGE_BYTES: u64 = 1 << 20;
/// Signatures that are written by one commit.
const SIGNED_AT_ONCE: usize = 300;

type Numbered<'a> = (u32, &'a Listed);
type Batch<'b, 'a> = &'b [Numbered<'a>];

/// Adds to those that were found whichever of the open ones are as wished, too.
pub(super) async fn decide<'a>(
    reach: &Reach,
    plan: &Plan,
    mut open: Vec<Numbered<'a>>,
    found: &mut Vec<Numbered<'a>>,
    progress: &Progress,
) -> Result<(), Status> {
    let mut source = Source { reach, needs: Needs::of(plan), unsigned: HashSet::new() };
    let mut fresh = Vec::new();
    let stages = [Stage::Rows, Stage::Structures, Stage::Signatures, Stage::Letters];
    let stages: Vec<_> = stages.into_iter().filter(|stage| stage.is_needed(plan)).collect();
    let (all, of) = (open.len(), open.len() * stages.len());
    for (nth, stage) in stages.into_iter().enumerate() {
        let (mut left, mut unsigned) = (Vec::new(), Vec::new());
        // What was decided before counts as looked at.
        let mut looked_at = (nth + 1) * all - open.len();
        let mut reads = source.reads(stage, &open);
        while let Some((batch, read)) = reads.next().await? {
            unsigned.extend(read.unsigned);
            fresh.extend(read.fresh);
            for ((number, message), facts) in batch.iter().zip(&read.facts) {
                // It is gone, and nothing is known of it.
                let Some(facts) = facts else { continue };
                match plan.decide(*number, message, facts) {
                    Some(true) => found.push((*number, *message)),
                    Some(false) => {}
                    None => left.push((*number, *message)),
                }
            }
            looked_at += batch.len();
            progress.set(looked_at, of);
            if fresh.len() > SIGNED_AT_ONCE {
                reads.settle().await;
                sign(reach, &mut fresh).await;
            }
        }
        drop(reads);
        source.unsigned.extend(unsigned);
        open = left;
    }
    sign(reach, &mut fresh).await;
    Ok(())
}

/// The signature of each of these messages; those that have none are read.
pub(in crate::imap) async fn signatures(
    reach: &Reach,
    messages: &[Numbered<'_>],
) -> Result<Vec<Option<Arc<[u8]>>>, Status> {
    let ids: Vec<_> = messages.iter().map(|(_, message)| message.id).collect();
    let known = reach.signatures(&ids).await.map_err(answers::refusal)?;
    let unsigned = messages.iter().zip(&known).filter(|(_, bits)| !says_something(bits));
    let unsigned: Vec<_> = unsigned.map(|(message, _)| *message).collect();
    if unsigned.is_empty() {
        return Ok(known);
    }
    let needs = Needs { rows: false, structures: false, texts: Texts::All };
    let source = Source { reach, needs, unsigned: unsigned.iter().map(|(_, message)| message.id).collect() };
    let mut fresh = Vec::new();
    let mut reads = source.reads(Stage::Letters, &unsigned);
    while let Some((_, read)) = reads.next().await? {
        fresh.extend(read.fresh);
        if fresh.len() > SIGNED_AT_ONCE {
            reads.settle().await;
            sign(reach, &mut fresh).await;
        }
    }
    sign(reach, &mut fresh).await;
    reach.signatures(&ids).await.map_err(answers::refusal)
}

/// Keeps these signatures. Without them the next search only takes longer.
async fn sign(reach: &Reach, fresh: &mut Vec<(MessageId, Vec<u8>)>) {
    if fresh.is_empty() {
        return;
    }
    if let Err(error) = reach.sign(std::mem::take(fresh)).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "signatures were not kept");
    }
}

/// Whether it is a signature that says something.
fn says_something(bits: &Option<Arc<[u8]>>) -> bool {
    bits.as_deref().and_then(Signature::read).is_some()
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

    fn length(self, rest: &[Numbered<'_>]) -> usize {
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

/// Messages in batches, each of which is read by one query.
struct Batches<'b, 'a> {
    stage: Stage,
    rest: Batch<'b, 'a>,
    /// The batch before is to be read alone.
    alone: bool,
}

impl<'b, 'a> Batches<'b, 'a> {
    const fn new(stage: Stage, messages: Batch<'b, 'a>) -> Self {
        Self { stage, rest: messages, alone: false }
    }

    /// The next batch, if there is one that may be read beside so many others.
    fn next(&mut self, others: usize) -> Option<Batch<'b, 'a>> {
        let (batch, after) = self.rest.split_at(self.stage.length(self.rest));
        let is_large = batch.iter().any(|(_, message)| message.size_bytes > LARGE_BYTES);
        let alone = self.stage == Stage::Letters && is_large;
        let fits = others == 0 || (others < AT_ONCE && !alone && !self.alone);
        if batch.is_empty() || !fits {
            return None;
        }
        (self.rest, self.alone) = (after, alone);
        Some(batch)
    }
}

/// Where a search reads.
struct Source<'r> {
    reach: &'r Reach,
    needs: Needs,
    /// Messages without a signature: they were there before there were any.
    unsigned: HashSet<MessageId>,
}

/// What a search looks at beside what is in memory.
#[derive(Debug, Clone, Copy)]
struct Needs {
    rows: bool,
    structures: bool,
    texts: Texts,
}

impl Needs {
    fn of(plan: &Plan) -> Self {
        let texts = plan.texts.unwrap_or(Texts::Header);
        Self { rows: plan.rows, structures: plan.structures, texts }
    }
}

/// What was read of a batch.
struct Read {
    /// What can be told of each message; `None`: it is gone.
    facts: Vec<Option<Facts>>,
    /// Those of which it turned out that they have no signature.
    unsigned: Vec<MessageId>,
    /// The signatures that such messages get, since they are read anyway.
    fresh: Vec<(MessageId, Vec<u8>)>,
}

impl Source<'_> {
    fn reads<'b, 'a>(&self, stage: Stage, messages: Batch<'b, 'a>) -> Reads<'_, 'b, 'a> {
        let batches = Batches::new(stage, messages);
        Reads { source: self, batches, begun: FuturesUnordered::new(), done: VecDeque::new() }
    }

    async fn batch(&self, stage: Stage, messages: &[Numbered<'_>]) -> Result<Read, Status> {
        let ids: Vec<_> = messages.iter().map(|(_, message)| message.id).collect();
        let mut facts: Vec<Option<Facts>> = ids.iter().map(|_| None).collect();
        let (mut unsigned, mut fresh) = (Vec::new(), Vec::new());
        if self.needs.rows {
            let mut rows = self.reach.rows(&ids).await.map_err(answers::refusal)?;
            for (id, facts) in ids.iter().zip(&mut facts) {
                *facts = rows.remove(id).map(|row| Facts { row: Some(Box::new(row)), ..Facts::default() });
            }
        }
        if self.needs.structures && matches!(stage, Stage::Structures | Stage::Letters) {
            let mut found = self.reach.structures(&ids).await.map_err(answers::refusal)?;
            for (id, facts) in ids.iter().zip(&mut facts) {
                let Some(structure) = found.remove(id) else { continue };
                facts.get_or_insert_default().structure = Some(structure);
            }
        }
        match stage {
            Stage::Rows | Stage::Structures => {}
            Stage::Signatures => {
                let found = self.reach.signatures(&ids).await.map_err(answers::refusal)?;
                for ((id, facts), bits) in ids.iter().zip(&mut facts).zip(found) {
                    let facts = facts.get_or_insert_default();
                    if says_something(&bits) {
                        facts.signature = bits;
                    } else {
                        unsigned.push(*id);
                    }
                }
            }
            Stage::Letters => {
                let has_unsigned = ids.iter().any(|id| self.unsigned.contains(id));
                let wanted = if has_unsigned { Texts::All } else { self.needs.texts };
                let found = self.reach.texts(&ids, wanted).await.map_err(answers::refusal)?;
                for ((id, facts), texts) in ids.iter().zip(&mut facts).zip(found) {
                    let Some(texts) = texts else { continue };
                    if self.unsigned.contains(id) {
                        fresh.push((*id, message::signature(&texts)));
                    }
                    facts.get_or_insert_default().texts = Some(texts);
                }
            }
        }
        Ok(Read { facts, unsigned, fresh })
    }
}

/// Batches that are being read, some at the same time. What has begun holds a connection, so it is waited for whatever
/// else happens.
struct Reads<'s, 'b, 'a> {
    source: &'s Source<'s>,
    batches: Batches<'b, 'a>,
    begun: FuturesUnordered<BoxFuture<'s, Done<'b, 'a>>>,
    done: VecDeque<Done<'b, 'a>>,
}

type Done<'b, 'a> = (Batch<'b, 'a>, Result<Read, Status>);

impl<'s, 'b: 's, 'a: 's> Reads<'s, 'b, 'a> {
    /// Whichever is read next; `None`: that was all.
    async fn next(&mut self) -> Result<Option<(Batch<'b, 'a>, Read)>, Status> {
        while let Some(batch) = self.batches.next(self.begun.len() + self.done.len()) {
            let (source, stage) = (self.source, self.batches.stage);
            self.begun.push(Box::pin(async move { (batch, source.batch(stage, batch).await) }));
        }
        let done = match self.done.pop_front() {
            Some(done) => Some(done),
            None => self.begun.next().await,
        };
        match done {
            Some((batch, Ok(read))) => Ok(Some((batch, read))),
            Some((_, Err(refusal))) => {
                self.settle().await;
                Err(refusal)
            }
            None => Ok(None),
        }
    }

    /// Lets what has begun come to its end, before something else is waited for.
    async fn settle(&mut self) {
        while let Some(done) = self.begun.next().await {
            self.done.push_back(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use types::{Flags, ModSeq, Timestamp, Uid};

    use super::*;

    fn message(size_bytes: u64) -> Listed {
        let at = Timestamp::default();
        Listed {
            id: MessageId::at(at, [1; 10]),
            uid: Uid(1),
            modseq: ModSeq(1),
            flags: Flags::NONE,
            keywords: Arc::default(),
            received_at: at,
            sent_at: None,
            size_bytes,
        }
    }

    /// How many messages the batches have that are read together, if all are waited for before more are begun.
    fn check(stage: Stage, sizes: &[u64], wanted: &[&[usize]]) {
        let messages: Vec<_> = sizes.iter().map(|size| message(*size)).collect();
        let numbered: Vec<_> = (1..).zip(&messages).collect();
        let mut batches = Batches::new(stage, &numbered);
        for together in wanted {
            for (others, length) in together.iter().enumerate() {
                assert_eq!(batches.next(others).map(<[_]>::len), Some(*length), "{stage:?} {wanted:?}");
            }
            let more = batches.next(together.len());
            assert!(more.is_none(), "{stage:?} {wanted:?}");
        }
        assert!(batches.next(0).is_none(), "{stage:?} {wanted:?}");
    }

    #[test]
    fn large_messages_are_read_alone() {
        let (small, large) = (1_000, LARGE_BYTES + 1);
        check(Stage::Letters, &[], &[]);
        check(Stage::Letters, &[small; 3 * WITH_LETTERS], &[&[WITH_LETTERS; 3]]);
        check(Stage::Letters, &[small; 3 * WITH_LETTERS + 1], &[&[WITH_LETTERS; 3], &[1]]);
        check(Stage::Letters, &[LARGE_BYTES; 5], &[&[2, 2, 1]]);
        check(Stage::Letters, &[large; 3], &[&[1], &[1], &[1]]);
        check(Stage::Letters, &[large, LETTER_BYTES, small], &[&[1], &[1], &[1]]);
        let mixed = [[small; WITH_LETTERS].as_slice(), &[large], &[small; WITH_LETTERS + 1]].concat();
        check(Stage::Letters, &mixed, &[&[WITH_LETTERS], &[WITH_LETTERS], &[2]]);
        check(Stage::Rows, &[large; WITH_ROWS + 1], &[&[WITH_ROWS, 1]]);
    }
}
