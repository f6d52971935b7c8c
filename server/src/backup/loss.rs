//! What damage costs: how much of an account can be brought back, in the same words wherever it is told.
//!
//! **Invariant:** restoring a run loses what verifying the folder says, and nothing else; both ask here.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use anyhow::Context as _;
use storage::replica::Record;
use types::BlobId;

use super::{
    chain::Segment,
    folder::Chain,
    lines::{Reader, check},
    manifest::RunName,
    replay::{Named, Replay, User},
};
use crate::causes::in_words;

/// Something that restoring does not bring back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The account's address.
    pub who: String,
    /// What is wrong, and what comes of it.
    pub what: String,
    /// Whether only mail on its way needs it, which comes back if that is wanted.
    pub queued: bool,
    /// The runs that bring the account back without it, in order.
    pub runs: Vec<RunName>,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.what)?;
        match self.runs.as_slice() {
            [] => Ok(()),
            [run] => write!(f, " (run {run})"),
            [first, .., last] => write!(f, " (runs {first} to {last})"),
        }
    }
}

/// The rounds that can be used: all that come before the first that is damaged. What is said if there is one.
pub(super) fn whole<'a>(chain: &Chain, rounds: &'a [Segment]) -> (&'a [Segment], Option<String>) {
    let damaged = rounds.iter().enumerate().find_map(|(at, round)| Some((at, damage(chain, round)?)));
    match damaged {
        None => (rounds, None),
        Some((at, damage)) => {
            let before = rounds.get(..at).unwrap_or_default();
            (before, Some(instead(&damage, before.last())))
        }
    }
}

/// What is wrong with the bytes of a round.
pub(super) fn damage(chain: &Chain, round: &Segment) -> Option<String> {
    let path = chain.folder.join(&round.file);
    check(&path, &round.extent).err().map(|error| format!("{}: {}", path.display(), in_words(&error)))
}

/// What comes of a damaged round, if this is the last one before it.
pub(super) fn instead(damage: &str, before: Option<&Segment>) -> String {
    match before {
        None => format!("{damage}; nothing is restored"),
        Some(round) => format!("{damage}; it is restored as of run {}", round.run()),
    }
}

/// What a round was seen to be.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) records: u64,
    /// The account's modseq, if that came last.
    pub(super) end: Option<i64>,
    pub(super) blobs: Vec<Named>,
}

/// Does to the account what a round says.
pub(super) fn play(chain: &Chain, round: &Segment, replay: &mut Replay) -> anyhow::Result<Played> {
    let path = chain.folder.join(&round.file);
    let mut played = Played::default();
    let mut each = || {
        let mut reader = Reader::open(&path, &round.extent)?;
        while let Some((record, _)) = reader.next()? {
            played.records += 1;
            played.end = if let Record::Account(account) = &record { Some(account.modseq) } else { None };
            played.blobs.extend(replay.apply(record)?);
        }
        anyhow::Ok(())
    };
    each().with_context(|| path.display().to_string())?;
    Ok(played)
}

/// What is lost with blobs, of an account that is as the replay says; and whether only its queue needs them.
pub(super) fn lost_blobs(replay: &Replay, bad: &HashMap<BlobId, String>) -> BTreeMap<String, bool> {
    let mut lost = BTreeMap::new();
    for (blob, user) in replay.blobs() {
        if let Some(fault) = bad.get(&blob) {
            let only_queued = lost.entry(fault.clone()).or_insert(true);
            *only_queued &= user == User::Queue;
        }
    }
    let worded = |(fault, queued)| {
        let what = if queued { format!("{fault} (only mail on its way needs it)") } else { fault };
        (what, queued)
    };
    lost.into_iter().map(worded).collect()
}
