//! The keys that mail of our domains is signed with: made, published, and switched once the world can read them.

mod signer;
mod watch;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use filter::{Dns, dns::Unanswered, keys};
use storage::{Directory, DkimKey, Domain, KeyPhase};
use types::{DkimAlgorithm, Secret, Timestamp, address};

pub(crate) use signer::DomainSigner;
pub(crate) use watch::watch;

/// Makes a key of each algorithm for the domain. They wait for their records.
pub(crate) async fn make(directory: &dyn Directory, domain: &Domain, now: Timestamp) -> anyhow::Result<()> {
    let taken = directory.dkim_keys(domain.id).await?;
    let mut made = Vec::new();
    for algorithm in DkimAlgorithm::ALL {
        let pair = tokio::task::spawn_blocking(move || {
            let mut fill = |bytes: &mut [u8]| mail::Random::fill(&crate::clock::SystemRandom, bytes);
            keys::generate(algorithm, &mut fill)
        });
        let pair = pair.await.context("the key")??;
        made.push(DkimKey {
            domain: domain.id,
            selector: selector(algorithm, now, &taken),
            algorithm,
            private_key: Secret::new(STANDARD.encode(&pair.private)),
            public_key: pair.public,
            phase: KeyPhase::Waiting,
            created_at: now,
            since: now,
        });
    }
    Ok(directory.add_dkim_keys(&made).await?)
}

/// A name that says when the key was made; with a number, if that is taken.
fn selector(algorithm: DkimAlgorithm, now: Timestamp, taken: &[DkimKey]) -> String {
    let date = now.utc().date();
    let first = format!("{algorithm}-{:04}{:02}{:02}", date.year(), u8::from(date.month()), date.day());
    let is_taken = |name: &str| taken.iter().any(|key| key.selector == name);
    let mut name = first.clone();
    let mut number = 1_u32;
    while is_taken(&name) {
        number = number.saturating_add(1);
        name = format!("{first}-{number}");
    }
    name
}

/// Where a key's record is.
pub(crate) fn record_name(domain: &str, key: &DkimKey) -> String {
    format!("{}._domainkey.{}", key.selector, address::domain_key(domain))
}

/// Whether the world can read the key's record.
pub(crate) async fn is_published(dns: &Dns, domain: &str, key: &DkimKey) -> Result<bool, Unanswered> {
    let texts = dns.txt(&record_name(domain, key)).await?;
    Ok(texts
        .iter()
        .any(|text| keys::publishes(&String::from_utf8_lossy(text), key.algorithm, &key.public_key)))
}

/// Has the keys that wait sign, if the records of all of them can be read. Tells whether they do now.
pub(crate) async fn switch_if_published(
    directory: &dyn Directory,
    dns: &Dns,
    domain: &Domain,
    now: Timestamp,
) -> anyhow::Result<bool> {
    let mut waiting = directory.dkim_keys(domain.id).await?;
    waiting.retain(|key| key.phase == KeyPhase::Waiting);
    if waiting.is_empty() {
        return Ok(false);
    }
    for key in &waiting {
        if !is_published(dns, &domain.name, key).await? {
            return Ok(false);
        }
    }
    Ok(directory.switch_dkim_keys(domain.id, now).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_tell_the_day_and_are_unique() {
        let now = Timestamp::from_seconds(1_795_700_000);
        let key = |selector: &str| DkimKey {
            domain: types::DomainId(1),
            selector: selector.to_owned(),
            algorithm: DkimAlgorithm::Rsa,
            private_key: Secret::default(),
            public_key: Vec::new(),
            phase: KeyPhase::Waiting,
            created_at: now,
            since: now,
        };
        assert_eq!(selector(DkimAlgorithm::Rsa, now, &[]), "rsa-20261126");
        let taken = [key("rsa-20261126"), key("rsa-20261126-2")];
        assert_eq!(selector(DkimAlgorithm::Rsa, now, &taken), "rsa-20261126-3");
        assert_eq!(selector(DkimAlgorithm::Ed25519, now, &taken), "ed25519-20261126");
    }
}
