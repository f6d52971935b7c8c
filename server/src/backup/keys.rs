//! The keys that mail is signed with, as a backup has them: with them, what DNS says goes on being true.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use storage::{Directory, DkimKey, Domain, Error, KeyPhase};
use types::{DkimAlgorithm, Secret, Timestamp};

/// A key of a domain that stands before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    domain: String,
    selector: String,
    algorithm: String,
    private_key: Secret,
    public_key: String,
    phase: Phase,
    created_at: Timestamp,
    since: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Waiting,
    Signing,
    Retired,
}

/// All keys of a domain.
pub(super) async fn of(directory: &dyn Directory, domain: &Domain) -> storage::Result<Vec<Key>> {
    let keys = directory.dkim_keys(domain.id).await?.into_iter();
    Ok(keys
        .map(|key| Key {
            domain: domain.name.clone(),
            selector: key.selector,
            algorithm: key.algorithm.name().to_owned(),
            private_key: key.private_key,
            public_key: STANDARD.encode(key.public_key),
            phase: match key.phase {
                KeyPhase::Waiting => Phase::Waiting,
                KeyPhase::Signing => Phase::Signing,
                KeyPhase::Retired => Phase::Retired,
            },
            created_at: key.created_at,
            since: key.since,
        })
        .collect())
}

/// Brings a key back, unless it is there.
pub(super) async fn restore(directory: &dyn Directory, key: Key) -> anyhow::Result<()> {
    let domain = directory
        .domain(&key.domain)
        .await?
        .with_context(|| format!("a key of {}, which is no domain here", key.domain))?;
    let algorithm = DkimAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == key.algorithm);
    let row = DkimKey {
        domain: domain.id,
        algorithm: algorithm
            .with_context(|| format!("the key {} has no algorithm that is known", key.selector))?,
        public_key: STANDARD.decode(&key.public_key).with_context(|| format!("the key {}", key.selector))?,
        selector: key.selector,
        private_key: key.private_key,
        phase: match key.phase {
            Phase::Waiting => KeyPhase::Waiting,
            Phase::Signing => KeyPhase::Signing,
            Phase::Retired => KeyPhase::Retired,
        },
        created_at: key.created_at,
        since: key.since,
    };
    match directory.add_dkim_keys(&[row]).await {
        Ok(()) | Err(Error::Exists(_)) => Ok(()),
        Err(error) => Err(error).context("the directory"),
    }
}
