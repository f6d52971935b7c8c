//! A run's manifest: the small file that says what belongs to the run, written when everything else is on disk.
//!
//! Two lines: JSON, and its BLAKE3 hash. Each manifest names the one before it with its hash, so that a chain is
//! whole or says where it is not.

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use storage::replica;
use types::{AccountId, Timestamp};

/// The version of the folder's layout and files.
const FORMAT: u32 = 1;

/// What a run is called: when it began, so that names sort by time (`20261122T163038Z`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunName(String);

impl RunName {
    /// The name for a run that begins now, after `last`.
    pub(super) fn next(now: Timestamp, last: Option<&Self>) -> Self {
        // Clocks are set back at times.
        let after = last.map_or(i64::MIN, |last| last.seconds().saturating_add(1));
        let time = Timestamp::from_seconds(now.seconds().max(after)).utc();
        let (date, clock) = (time.date(), time.time());
        Self(format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second()
        ))
    }

    /// The name, if this text looks like one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let name = Self(text.to_owned());
        (name.time().is_some()).then_some(name)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run began, to the second.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let name = self.0.as_bytes();
        let digits = |at: usize, count: usize| {
            let digits = name.get(at..at + count).filter(|text| text.iter().all(u8::is_ascii_digit));
            digits.and_then(|text| std::str::from_utf8(text).ok())
        };
        if name.len() != 16 || name.get(8) != Some(&b'T') || name.get(15) != Some(&b'Z') {
            return None;
        }
        let [year, month, day] = [digits(0, 4)?, digits(4, 2)?, digits(6, 2)?];
        let [hour, minute, second] = [digits(9, 2)?, digits(11, 2)?, digits(13, 2)?];
        format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
    }

    fn seconds(&self) -> i64 {
        self.time().map_or(i64::MIN, Timestamp::seconds)
    }
}

impl std::fmt::Display for RunName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a run consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// [`replica::VERSION`] of whoever wrote the rows.
    pub(super) records: u16,
    /// The version of the program.
    pub(super) program: String,
    pub(super) run: RunName,
    /// The run of the chain that this one goes on from.
    pub(super) previous: Option<Previous>,
    pub(super) began_at: Timestamp,
    pub(super) ended_at: Timestamp,
    /// Domains, accounts and addresses, all of them.
    pub(super) directory: Piece,
    /// The [`super::chain::Segment`]s of the run.
    pub(super) accounts: Piece,
    /// The records of the accounts that have changed.
    pub(super) rows: Vec<Piece>,
    /// Shards that were away: what has changed there is left to a later run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) away: Vec<Away>,
    /// Accounts that went from shard to shard whenever they were to be read: they are left to a later run, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) moving: Vec<AccountId>,
    /// Of the JSON that it was read from.
    #[serde(skip)]
    pub(super) hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Previous {
    pub(super) run: RunName,
    /// Of its manifest's JSON.
    pub(super) blake3: String,
}

/// A shard that could not be asked, or not to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Away {
    pub(super) shard: u16,
    /// Accounts of it that were not looked at.
    pub(super) accounts: u64,
}

/// A file of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece {
    /// Within the chain's folder.
    pub(super) path: String,
    pub(super) size_bytes: u64,
    pub(super) blake3: String,
}

impl Manifest {
    /// What restoring the run does not bring back as it was since a shard was away, or an account on its way, a line
    /// each.
    pub(super) fn absences(&self) -> impl Iterator<Item = String> {
        let away = self.away.iter().map(|away| {
            format!(
                "shard {} was away during run {}: {} of its accounts are as of an earlier run, or have no mail",
                away.shard, self.run, away.accounts
            )
        });
        away.chain(self.moving.iter().map(|account| self.absence(*account)))
    }

    /// What is said of an account that was on its way.
    fn absence(&self, account: AccountId) -> String {
        format!(
            "account {account} was moved from shard to shard during run {}: it is as of an earlier run, or has no mail",
            self.run
        )
    }

    /// The same, if it was.
    pub(super) fn absence_of(&self, account: AccountId) -> Option<String> {
        self.moving.contains(&account).then(|| self.absence(account))
    }

    pub(super) fn new(
        run: RunName,
        previous: Option<&Self>,
        [began_at, ended_at]: [Timestamp; 2],
        [directory, accounts]: [Piece; 2],
        rows: Vec<Piece>,
    ) -> Self {
        let previous = previous.map(|last| Previous { run: last.run.clone(), blake3: last.hash.clone() });
        Self {
            format: FORMAT,
            records: replica::VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            run,
            previous,
            began_at,
            ended_at,
            directory,
            accounts,
            rows,
            away: Vec::new(),
            moving: Vec::new(),
            hash: String::new(),
        }
    }

    /// As the file's text.
    pub(super) fn to_text(&self) -> anyhow::Result<String> {
        let json = serde_json::to_string(self)?;
        let hash = blake3::hash(json.as_bytes()).to_hex();
        Ok(format!("{json}\n{hash}\n"))
    }

    /// From the file's text. Errors say what is wrong with it, not where it is.
    pub(super) fn from_text(text: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Versions {
            format: u32,
            records: u16,
        }
        let text = std::str::from_utf8(text).ok().context("it is damaged: it is no text")?;
        let (json, hash) = text.split_once('\n').context("it is damaged: a line is missing")?;
        if blake3::hash(json.as_bytes()).to_hex().as_str() != hash.trim_end() {
            bail!("it is damaged: its checksum does not fit");
        }
        let Versions { format, records } = serde_json::from_str(json).context("it is damaged")?;
        ensure!(
            format <= FORMAT && records <= replica::VERSION,
            "it was written by a newer magpie (format {format}.{records}, this one reads up to {FORMAT}.{}); \
             update the program",
            replica::VERSION
        );
        let manifest = serde_json::from_str(json).context("it is damaged")?;
        Ok(Self { hash: hash.trim_end().to_owned(), ..manifest })
    }

    /// Every file of the run.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        [&self.directory, &self.accounts].into_iter().chain(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(run: RunName, previous: Option<&Manifest>) -> Manifest {
        let piece = Piece { path: "x/directory".into(), size_bytes: 3, blake3: "00".into() };
        Manifest::new(run, previous, [Timestamp::default(); 2], [piece.clone(), piece], Vec::new())
    }

    #[test]
    fn runs_are_named_by_time_and_never_twice() {
        let now: Timestamp = "2026-11-22T16:30:38.7Z".parse().unwrap();
        let first = manifest(RunName::next(now, None), None);
        assert_eq!(first.run.as_str(), "20261122T163038Z");
        assert_eq!(RunName::next(now, Some(&first.run)).as_str(), "20261122T163039Z");
        assert_eq!(RunName::next(Timestamp::default(), Some(&first.run)).as_str(), "20261122T163039Z");
        assert_eq!(RunName::parse("20261122T163038Z").unwrap().time().unwrap().seconds(), now.seconds());
        for wrong in ["", "2026-11-22", "20261122T163038", "20261322T163038Z", "2026112ÄT163038Z"] {
            assert_eq!(RunName::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_manifest_comes_back_or_is_found_damaged() {
        let first = manifest(RunName::next(Timestamp::default(), None), None);
        let second = manifest(RunName::next(Timestamp::default(), Some(&first.run)), Some(&first));
        let text = second.to_text().unwrap().into_bytes();
        let read = Manifest::from_text(&text).unwrap();
        assert_eq!(read, Manifest { hash: read.hash.clone(), ..second });
        assert_eq!(blake3::hash(&text[..text.len() - 66]).to_hex().as_str(), read.hash);
        for at in 0..text.len() - 1 {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            assert!(Manifest::from_text(&damaged).is_err(), "at {at}");
            assert!(Manifest::from_text(&text[..at]).is_err(), "cut at {at}");
        }
        let newer = Manifest { format: 9, ..first };
        let error = Manifest::from_text(newer.to_text().unwrap().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("newer magpie"), "{error}");
    }
}
