//! A DNS server whose only zone is the root, signed with a key of its own: for what has to be proven (DNSSEC).

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hickory_server::{
    Server,
    dnssec::NxProofKind,
    net::runtime::TokioRuntimeProvider,
    proto::{
        dnssec::{DnssecSigner, PublicKey as _, SigningKey as _, crypto::Ed25519SigningKey, rdata::DNSKEY},
        rr::{
            Name, RData, Record,
            rdata::{A, AAAA, MX, SOA, TLSA, TXT},
        },
    },
    store::in_memory::InMemoryZoneHandler,
    zone_handler::{AxfrPolicy, Catalog, ZoneType},
};
use tempfile::TempDir;

use crate::zone::{name, sockets};

/// What the zone is going to say.
#[derive(Default)]
pub struct Signed(Vec<(Name, RData)>);

/// The server; it stops when dropped.
pub struct SignedZone {
    address: SocketAddr,
    server: Server<Catalog>,
    anchor: PathBuf,
    _folder: TempDir,
}

const TTL: u32 = 60;

impl Signed {
    /// `domain MX preference host`.
    pub fn mx(mut self, domain: &str, preference: u16, host: &str) -> Result<Self> {
        self.0.push((name(domain)?, RData::MX(MX::new(preference, name(host)?))));
        Ok(self)
    }

    /// `host A address` or `host AAAA address`.
    pub fn host(mut self, host: &str, address: IpAddr) -> Result<Self> {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A(v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
        };
        self.0.push((name(host)?, data));
        Ok(self)
    }

    /// `domain TXT text`.
    pub fn txt(mut self, domain: &str, text: &str) -> Result<Self> {
        self.0.push((name(domain)?, RData::TXT(TXT::new(vec![text.to_owned()]))));
        Ok(self)
    }

    /// `_port._tcp.host TLSA usage selector matching data`.
    pub fn tlsa(mut self, host: &str, port: u16, numbers: [u8; 3], data: &[u8]) -> Result<Self> {
        let [usage, selector, matching] = numbers;
        let record = TLSA::new(usage.into(), selector.into(), matching.into(), data.to_vec());
        self.0.push((name(&format!("_{port}._tcp.{host}"))?, RData::TLSA(record)));
        Ok(self)
    }

    /// Signs it, and answers from it.
    pub async fn start(self) -> Result<SignedZone> {
        let root = Name::root();
        let mut zone = InMemoryZoneHandler::<TokioRuntimeProvider>::empty(
            root.clone(),
            ZoneType::Primary,
            AxfrPolicy::Deny,
            Some(NxProofKind::Nsec),
        );
        let soa = SOA::new(name("ns.test")?, name("admin.test")?, 1, 60, 60, 60, TTL);
        zone.upsert_mut(Record::from_rdata(root.clone(), TTL, RData::SOA(soa)), 0);
        for (owner, data) in self.0 {
            zone.upsert_mut(Record::from_rdata(owner, TTL, data), 0);
        }
        let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8()?)?;
        let public = key.to_public_key()?;
        let signer = DnssecSigner::new(
            DNSKEY::from_key(&public),
            Box::new(key),
            root.clone(),
            Duration::from_secs(86_400),
        );
        zone.add_zone_signing_key_mut(signer)?;
        zone.secure_zone_mut()?;
        let folder = tempfile::tempdir()?;
        let anchor = folder.path().join("anchor");
        let key = BASE64_STANDARD.encode(public.public_bytes());
        std::fs::write(&anchor, format!(". {TTL} IN DNSKEY 257 3 15 {key}\n"))?;

        let mut catalog = Catalog::new();
        catalog.upsert(root.into(), vec![Arc::new(zone)]);
        let mut server = Server::new(catalog);
        let (socket, listener) = sockets().await?;
        let address = socket.local_addr().context("the zone's address")?;
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), 4096);
        Ok(SignedZone { address, server, anchor, _folder: folder })
    }
}

impl SignedZone {
    /// Where a resolver asks.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file with the key that it is signed by.
    #[must_use]
    pub fn anchor(&self) -> &Path {
        &self.anchor
    }
}

impl Drop for SignedZone {
    fn drop(&mut self) {
        self.server.shutdown_token().cancel();
    }
}
