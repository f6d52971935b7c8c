//! Reading a folder back as if every run were restored from it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    path::Path,
};

use anyhow::ensure;
use types::{AccountId, BlobId, Timestamp};

use super::{
    Watch,
    blobs::BlobFolder,
    chain::{Entries, Segment, segments},
    folder::{Chain, Folder},
    lines::check,
    loss::{Loss, damage, instead, lost_blobs, play},
    manifest::Manifest,
    replay::Replay,
};
use crate::causes::in_words;

/// What a folder holds, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    pub chains: u64,
    pub runs: u64,
    /// Of the newest run.
    pub accounts: u64,
    /// Of the newest run.
    pub messages: u64,
    pub blobs: u64,
    /// Of all files that runs name.
    pub size_bytes: u64,
    /// What is wrong with files and runs, a line each.
    pub faults: Vec<String>,
    /// What restoring a run would lose.
    pub losses: Vec<Loss>,
}

/// Reads everything.
///
/// # Errors
/// The folder cannot be read at all, or is no folder of backups. Whatever is wrong within it is among
/// [`Verified::faults`].
pub fn verify(folder: &Path, watch: &Watch) -> anyhow::Result<Verified> {
    let folder = Folder::open(folder)?;
    let mut verifier = Verifier {
        blobs: BlobFolder::new(folder.blobs()),
        watch,
        named: BTreeMap::new(),
        lost_before: HashSet::new(),
        bad: HashMap::new(),
        verified: Verified::default(),
    };
    let chains = folder.chains()?;
    let mut read = Vec::new();
    for chain in &chains {
        read.push(verifier.chain(chain));
    }
    verifier.blobs();
    for accounts in &mut read {
        verifier.lost_blobs(accounts);
        verifier.tell(accounts);
    }
    Ok(verifier.verified)
}

struct Verifier<'a> {
    blobs: BlobFolder,
    watch: &'a Watch,
    /// Blobs that runs name, and their sizes in bytes.
    named: BTreeMap<BlobId, u64>,
    /// Blobs that the service did not have any more.
    lost_before: HashSet<BlobId>,
    /// What is wrong with blobs.
    bad: HashMap<BlobId, String>,
    verified: Verified,
}

/// The accounts of a chain.
struct Accounts<'a> {
    chain: &'a Chain,
    /// How many of its runs can be restored as far as accounts are concerned.
    runs: usize,
    /// Those whose directory cannot be read.
    without: HashSet<usize>,
    rounds: BTreeMap<AccountId, Vec<Round>>,
    hurts: HashMap<AccountId, Vec<Hurt>>,
}

/// A round, and the run that has it.
struct Round {
    run: usize,
    segment: Segment,
    usable: bool,
}

/// Something that an account lacks in some runs.
struct Hurt {
    created_at: Timestamp,
    runs: Range<usize>,
    what: String,
    queued: bool,
}

impl Verifier<'_> {
    fn chain<'a>(&mut self, chain: &'a Chain) -> Accounts<'a> {
        self.verified.chains += 1;
        self.verified.faults.extend(chain.fault.clone());
        let mut accounts = Accounts {
            chain,
            runs: chain.manifests.len(),
            without: HashSet::new(),
            rounds: BTreeMap::new(),
            hurts: HashMap::new(),
        };
        let mut seen = HashMap::new();
        for (run, manifest) in chain.manifests.iter().enumerate() {
            self.verified.runs += 1;
            self.files(chain, manifest, &mut seen);
            if !seen.get(&manifest.directory.path).copied().unwrap_or_default() {
                self.verified
                    .faults
                    .push(format!("run {} cannot be restored: its directory is damaged", manifest.run));
                accounts.without.insert(run);
            }
            if run >= accounts.runs {
                continue;
            }
            let read = match seen.get(&manifest.accounts.path) {
                Some(true) => segments(&chain.folder, manifest),
                _ => Err(anyhow::anyhow!("its list of accounts is damaged")),
            };
            match read {
                Ok(segments) => {
                    for segment in segments {
                        let rounds = accounts.rounds.entry(segment.account).or_default();
                        rounds.push(Round { run, segment, usable: false });
                    }
                }
                Err(error) => {
                    accounts.runs = run;
                    let fault = format!(
                        "run {} and those after it cannot be restored: {}",
                        manifest.run,
                        in_words(&error)
                    );
                    self.verified.faults.push(fault);
                }
            }
        }
        // Later runs bring what earlier ones could not have.
        self.verified.faults.extend(chain.manifests.last().into_iter().flat_map(Manifest::absences));
        self.rounds(&mut accounts);
        accounts
    }

    /// Looks at the files of the run, each once; whether it is whole.
    fn files(&mut self, chain: &Chain, manifest: &Manifest, seen: &mut HashMap<String, bool>) {
        for piece in manifest.pieces() {
            if seen.contains_key(&piece.path) {
                continue;
            }
            self.verified.size_bytes += piece.size_bytes;
            let path = chain.folder.join(&piece.path);
            let mut checked = check(&path, &piece.extent());
            if checked.is_ok() && piece.path == manifest.directory.path {
                checked = people(chain, manifest);
            }
            seen.insert(piece.path.clone(), checked.is_ok());
            let fault = checked.err().map(|error| format!("{}: {}", path.display(), in_words(&error)));
            self.verified.faults.extend(fault);
        }
    }

    fn rounds(&mut self, accounts: &mut Accounts<'_>) {
        let Accounts { chain, runs, rounds, hurts, .. } = accounts;
        self.watch.begin(rounds.len() as u64);
        for (account, rounds) in rounds {
            let hurt = self.account(chain, *runs, rounds);
            if !hurt.is_empty() {
                hurts.insert(*account, hurt);
            }
            self.watch.step();
        }
    }

    /// Replays an account's rounds as far as they are whole.
    fn account(&mut self, chain: &Chain, runs: usize, rounds: &mut [Round]) -> Vec<Hurt> {
        let mut hurts = Vec::new();
        let mut replay = Replay::default();
        let mut last: Option<Segment> = None;
        let mut broken = false;
        let next_whole = begins(rounds, runs);
        for (round, until) in rounds.iter_mut().zip(next_whole) {
            let segment = &round.segment;
            if segment.since == 0 {
                (replay, last, broken) = (Replay::default(), None, false);
            }
            if broken {
                continue;
            }
            if let Some(damage) = damage(chain, segment) {
                let what = instead(&damage, last.as_ref());
                let runs = round.run..until;
                hurts.push(Hurt { created_at: segment.created_at, runs, what, queued: false });
                broken = true;
                continue;
            }
            match self.round(chain, segment, &mut replay, last.as_ref()) {
                Ok(()) => {
                    round.usable = true;
                    last = Some(segment.clone());
                }
                // Nothing is damaged, but the program that wrote it was wrong.
                Err(error) => {
                    self.verified.faults.push(format!("account {}: {}", segment.account, in_words(&error)));
                    broken = true;
                }
            }
        }
        hurts
    }

    fn round(
        &mut self,
        chain: &Chain,
        segment: &Segment,
        replay: &mut Replay,
        last: Option<&Segment>,
    ) -> anyhow::Result<()> {
        let upto = last.map_or(0, |last| last.upto);
        ensure!(
            segment.since == upto,
            "a run before it is missing: it goes on from modseq {}",
            segment.since
        );
        let played = play(chain, segment, replay)?;
        self.named.extend(played.blobs);
        self.lost_before.extend(&segment.missing);
        let Segment { file, .. } = segment;
        ensure!(played.end == Some(segment.upto), "{file}: it does not end at modseq {}", segment.upto);
        let records = played.records;
        ensure!(
            records == segment.records,
            "{file}: it has {records} records instead of {}",
            segment.records
        );
        let counts = replay.counts();
        ensure!(
            counts == segment.counts,
            "{file}: it leads to {counts:?}, but the account had {:?}",
            segment.counts
        );
        Ok(())
    }

    /// Every blob that a run names.
    fn blobs(&mut self) {
        self.watch.begin(self.named.len() as u64);
        for (id, size_bytes) in &self.named {
            self.verified.blobs += 1;
            self.verified.size_bytes += size_bytes;
            if let Some(fault) = self.blobs.fault(*id) {
                let why = if self.lost_before.contains(id) {
                    " (the service had lost it before it was backed up)"
                } else {
                    ""
                };
                self.verified.faults.push(format!("{fault}{why}"));
                self.bad.insert(*id, fault);
            }
            self.watch.step();
        }
    }

    /// Who lacks which blob, and in which runs.
    fn lost_blobs(&mut self, accounts: &mut Accounts<'_>) {
        if self.bad.is_empty() {
            return;
        }
        let Accounts { chain, runs, rounds, hurts, .. } = accounts;
        for (account, rounds) in rounds {
            let mut replay = Replay::default();
            // A round that cannot be used leaves the account as it was.
            let usable: Vec<_> =
                rounds.iter().filter(|round| round.usable || round.segment.since == 0).collect();
            for (at, round) in usable.iter().enumerate() {
                if round.segment.since == 0 {
                    replay = Replay::default();
                }
                if !round.usable {
                    continue;
                }
                if let Err(error) = play(chain, &round.segment, &mut replay) {
                    self.verified.faults.push(in_words(&error));
                    continue;
                }
                let until = usable.get(at + 1).map_or(*runs, |next| next.run);
                let created_at = round.segment.created_at;
                let lost = lost_blobs(&replay, &self.bad).into_iter();
                let hurt = |(what, queued)| Hurt { created_at, runs: round.run..until, what, queued };
                let lost: Vec<_> = lost.map(hurt).collect();
                if !lost.is_empty() {
                    hurts.entry(*account).or_default().extend(lost);
                }
            }
        }
    }

    /// Goes through the runs as restoring everything does.
    fn tell(&mut self, accounts: &Accounts<'_>) {
        let Accounts { chain, runs, without, rounds, hurts } = accounts;
        let mut losses: BTreeMap<(String, String), Loss> = BTreeMap::new();
        for (run, manifest) in chain.manifests.iter().enumerate().take(*runs) {
            let is_last = run + 1 == chain.manifests.len();
            if without.contains(&run) || (hurts.is_empty() && !is_last) {
                continue;
            }
            if is_last {
                (self.verified.accounts, self.verified.messages) = (0, 0);
            }
            let told = each_person(chain, manifest, |id, created_at, email| {
                if is_last {
                    let last = rounds.get(&id).and_then(|rounds| rounds.last());
                    let last = last.filter(|last| last.segment.created_at == created_at);
                    self.verified.accounts += 1;
                    self.verified.messages += last.map_or(0, |last| last.segment.counts.messages);
                }
                for hurt in hurts.get(&id).into_iter().flatten() {
                    if hurt.created_at == created_at && hurt.runs.contains(&run) {
                        let Hurt { what, queued, .. } = hurt;
                        let loss = losses.entry((email.to_owned(), what.clone())).or_insert_with(|| Loss {
                            who: email.to_owned(),
                            what: what.clone(),
                            queued: *queued,
                            runs: Vec::new(),
                        });
                        loss.runs.push(manifest.run.clone());
                    }
                }
            });
            self.verified.faults.extend(told.err().map(|error| in_words(&error)));
        }
        self.verified.losses.extend(losses.into_values());
    }
}

/// For each round the run in which the account begins anew after it.
fn begins(rounds: &[Round], runs: usize) -> Vec<usize> {
    let mut until = runs;
    let mut all: Vec<_> = rounds
        .iter()
        .rev()
        .map(|round| {
            let this = until;
            if round.segment.since == 0 {
                until = round.run;
            }
            this
        })
        .collect();
    all.reverse();
    all
}

fn people(chain: &Chain, manifest: &Manifest) -> anyhow::Result<()> {
    each_person(chain, manifest, |_, _, _| {})
}

fn each_person(
    chain: &Chain,
    manifest: &Manifest,
    mut with: impl FnMut(AccountId, Timestamp, &str),
) -> anyhow::Result<()> {
    let mut entries = Entries::open(&chain.folder, manifest)?;
    while let Some(person) = entries.next_person()? {
        with(person.id, person.created_at, &person.email.to_string());
    }
    Ok(())
}
