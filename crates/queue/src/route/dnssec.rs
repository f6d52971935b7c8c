//! DNS that proves what it says (RFC 4033), for the certificates of mail servers (RFC 7672).
//!
//! We check the proofs ourselves. Where the resolver does not pass them on, nothing is proven, mail goes as if there were
//! no TLSA records, and the log says so once in a while.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use futures::future::join;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::{
        dnssec::TrustAnchors,
        rr::{Name, RData, Record, RecordType},
    },
};
use tokio::{sync::Mutex, time::Instant};

use crate::dane::Tlsa;

pub(super) struct Dnssec {
    resolver: TokioResolver,
    /// Whether proofs reach us, and when that was found out.
    works: Mutex<Option<(bool, Instant)>>,
}

/// What is proven of a host.
pub(super) struct Proven {
    pub(super) addresses: Vec<IpAddr>,
    /// Its usable TLSA records; `None`: it has none at all.
    pub(super) pins: Option<Vec<Tlsa>>,
}

/// DNS did not say, or what it said is false.
pub(super) struct Unproven(pub(super) NetError);

const LOOK_AGAIN: Duration = Duration::from_secs(600);

impl Dnssec {
    pub(super) fn new(
        mut builder: ResolverBuilder<TokioRuntimeProvider>,
        anchor: Option<&Path>,
    ) -> Result<Self, NetError> {
        builder.options_mut().validate = true;
        if let Some(path) = anchor {
            let anchors = TrustAnchors::from_file(path);
            let anchors = anchors.map_err(|error| NetError::from(format!("{}: {error}", path.display())))?;
            builder = builder.with_trust_anchor(Arc::new(anchors));
        }
        Ok(Self { resolver: builder.build()?, works: Mutex::default() })
    }

    pub(super) fn resolver(&self) -> &TokioResolver {
        &self.resolver
    }

    /// Whether the resolver passes proofs on: those of the root are always there.
    pub(super) async fn works(&self) -> bool {
        let mut works = self.works.lock().await;
        if let Some((works, at)) = *works
            && at.elapsed() < LOOK_AGAIN
        {
            return works;
        }
        let found = self.resolver.lookup(Name::root(), RecordType::SOA).await;
        let does = found.as_ref().is_ok_and(|found| all_secure(found.answers()));
        if !does {
            let error = found.err().map(|error| error.to_string());
            tracing::warn!(error, "the DNS resolver passes no proofs on: TLSA records are not heeded");
        }
        *works = Some((does, Instant::now()));
        does
    }

    /// A host whose name is proven to be right.
    pub(super) async fn host(&self, host: &Name, port: u16) -> Result<Proven, Unproven> {
        let (v6, v4) = join(self.records(host, RecordType::AAAA), self.records(host, RecordType::A)).await;
        let found = match (v6, v4) {
            (Ok(v6), Ok(v4)) => [v6, v4].concat(),
            // One family is enough to go on.
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => found,
            (Err(error), _) | (_, Err(error)) => return Err(Unproven(error)),
        };
        let address = |record: &Record| match &record.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
            _ => None,
        };
        let addresses = found.iter().filter_map(address).collect::<Vec<_>>();
        // §2.2.2: for others it is of no use to ask, and may be of harm.
        if addresses.is_empty() || !all_secure(&found) {
            return Ok(Proven { addresses, pins: None });
        }
        let owner = Name::from_ascii(format!("_{port}._tcp")).and_then(|prefix| prefix.append_domain(host));
        let owner = owner.map_err(|error| Unproven(NetError::from(error.to_string())))?;
        let records = self.records(&owner, RecordType::TLSA).await.map_err(Unproven)?;
        if records.is_empty() || !all_secure(&records) {
            return Ok(Proven { addresses, pins: None });
        }
        let pins = records.iter().filter_map(|record| match &record.data {
            RData::TLSA(tlsa) => {
                let (usage, selector) = (u8::from(tlsa.cert_usage), u8::from(tlsa.selector));
                Tlsa::new(usage, selector, u8::from(tlsa.matching), &tlsa.cert_data)
            }
            _ => None,
        });
        Ok(Proven { addresses, pins: Some(pins.collect()) })
    }

    async fn records(&self, name: &Name, kind: RecordType) -> Result<Vec<Record>, NetError> {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(found) => Ok(found.answers().to_vec()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn all_secure(records: &[Record]) -> bool {
    !records.is_empty() && records.iter().all(|record| record.proof.is_secure())
}
