//! Signs what leaves: mail of our domains with their keys, mail that is passed on with a seal of the domain it is passed
//! on by.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use filter::{seal, sign, sign::SigningKey};
use moka::sync::Cache;
use queue::{Signer, Unsigned};
use storage::{Directory, DkimKey, Domain, KeyPhase};
use types::{Clock, DomainId, EmailAddress, QueueId, address};

/// Has the directory's keys. What it said of a mail it says again for a while, so that a mail for many destinations is
/// signed once.
pub(crate) struct DomainSigner {
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    hostname: String,
    keys: Cache<(DomainId, Vec<String>), Arc<Vec<SigningKey>>>,
    signed: Cache<QueueId, Bytes>,
}

/// A `From` deeper than this below a domain of ours is not looked for.
const MAX_LABELS: usize = 8;
const KEYS: u64 = 1_000;
const SIGNED: u64 = 10_000;
/// Shorter than anybody waits between attempts that need another time in the signature.
const REMEMBERED: Duration = Duration::from_secs(300);

impl DomainSigner {
    pub(crate) fn new(directory: Arc<dyn Directory>, clock: Arc<dyn Clock>, hostname: String) -> Self {
        let keys = Cache::builder().max_capacity(KEYS).time_to_idle(REMEMBERED).build();
        let signed = Cache::builder().max_capacity(SIGNED).time_to_live(REMEMBERED).build();
        Self { directory, clock, hostname, keys, signed }
    }

    async fn fields(&self, return_path: Option<&EmailAddress>, mail: &Bytes) -> Result<Bytes, Unsigned> {
        // RFC 5322 §3.6: one field. Mail that leaves open whom it is from is not vouched for.
        let author = match message::authors(mail).as_slice() {
            [authors] => authors
                .first()
                .and_then(|author| author.email.rsplit_once('@'))
                .map(|(_, domain)| domain.to_owned()),
            _ => None,
        };
        // Mail that came from outside, and was not proven to be its author's, is only sealed: whoever it claims to be from.
        let proven =
            seal::own_results(mail, &self.hostname).is_none_or(|results| seal::has_passed_dmarc(&results));
        let of_author = match &author {
            Some(author) if proven => self.keys_of(author).await?,
            Some(_) | None => None,
        };
        let now = self.clock.now();
        if let Some(keys) = of_author {
            let mail = mail.clone();
            return off_thread(move || sign::sign(&mail, &keys, now).map(Some)).await;
        }
        // Passed on: the return path is of the domain that does it.
        let Some(path) = return_path else { return Ok(Bytes::new()) };
        let Some(keys) = self.keys_of(path.domain()).await? else { return Ok(Bytes::new()) };
        let (mail, hostname) = (mail.clone(), self.hostname.clone());
        off_thread(move || match keys.first() {
            Some(key) => seal::seal(&mail, key, &hostname, now),
            None => Ok(None),
        })
        .await
    }

    /// The keys of the domain, or of one of ours above it (RFC 9989 §4.4.1: that is aligned as well).
    async fn keys_of(&self, domain: &str) -> Result<Option<Arc<Vec<SigningKey>>>, Unsigned> {
        let name = address::domain_key(domain);
        let mut rest = Some(name.as_str());
        for _ in 0..MAX_LABELS {
            let Some(name) = rest else { break };
            if let Some(domain) = self.directory.domain(name).await.map_err(failed)? {
                return self.signing(&domain).await;
            }
            rest = name.split_once('.').map(|(_, above)| above);
        }
        Ok(None)
    }

    async fn signing(&self, domain: &Domain) -> Result<Option<Arc<Vec<SigningKey>>>, Unsigned> {
        let mut keys = self.directory.dkim_keys(domain.id).await.map_err(failed)?;
        keys.retain(|key| key.phase == KeyPhase::Signing);
        // RSA first: it is the one that everybody knows.
        keys.sort_by_key(|key| key.algorithm);
        if keys.is_empty() {
            return Ok(None);
        }
        let name = (domain.id, keys.iter().map(|key| key.selector.clone()).collect());
        if let Some(known) = self.keys.get(&name) {
            return Ok(Some(known));
        }
        let ascii = filter::dns::to_a_labels(&domain.name).unwrap_or_else(|| domain.name.clone());
        let loaded = keys.iter().map(|key| load(&ascii, key)).collect::<Result<Vec<_>, _>>()?;
        let loaded = Arc::new(loaded);
        self.keys.insert(name, Arc::clone(&loaded));
        Ok(Some(loaded))
    }
}

#[async_trait]
impl Signer for DomainSigner {
    async fn sign(
        &self,
        entry: QueueId,
        return_path: Option<&EmailAddress>,
        mail: &Bytes,
    ) -> Result<Bytes, Unsigned> {
        if let Some(known) = self.signed.get(&entry) {
            return Ok(known);
        }
        let fields = self.fields(return_path, mail).await?;
        self.signed.insert(entry, fields.clone());
        Ok(fields)
    }
}

fn load(domain: &str, key: &DkimKey) -> Result<SigningKey, Unsigned> {
    let damaged = || Unsigned(format!("the key {} of {domain} is damaged", key.selector));
    let private = STANDARD.decode(key.private_key.expose()).map_err(|_| damaged())?;
    SigningKey::load(key.algorithm, domain, &key.selector, &private).map_err(|_| damaged())
}

fn failed(error: storage::Error) -> Unsigned {
    Unsigned(error.to_string())
}

/// Signing takes about a millisecond, and longer for a large mail.
async fn off_thread(
    work: impl FnOnce() -> Result<Option<String>, filter::keys::Unusable> + Send + 'static,
) -> Result<Bytes, Unsigned> {
    let signed = tokio::task::spawn_blocking(work).await.map_err(|error| Unsigned(error.to_string()))?;
    let signed = signed.map_err(|error| Unsigned(error.to_string()))?;
    Ok(signed.map(Bytes::from).unwrap_or_default())
}
