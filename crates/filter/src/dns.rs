//! DNS for the checks: one caching resolver, and what one check learns of its answers.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mail_auth::hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::NetError,
    proto::rr::{Name, RData, RecordType},
    system_conf::read_system_conf,
};
use mail_auth::{MessageAuthenticator, RecordSet, ResolverCache, Txt};
use types::address;

/// Asks DNS, and remembers the answers as long as they say. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    authenticator: MessageAuthenticator,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("DNS did not answer: {0}")]
pub struct Unanswered(pub String);

/// One question to one server; with the second try this is half of what a check has.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Answers in memory.
const CACHED: u64 = 16_384;
const LONGEST_POSITIVE: Duration = Duration::from_secs(3_600);
const LONGEST_NEGATIVE: Duration = Duration::from_secs(300);

impl Dns {
    /// Asks this resolver, or the system's.
    pub fn new(resolver: Option<SocketAddr>) -> Result<Self, NetError> {
        let (config, mut options) = match resolver {
            None => read_system_conf()?,
            Some(address) => {
                let at = |mut config: ConnectionConfig| {
                    config.port = address.port();
                    config
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                let server = NameServerConfig::new(address.ip(), true, connections);
                (ResolverConfig::from_name_servers(vec![server]), ResolverOpts::default())
            }
        };
        // What this machine calls itself is not what others see.
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = TIMEOUT;
        options.attempts = 2;
        options.cache_size = CACHED;
        options.positive_max_ttl = Some(LONGEST_POSITIVE);
        options.negative_max_ttl = Some(LONGEST_NEGATIVE);
        Ok(Self { authenticator: MessageAuthenticator::new(config, options)? })
    }

    pub(crate) const fn authenticator(&self) -> &MessageAuthenticator {
        &self.authenticator
    }

    /// The resolver, for other questions.
    #[must_use]
    pub fn resolver(&self) -> &TokioResolver {
        self.authenticator.resolver()
    }

    /// The TXT records of a name, the strings of each put together. None is an answer as well.
    pub async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, Unanswered> {
        let records = self.lookup(name, RecordType::TXT).await?;
        let text = |data: RData| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        };
        Ok(records.into_iter().filter_map(text).collect())
    }

    /// The records of a name. None is an answer as well.
    pub async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Unanswered> {
        let Ok(mut name) = Name::from_utf8(name) else { return Ok(Vec::new()) };
        name.set_fqdn(true);
        match self.resolver().lookup(name, kind).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
            Err(error) => Err(Unanswered(error.to_string())),
        }
    }
}

/// The name in A-labels and lower case (RFC 5890), if it is one.
#[must_use]
pub fn to_a_labels(domain: &str) -> Option<String> {
    let name = Name::from_utf8(address::domain_key(domain)).ok()?;
    let ascii = name.to_lowercase().to_ascii();
    let ascii = ascii.trim_end_matches('.');
    (!ascii.is_empty()).then(|| ascii.to_owned())
}

/// What one evaluation asked for. Answers themselves are remembered by the resolver.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) txt: Known,
    pub(crate) mx: Asked,
    pub(crate) v4: Asked,
    pub(crate) v6: Asked,
}

/// TXT records that are known before the evaluation, by their names with the final dot.
#[derive(Default)]
pub(crate) struct Known(HashMap<Box<str>, Txt>);

/// Hashes of the names that were asked for, and whether there were records.
#[derive(Default)]
pub(crate) struct Asked(Mutex<HashMap<u64, bool>>);

impl Seen {
    pub(crate) fn knowing(records: HashMap<Box<str>, Txt>) -> Self {
        Self { txt: Known(records), ..Self::default() }
    }

    /// RFC 7208 §4.6.4: look-ups of `a` and `mx` that brought nothing. Those of `exists` are not told apart from their
    /// names being asked for in both families, which `a` never does.
    pub(crate) fn void_lookups(&self, client: IpAddr) -> usize {
        let (own, other) = match client.to_canonical() {
            IpAddr::V4(_) => (&self.v4, &self.v6),
            IpAddr::V6(_) => (&self.v6, &self.v4),
        };
        let of_exists: HashSet<u64> = other.lock().keys().copied().collect();
        let own = own.lock().iter().filter(|(name, found)| !**found && !of_exists.contains(name)).count();
        own + self.mx.lock().values().filter(|found| !**found).count()
    }
}

impl Asked {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash_of<Q: Hash + ?Sized>(name: &Q) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

impl<T> ResolverCache<Box<str>, RecordSet<T>> for Asked {
    fn get<Q>(&self, name: &Q) -> Option<RecordSet<T>>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().entry(hash_of(name)).or_insert(false);
        None
    }

    fn remove<Q>(&self, _: &Q) -> Option<RecordSet<T>>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, name: Box<str>, answer: RecordSet<T>, _: Instant) {
        self.lock().insert(hash_of::<str>(&name), !answer.rrset.is_empty());
    }
}

impl ResolverCache<Box<str>, Txt> for Known {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}
