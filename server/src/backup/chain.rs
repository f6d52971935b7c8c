//! What a chain knows of each account: which parts of which files, read in order, are the account as of a run.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use storage::replica::Counts;
use types::{AccountId, BlobId, EmailAddress, Secret, Timestamp};

use super::{
    folder::Chain,
    keys::Key,
    lines::{Extent, Reader},
    manifest::Manifest,
};

/// A round of an account, in one run; a line of the run's accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub(super) account: AccountId,
    /// The account's; ids alone could have been given twice, by a service that was restored.
    pub(super) created_at: Timestamp,
    /// The modseq that the round goes on from; 0 if the account begins anew with it.
    pub(super) since: i64,
    /// The modseq that the account has with it.
    pub(super) upto: i64,
    /// The file with its records, within the chain's folder.
    pub(super) file: String,
    #[serde(flatten)]
    pub(super) extent: Extent,
    pub(super) records: u64,
    /// Rows of the account as of the round.
    pub(super) counts: Counts,
    /// Bytes of its mail as of the round.
    pub(super) used_bytes: i64,
    /// Blobs that the service had lost already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<BlobId>,
}

impl Segment {
    /// The run that has it.
    pub(super) fn run(&self) -> &str {
        self.file.split('/').next().unwrap_or_default()
    }
}

/// A line of a run's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    Domain {
        name: String,
        created_at: Timestamp,
        #[serde(default, skip_serializing_if = "Limits::is_empty")]
        limits: Limits,
    },
    Key(Key),
    Account(Person),
}

/// What a domain may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accounts: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message_bytes: Option<u64>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) async fn of(directory: &dyn storage::Directory, domain: &str) -> storage::Result<Self> {
        let limits = directory.domain_use(domain).await?.limits;
        let message_bytes = directory.message_limit(&[domain.to_owned()]).await?;
        Ok(Self { bytes: limits.max_bytes, accounts: limits.max_accounts, message_bytes })
    }

    pub(super) async fn restore(
        self,
        directory: &dyn storage::Directory,
        domain: &str,
    ) -> storage::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let limits = storage::DomainLimits { max_bytes: self.bytes, max_accounts: self.accounts };
        directory.set_domain_limits(domain, limits).await?;
        directory.set_message_limit(domain, self.message_bytes).await
    }
}

/// An account as the directory knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) id: AccountId,
    pub(super) email: EmailAddress,
    pub(super) name: String,
    pub(super) password_hash: Secret,
    pub(super) enabled: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) admin: bool,
    /// Its own.
    pub(super) quota_bytes: Option<u64>,
    pub(super) created_at: Timestamp,
    pub(super) aliases: Vec<EmailAddress>,
    /// Those that it answers for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) groups: Vec<Group>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) app_passwords: Vec<AppPassword>,
}

/// What a mail program of the account's logs in with. When it was used is not kept, so that runs in between which nobody
/// changed anything are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AppPassword {
    name: String,
    digest: [u8; 32],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Secret>,
    created_at: Timestamp,
}

impl From<storage::AppPassword> for AppPassword {
    fn from(one: storage::AppPassword) -> Self {
        let storage::AppPassword { name, digest, keys, created_at, .. } = one;
        Self { name, digest, keys, created_at }
    }
}

impl AppPassword {
    pub(super) fn of(self, account: AccountId, password_hash: Secret) -> storage::NewAppPassword {
        let Self { name, digest, keys, created_at } = self;
        storage::NewAppPassword { account, password_hash, name, digest, keys, created_at }
    }
}

/// An address whose mail goes to several others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) address: EmailAddress,
    pub(super) targets: Vec<EmailAddress>,
}

impl Person {
    pub(super) fn account(&self) -> storage::Account {
        storage::Account {
            id: self.id,
            email: self.email.clone(),
            name: self.name.clone(),
            password_hash: self.password_hash.clone(),
            enabled: self.enabled,
            admin: self.admin,
            quota_bytes: None,
            own_quota_bytes: self.quota_bytes,
            created_at: self.created_at,
        }
    }
}

/// The rounds of every account, up to a run.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    of: HashMap<AccountId, Vec<Segment>>,
}

impl Rounds {
    /// Of the first `runs` runs of the chain.
    pub(super) fn read(chain: &Chain, runs: usize) -> anyhow::Result<Self> {
        let mut rounds = Self::default();
        for manifest in chain.manifests.iter().take(runs) {
            for segment in segments(&chain.folder, manifest)? {
                rounds.add(segment);
            }
        }
        Ok(rounds)
    }

    pub(super) fn add(&mut self, segment: Segment) {
        let rounds = self.of.entry(segment.account).or_default();
        if segment.since == 0 {
            rounds.clear();
        }
        rounds.push(segment);
    }

    /// In order; none if nothing of this very account is there.
    pub(super) fn of(&self, account: AccountId, created_at: Timestamp) -> &[Segment] {
        let rounds = self.of.get(&account).map(Vec::as_slice).unwrap_or_default();
        if rounds.first().is_some_and(|first| first.created_at == created_at) { rounds } else { &[] }
    }
}

/// What a run has of accounts.
pub(super) fn segments(chain: &Path, manifest: &Manifest) -> anyhow::Result<Vec<Segment>> {
    let path = chain.join(&manifest.accounts.path);
    let read = || {
        let mut reader = Reader::open(&path, &manifest.accounts.extent())?;
        let mut segments = Vec::new();
        while let Some((segment, _)) = reader.next()? {
            segments.push(segment);
        }
        anyhow::Ok(segments)
    };
    read().with_context(|| path.display().to_string())
}

/// A run's directory.
pub(super) struct Entries {
    path: PathBuf,
    reader: Reader<Entry>,
}

impl Entries {
    pub(super) fn open(chain: &Path, manifest: &Manifest) -> anyhow::Result<Self> {
        let path = chain.join(&manifest.directory.path);
        let reader = Reader::open(&path, &manifest.directory.extent());
        let reader = reader.with_context(|| path.display().to_string())?;
        Ok(Self { path, reader })
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        let next = self.reader.next().with_context(|| self.path.display().to_string())?;
        Ok(next.map(|(entry, _)| entry))
    }

    /// The next account.
    pub(super) fn next_person(&mut self) -> anyhow::Result<Option<Person>> {
        while let Some(entry) = self.next()? {
            if let Entry::Account(person) = entry {
                return Ok(Some(person));
            }
        }
        Ok(None)
    }
}
